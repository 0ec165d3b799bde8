//! `ecg_processor_py._native`: arrays in and out of [`ecg_core`].
//!
//! Samples are read where they lie, the interpreter is released while the core works, and a
//! panic of the core becomes a `NativeError`. Shapes and dtypes are settled in Python beforehand.

#![deny(unsafe_code)]

mod arrays;
mod arrays_functions;
mod batch;
mod build;
mod config;
mod gaps;
mod guard;
mod indices;
mod json_numbers;
mod logging;
mod pool;
mod results;
mod simd_path;
mod stream;

use arrays::{Rows, Signal, each, read};
use config::Config;
use ecg_core::rhythm::{Beats, find_anomalies};
use ecg_core::{hrv, quality, rpeaks};
use guard::guarded;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use results::{
    RawAnalysis, RawAnomaly, RawHrv, RawQuality, raw_anomaly, raw_quality, sample_indices,
};

#[pymodule(name = "_native", gil_used = false)]
mod native {
    #[pymodule_export]
    use super::{
        analyze, detect_r_peaks, find_anomalies_, hrv_, normal_intervals, panic_for_test,
        signal_quality,
    };
    #[pymodule_export]
    use crate::arrays_functions::{
        bandpass, notch, prepare_ecg_fm, remove_baseline, resample_, segment_, standardize_,
    };
    #[pymodule_export]
    use crate::batch::analyze_batch;
    #[pymodule_export]
    use crate::build::build_info;
    #[pymodule_export]
    use crate::gaps::fill_gaps;
    #[pymodule_export]
    use crate::indices::{check_lead_reversal, quality_indices, snr_db};
    #[pymodule_export]
    use crate::json_numbers::take_json_numbers;
    #[pymodule_export]
    use crate::simd_path::{available_simd_paths, force_simd_path, simd_path};
    #[pymodule_export]
    use crate::stream::{BeatStream, open_stream};
    use pyo3::prelude::*;

    #[pymodule_init]
    #[expect(clippy::unnecessary_wraps)]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::logging::start();
        Ok(())
    }
}

#[pyfunction]
fn detect_r_peaks<'py>(
    py: Python<'py>,
    x: Signal<'py>,
    fs_hz: f64,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let peaks = each!(x, array => read(py, &array, |leads| rpeaks::detect_r_peaks(leads, fs_hz)))?;
    Ok(sample_indices(py, &peaks))
}

#[pyfunction]
fn signal_quality(
    py: Python<'_>,
    x: Signal<'_>,
    fs_hz: f64,
    noise_threshold: f64,
) -> PyResult<RawQuality> {
    let found = each!(x, array => read(py, &array, |leads| {
        quality::signal_quality(leads, fs_hz, noise_threshold)
    }))?;
    Ok(raw_quality(&found))
}

#[pyfunction(name = "hrv")]
#[expect(clippy::needless_pass_by_value)]
fn hrv_(py: Python<'_>, rr_ms: PyReadonlyArray1<'_, f64>) -> PyResult<RawHrv> {
    let rr_ms = rr_ms.as_slice()?;
    guarded(py, || Ok(RawHrv::from(&hrv::hrv(rr_ms))))
}

#[pyfunction]
#[expect(clippy::needless_pass_by_value)]
fn normal_intervals<'py>(
    py: Python<'py>,
    rr_ms: PyReadonlyArray1<'py, f64>,
    unlike: Option<PyReadonlyArray1<'py, bool>>,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let rr_ms = rr_ms.as_slice()?;
    let unlike = unlike.as_ref().map(PyReadonlyArray1::as_slice).transpose()?;
    let normal = guarded(py, || Ok(hrv::normal_intervals(rr_ms, unlike)))?;
    Ok(PyArray1::from_slice(py, &normal))
}

#[pyfunction(name = "find_anomalies")]
#[expect(clippy::needless_pass_by_value)]
fn find_anomalies_(
    py: Python<'_>,
    peaks_s: PyReadonlyArray1<'_, f64>,
    duration_s: f64,
    unlike: Option<PyReadonlyArray1<'_, bool>>,
    measurable: Option<Vec<(f64, f64)>>,
    min_heart_rate: f64,
    max_heart_rate: f64,
) -> PyResult<Vec<RawAnomaly>> {
    let beats = Beats {
        peaks_s: peaks_s.as_slice()?,
        duration_s,
        unlike: unlike.as_ref().map(PyReadonlyArray1::as_slice).transpose()?,
        measurable: measurable.as_deref(),
        min_heart_rate,
        max_heart_rate,
    };
    let found = guarded(py, || Ok(find_anomalies(&beats)))?;
    Ok(found.iter().map(raw_anomaly).collect())
}

#[pyfunction]
fn analyze<'py>(py: Python<'py>, x: Signal<'py>, config: Config) -> PyResult<RawAnalysis<'py>> {
    let options = config.into();
    let analysis = each!(x, array => {
        let rows = Rows::of(&array)?;
        py.detach(|| batch::analyze_one(rows, &options)).0?
    });
    Ok(RawAnalysis::new(py, &analysis))
}

/// Panics inside the core's guard, so that a test can see what becomes of it.
#[pyfunction(name = "_panic_for_test")]
fn panic_for_test(py: Python<'_>, message: &str) -> PyResult<()> {
    guarded(py, || panic!("{message}"))
}
