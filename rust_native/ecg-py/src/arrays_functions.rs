//! Functions from samples to samples: all of them write into an array of the caller.

use crate::arrays::{Rows, Signal, each};
use crate::guard::guarded;
use ecg_core::filter::{self, Band, Baseline, Mains};
use ecg_core::resample::{self, Method};
use ecg_core::{Error, Leads, Sample, prepare, segment, standardize};
use numpy::{Element, PyArrayDyn, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Write what `work` makes of `array` into `out`, an array that must hold the same type as told.
fn write<S: Sample + Element, T: Element + Send>(
    py: Python<'_>,
    array: &PyReadonlyArray2<'_, S>,
    out: &Bound<'_, PyAny>,
    work: impl FnOnce(&Leads<S>, &mut [T]) -> Result<(), Error> + Send,
) -> PyResult<()> {
    let rows = Rows::of(array)?;
    let out = out.cast::<PyArrayDyn<T>>()?;
    if !out.is_c_contiguous() {
        return Err(PyTypeError::new_err("out must be C-contiguous"));
    }
    let mut out = out.try_readwrite()?;
    let target = out.as_slice_mut()?;
    guarded(py, || work(&rows.leads()?, target))
}

#[pyfunction]
#[pyo3(name = "resample")]
pub(crate) fn resample_(
    py: Python<'_>,
    x: Signal<'_>,
    fs_in: f64,
    fs_out: f64,
    polyphase: bool,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let method = if polyphase { Method::Polyphase } else { Method::Linear };
    each!(x, array => write(py, &array, out, |leads, out| {
        resample::resample_into(leads, fs_in, fs_out, method, out)
    }))
}

#[pyfunction]
#[pyo3(name = "standardize")]
pub(crate) fn standardize_(py: Python<'_>, x: Signal<'_>, out: &Bound<'_, PyAny>) -> PyResult<()> {
    each!(x, array => write(py, &array, out, standardize::standardize_into))
}

#[pyfunction]
#[pyo3(name = "segment")]
pub(crate) fn segment_(
    py: Python<'_>,
    x: Signal<'_>,
    window: usize,
    hop: usize,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    each!(x, array => write(py, &array, out, |leads, out| {
        segment::segment_into(leads, window, hop, out)
    }))
}

#[pyfunction]
pub(crate) fn prepare_ecg_fm(
    py: Python<'_>,
    x: Signal<'_>,
    fs_hz: f64,
    order: [Option<usize>; prepare::LEADS],
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    each!(x, array => write(py, &array, out, |leads, out: &mut [f32]| {
        prepare::prepare_ecg_fm_into(leads, fs_hz, &order, out)
    }))
}

#[pyfunction]
#[expect(clippy::too_many_arguments)]
pub(crate) fn bandpass(
    py: Python<'_>,
    x: Signal<'_>,
    fs_hz: f64,
    low_hz: f64,
    high_hz: f64,
    order: usize,
    mains_hz: Option<f64>,
    q: f64,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let band = Band { low_hz, high_hz, order, mains: mains_hz.map(|hz| Mains { hz, q }) };
    each!(x, array => write(py, &array, out, |leads, out| {
        filter::bandpass_into(leads, fs_hz, &band, out)
    }))
}

#[pyfunction]
pub(crate) fn notch(
    py: Python<'_>,
    x: Signal<'_>,
    fs_hz: f64,
    mains_hz: f64,
    q: f64,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    each!(x, array => write(py, &array, out, |leads, out| {
        filter::notch_into(leads, fs_hz, Mains { hz: mains_hz, q }, out)
    }))
}

/// Without a cut-off: by running medians.
#[pyfunction]
pub(crate) fn remove_baseline(
    py: Python<'_>,
    x: Signal<'_>,
    fs_hz: f64,
    cutoff_hz: Option<f64>,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let baseline = cutoff_hz.map_or(Baseline::Median, Baseline::HighPass);
    each!(x, array => write(py, &array, out, |leads, out| {
        filter::remove_baseline_into(leads, fs_hz, baseline, out)
    }))
}
