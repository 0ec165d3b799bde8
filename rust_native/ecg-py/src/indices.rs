//! Indices of quality and exchanged electrodes, for Python.

use crate::arrays::{Signal, each, read};
use ecg_core::indices::{self, QualityIndices};
use ecg_core::median_beat::LEADS;
use ecg_core::reversal;
use ecg_core::snr;
use pyo3::prelude::*;

/// Kind, confidence, what was seen, and the same once the exchange is undone.
type RawReversal = (&'static str, f64, [f64; 2], [f64; 2]);

#[pyfunction]
pub(crate) fn quality_indices(
    py: Python<'_>,
    x: Signal<'_>,
    fs_hz: f64,
) -> PyResult<Vec<[f64; 8]>> {
    let found =
        each!(x, array => read(py, &array, |leads| indices::quality_indices(leads, fs_hz)))?;
    Ok(found.into_iter().map(fields).collect())
}

fn fields(indices: QualityIndices) -> [f64; 8] {
    let QualityIndices { k_sqi, s_sqi, p_sqi, bas_sqi, .. } = indices;
    let QualityIndices { mains_ratio, mains_hz, baseline_mv, high_frequency_mv, .. } = indices;
    [k_sqi, s_sqi, p_sqi, bas_sqi, mains_ratio, mains_hz, baseline_mv, high_frequency_mv]
}

#[pyfunction]
#[expect(clippy::needless_pass_by_value)]
pub(crate) fn snr_db(
    py: Python<'_>,
    x: Signal<'_>,
    fs_hz: f64,
    peaks: Vec<usize>,
) -> PyResult<Vec<f64>> {
    each!(x, array => read(py, &array, |leads| snr::snr_db(leads, fs_hz, &peaks)))
}

#[pyfunction]
pub(crate) fn check_lead_reversal(
    py: Python<'_>,
    x: Signal<'_>,
    fs_hz: f64,
    order: [Option<usize>; LEADS],
) -> PyResult<Vec<RawReversal>> {
    let found = each!(x, array => read(py, &array, |leads| {
        reversal::check_lead_reversal(leads, fs_hz, &order)
    }))?;
    Ok(found.iter().map(|one| (one.kind, one.confidence, one.recorded, one.undone)).collect())
}
