//! One recording: bands, beats, quality, and what follows from the RR intervals.

use crate::bands::Bands;
use crate::error::Error;
use crate::hrv::{Hrv, normal_intervals, of_normal};
use crate::leads::{Leads, Sample};
use crate::order::mean;
use crate::quality::{Quality, judge};
use crate::rhythm::{Anomaly, Beats, find_anomalies};
use crate::rpeaks::{find_peaks, require_analysable};

/// Below this quality of the best lead no anomaly is told.
const RHYTHM_QUALITY: f64 = 0.7;

/// How a recording is analysed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Samples per second, 100 to 2000.
    pub fs_hz: f64,
    /// Compute variability.
    pub hrv: bool,
    /// Look for anomalies.
    pub anomalies: bool,
    /// Alarm limit, bpm.
    pub min_heart_rate: f64,
    /// Alarm limit, bpm.
    pub max_heart_rate: f64,
    /// Ratio of noise to QRS amplitude that is too much, above 0 and at most 1.
    pub noise_threshold: f64,
    /// With no lead better than this nothing is told of the rhythm.
    pub min_signal_quality: f64,
}

/// What a recording says.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Mean rate, bpm; NaN where none can be told.
    pub heart_rate: f64,
    /// Intervals between successive R peaks, ms.
    pub rr_ms: Vec<f64>,
    /// R peaks, sample indices; candidates only where the quality is low.
    pub r_peaks: Vec<usize>,
    /// Variability of normal intervals, if asked for and the quality allows it.
    pub hrv: Option<Hrv>,
    /// Findings, if asked for and the quality allows it.
    pub anomalies: Vec<Anomaly>,
    /// Quality of the leads.
    pub quality: Quality,
}

/// Analyse a recording; nothing is told that the best lead does not carry.
///
/// # Errors
/// [`Error::TooShort`] below one second, [`Error::Parameter`] for options out of bounds.
pub fn analyze<S: Sample>(x: &Leads<S>, options: &Options) -> Result<Analysis, Error> {
    let fs_hz = options.fs_hz;
    require_analysable(x, fs_hz)?;
    x.require_plausible(fs_hz)?;
    let bands = Bands::split(x, fs_hz);
    let r_peaks = find_peaks(&bands);
    let quality = judge(x, &bands, &r_peaks, options.noise_threshold)?;
    let rr_ms: Vec<f64> =
        r_peaks.windows(2).map(|p| (p[1] - p[0]) as f64 * (1000.0 / fs_hz)).collect();
    let told = quality.best() >= options.min_signal_quality && !rr_ms.is_empty();
    let hrv = (told && options.hrv).then(|| of_normal(&rr_ms, &normal_intervals(&rr_ms, None)));
    let anomalies = if told && options.anomalies && quality.best() >= RHYTHM_QUALITY {
        let peaks_s: Vec<f64> = r_peaks.iter().map(|p| *p as f64 / fs_hz).collect();
        find_anomalies(&Beats {
            peaks_s: &peaks_s,
            duration_s: x.samples() as f64 / fs_hz,
            unlike: None,
            measurable: None,
            min_heart_rate: options.min_heart_rate,
            max_heart_rate: options.max_heart_rate,
        })
    } else {
        Vec::new()
    };
    let heart_rate = if told { 60_000.0 / mean(&rr_ms) } else { f64::NAN };
    Ok(Analysis { heart_rate, rr_ms, r_peaks, hrv, anomalies, quality })
}
