//! Gaps filled, for Python.

use crate::arrays::{Rows, Signal, each};
use crate::guard::guarded;
use ecg_core::gaps;
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;

/// Filled samples, and (lead, start, end) of each gap.
type Filled<'py> = (Bound<'py, PyAny>, Vec<(usize, usize, usize)>);

#[pyfunction]
pub(crate) fn fill_gaps<'py>(
    py: Python<'py>,
    x: Signal<'py>,
    fs_hz: f64,
    longest_s: f64,
    marker: Option<f64>,
) -> PyResult<Filled<'py>> {
    each!(x, array => {
        let rows = Rows::of(&array)?;
        let shape = (rows.leads, rows.samples);
        let (y, gaps) =
            guarded(py, || gaps::fill_gaps(rows.data, shape, fs_hz, longest_s, marker))?;
        let spans = gaps.iter().map(|gap| (gap.lead, gap.start, gap.end)).collect();
        let filled = PyArray1::from_vec(py, y).reshape([rows.leads, rows.samples])?;
        Ok((filled.into_any(), spans))
    })
}
