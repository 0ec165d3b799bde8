//! Borrowing samples from Python without copying them.

use crate::guard::guarded;
use ecg_core::{Error, Leads, Sample};
use numpy::ndarray::Dimension;
use numpy::{Element, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// A C-contiguous `(leads, samples)` array of either float type.
pub(crate) enum Signal<'py> {
    F64(PyReadonlyArray2<'py, f64>),
    F32(PyReadonlyArray2<'py, f32>),
}

impl<'py> FromPyObject<'_, 'py> for Signal<'py> {
    type Error = PyErr;

    /// Written out: what derives from `FromPyObject` makes two exceptions on its way to float32.
    fn extract(x: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = x.cast::<PyArray2<f64>>() {
            return Ok(Self::F64(array.try_readonly()?));
        }
        let wanted = || PyTypeError::new_err("not a float32 or float64 array (leads, samples)");
        let array = x.cast::<PyArray2<f32>>().map_err(|_| wanted())?;
        Ok(Self::F32(array.try_readonly()?))
    }
}

/// Do the same with either float type.
macro_rules! each {
    ($signal:expr, $array:ident => $body:expr) => {
        match $signal {
            $crate::arrays::Signal::F64($array) => $body,
            $crate::arrays::Signal::F32($array) => $body,
        }
    };
}
pub(crate) use each;

/// Samples as they lie in the array.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, S> {
    pub(crate) data: &'a [S],
    pub(crate) leads: usize,
    pub(crate) samples: usize,
}

impl<'a, S: Sample + Element> Rows<'a, S> {
    pub(crate) fn of(array: &'a PyReadonlyArray2<'_, S>) -> PyResult<Self> {
        if !array.is_c_contiguous() {
            // `as_slice` takes Fortran order as well, in which leads and samples are swapped.
            return Err(PyTypeError::new_err("the array must be C-contiguous"));
        }
        let (leads, samples) = array.dims().into_pattern();
        Ok(Self { data: array.as_slice()?, leads, samples })
    }

    /// The checked view that the core takes.
    pub(crate) fn leads(&self) -> Result<Leads<'a, S>, Error> {
        Leads::new(self.data, self.leads, self.samples)
    }
}

/// Let `work` read `array` without the interpreter lock.
pub(crate) fn read<S: Sample + Element, T: Send>(
    py: Python<'_>,
    array: &PyReadonlyArray2<'_, S>,
    work: impl FnOnce(&Leads<S>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let rows = Rows::of(array)?;
    guarded(py, || work(&rows.leads()?))
}
