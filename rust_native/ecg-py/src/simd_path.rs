//! Which vector instructions run.

use crate::guard::{ConfigError, Failure};
use ecg_core::simd::{self, Path};
use pyo3::prelude::*;

#[pyfunction]
pub(crate) fn simd_path() -> &'static str {
    simd::path().name()
}

#[pyfunction]
pub(crate) fn available_simd_paths() -> Vec<&'static str> {
    Path::ALL.into_iter().filter(|path| path.is_available()).map(Path::name).collect()
}

#[pyfunction]
pub(crate) fn force_simd_path(name: &str) -> PyResult<()> {
    let path = match name {
        "auto" => Some(simd::widest()),
        _ => Path::ALL.into_iter().find(|path| path.name() == name),
    };
    let unknown = || ConfigError::new_err(format!("no vector instructions are called {name:?}"));
    simd::force(path.ok_or_else(unknown)?).map_err(|error| Failure::Refused(error).into())
}
