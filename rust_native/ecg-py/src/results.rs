//! What Python gets back: dictionaries of arrays and numbers (see `kernel.py`).

use ecg_core::Analysis;
use ecg_core::hrv::Hrv;
use ecg_core::quality::Quality;
use ecg_core::rhythm::Anomaly;
use numpy::PyArray1;
use pyo3::prelude::*;

pub(crate) type RawQuality = (f64, Vec<(f64, Vec<&'static str>)>);
pub(crate) type RawAnomaly = (&'static str, f64, f64, &'static str);

#[derive(IntoPyObject)]
pub(crate) struct RawHrv {
    nn_count: usize,
    mean_nn_ms: f64,
    sdnn_ms: f64,
    rmssd_ms: f64,
    pnn50: f64,
    pnn20: f64,
    sd1_ms: f64,
    sd2_ms: f64,
    sample_entropy: f64,
    dfa_alpha1: f64,
    vlf_ms2: f64,
    lf_ms2: f64,
    hf_ms2: f64,
    lf_hf: f64,
}

impl From<&Hrv> for RawHrv {
    fn from(hrv: &Hrv) -> Self {
        Self {
            nn_count: hrv.nn_count,
            mean_nn_ms: hrv.mean_nn_ms,
            sdnn_ms: hrv.sdnn_ms,
            rmssd_ms: hrv.rmssd_ms,
            pnn50: hrv.pnn50,
            pnn20: hrv.pnn20,
            sd1_ms: hrv.sd1_ms,
            sd2_ms: hrv.sd2_ms,
            sample_entropy: hrv.sample_entropy,
            dfa_alpha1: hrv.dfa_alpha1,
            vlf_ms2: hrv.vlf_ms2,
            lf_ms2: hrv.lf_ms2,
            hf_ms2: hrv.hf_ms2,
            lf_hf: hrv.lf_hf,
        }
    }
}

#[derive(IntoPyObject)]
pub(crate) struct RawAnalysis<'py> {
    heart_rate: f64,
    rr_ms: Bound<'py, PyArray1<f64>>,
    r_peaks: Bound<'py, PyArray1<i64>>,
    hrv: Option<RawHrv>,
    anomalies: Vec<RawAnomaly>,
    quality: RawQuality,
}

impl<'py> RawAnalysis<'py> {
    pub(crate) fn new(py: Python<'py>, analysis: &Analysis) -> Self {
        Self {
            heart_rate: analysis.heart_rate,
            r_peaks: sample_indices(py, &analysis.r_peaks),
            rr_ms: PyArray1::from_slice(py, &analysis.rr_ms),
            hrv: analysis.hrv.as_ref().map(RawHrv::from),
            anomalies: analysis.anomalies.iter().map(raw_anomaly).collect(),
            quality: raw_quality(&analysis.quality),
        }
    }
}

pub(crate) fn raw_quality(quality: &Quality) -> RawQuality {
    let leads = quality.leads.iter();
    let leads = leads.map(|l| (l.score, l.issues.iter().map(|issue| issue.name()).collect()));
    (quality.score, leads.collect())
}

pub(crate) fn raw_anomaly(anomaly: &Anomaly) -> RawAnomaly {
    (anomaly.kind.name(), anomaly.start_s, anomaly.end_s, anomaly.severity.name())
}

/// Indices as int64; no signal in memory is too long for it.
pub(crate) fn sample_indices<'py>(py: Python<'py>, peaks: &[usize]) -> Bound<'py, PyArray1<i64>> {
    PyArray1::from_iter(py, peaks.iter().map(|peak| i64::try_from(*peak).unwrap_or(i64::MAX)))
}
