//! `ecg_processor_py._native`: arrays in and out of [`ecg_core`].
//!
//! Samples are read where they lie, the interpreter is released while the core works, and a
//! panic of the core becomes a `NativeError`. Shapes and dtypes are settled in Python beforehand.

#![deny(unsafe_code)]

mod arrays;
mod batch;
mod build;
mod gaps;
mod guard;
mod logging;
mod results;

use arrays::{Rows, Signal, each};
use ecg_core::{Options, filter, hrv, prepare, quality, resample, rpeaks, segment, standardize};
use guard::guarded;
use numpy::{PyArray1, PyArray3, PyReadonlyArray1};
use pyo3::prelude::*;
use results::{RawAnalysis, RawHrv, RawQuality, raw_quality, sample_indices};

#[pymodule(name = "_native", gil_used = false)]
mod native {
    #[pymodule_export]
    use super::{
        analyze, bandpass, detect_r_peaks, hrv_, panic_for_test, prepare_ecg_fm, remove_baseline,
        resample_, segment_, signal_quality, standardize_,
    };
    #[pymodule_export]
    use crate::batch::analyze_batch;
    #[pymodule_export]
    use crate::build::build_info;
    #[pymodule_export]
    use crate::gaps::fill_gaps;
    use pyo3::prelude::*;

    #[pymodule_init]
    #[expect(clippy::unnecessary_wraps)]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::logging::start();
        Ok(())
    }
}

#[pyfunction(name = "resample")]
fn resample_<'py>(
    py: Python<'py>,
    x: Signal<'py>,
    fs_in: f64,
    fs_out: f64,
) -> PyResult<Bound<'py, PyAny>> {
    each!(x, array => {
        let rows = Rows::of(&array)?;
        let y = guarded(py, || resample::resample(&rows.leads()?, fs_in, fs_out))?;
        rows.matrix(py, y)
    })
}

#[pyfunction(name = "standardize")]
fn standardize_<'py>(py: Python<'py>, x: Signal<'py>) -> PyResult<Bound<'py, PyAny>> {
    each!(x, array => {
        let rows = Rows::of(&array)?;
        let y = guarded(py, || Ok(standardize::standardize(&rows.leads()?)))?;
        rows.matrix(py, y)
    })
}

#[pyfunction(name = "segment")]
fn segment_<'py>(
    py: Python<'py>,
    x: Signal<'py>,
    window: usize,
    hop: usize,
) -> PyResult<Bound<'py, PyAny>> {
    each!(x, array => {
        let rows = Rows::of(&array)?;
        let y = guarded(py, || segment::segment(&rows.leads()?, window, hop))?;
        let count = segment::segment_count(rows.samples, window, hop);
        rows.cube(py, y, count, window)
    })
}

#[pyfunction]
fn prepare_ecg_fm<'py>(
    py: Python<'py>,
    x: Signal<'py>,
    fs_hz: f64,
    order: [Option<usize>; prepare::LEADS],
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let y = each!(x, array => {
        let rows = Rows::of(&array)?;
        guarded(py, || prepare::prepare_ecg_fm(&rows.leads()?, fs_hz, &order))?
    });
    let segments = y.len() / (prepare::LEADS * prepare::SEGMENT);
    arrays::shaped(py, y, [segments, prepare::LEADS, prepare::SEGMENT])
}

#[pyfunction]
fn bandpass<'py>(
    py: Python<'py>,
    x: Signal<'py>,
    fs_hz: f64,
    low_hz: f64,
    high_hz: f64,
    order: usize,
) -> PyResult<Bound<'py, PyAny>> {
    each!(x, array => {
        let rows = Rows::of(&array)?;
        let y = guarded(py, || filter::bandpass(&rows.leads()?, fs_hz, low_hz, high_hz, order))?;
        rows.matrix(py, y)
    })
}

#[pyfunction]
fn remove_baseline<'py>(
    py: Python<'py>,
    x: Signal<'py>,
    fs_hz: f64,
    cutoff_hz: f64,
) -> PyResult<Bound<'py, PyAny>> {
    each!(x, array => {
        let rows = Rows::of(&array)?;
        let y = guarded(py, || filter::remove_baseline(&rows.leads()?, fs_hz, cutoff_hz))?;
        rows.matrix(py, y)
    })
}

#[pyfunction]
fn detect_r_peaks<'py>(
    py: Python<'py>,
    x: Signal<'py>,
    fs_hz: f64,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let peaks = each!(x, array => {
        let rows = Rows::of(&array)?;
        guarded(py, || rpeaks::detect_r_peaks(&rows.leads()?, fs_hz))?
    });
    Ok(sample_indices(py, &peaks))
}

#[pyfunction]
fn signal_quality(
    py: Python<'_>,
    x: Signal<'_>,
    fs_hz: f64,
    noise_threshold: f64,
) -> PyResult<RawQuality> {
    let found = each!(x, array => {
        let rows = Rows::of(&array)?;
        guarded(py, || quality::signal_quality(&rows.leads()?, fs_hz, noise_threshold))?
    });
    Ok(raw_quality(&found))
}

#[pyfunction(name = "hrv")]
#[expect(clippy::needless_pass_by_value)]
fn hrv_(py: Python<'_>, rr_ms: PyReadonlyArray1<'_, f64>) -> PyResult<RawHrv> {
    let rr_ms = rr_ms.as_slice()?;
    guarded(py, || Ok(hrv::hrv(rr_ms))).map(RawHrv::from)
}

#[pyfunction]
#[expect(clippy::too_many_arguments)]
fn analyze<'py>(
    py: Python<'py>,
    x: Signal<'py>,
    fs_hz: f64,
    enable_hrv: bool,
    enable_anomaly_detection: bool,
    min_heart_rate: f64,
    max_heart_rate: f64,
    noise_threshold: f64,
    min_signal_quality: f64,
) -> PyResult<RawAnalysis<'py>> {
    let options = Options {
        fs_hz,
        hrv: enable_hrv,
        anomalies: enable_anomaly_detection,
        min_heart_rate,
        max_heart_rate,
        noise_threshold,
        min_signal_quality,
    };
    let analysis = each!(x, array => {
        let rows = Rows::of(&array)?;
        py.detach(|| batch::analyze_one(rows, &options)).0?
    });
    Ok(RawAnalysis::new(py, analysis))
}

/// Panics inside the core's guard, so that a test can see what becomes of it.
#[pyfunction(name = "_panic_for_test")]
fn panic_for_test(py: Python<'_>, message: &str) -> PyResult<()> {
    guarded(py, || panic!("{message}"))
}
