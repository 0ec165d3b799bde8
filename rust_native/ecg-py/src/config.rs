//! How a recording is analysed, as Python says it.

use ecg_core::Options;
use pyo3::prelude::*;

/// The fields of `ECGAnalysisConfig`.
#[derive(FromPyObject)]
pub(crate) struct Config {
    sampling_rate: f64,
    enable_hrv: bool,
    enable_anomaly_detection: bool,
    min_heart_rate: f64,
    max_heart_rate: f64,
    noise_threshold: f64,
    min_signal_quality: f64,
}

impl From<Config> for Options {
    fn from(config: Config) -> Self {
        Self {
            fs_hz: config.sampling_rate,
            hrv: config.enable_hrv,
            anomalies: config.enable_anomaly_detection,
            min_heart_rate: config.min_heart_rate,
            max_heart_rate: config.max_heart_rate,
            noise_threshold: config.noise_threshold,
            min_signal_quality: config.min_signal_quality,
        }
    }
}
