//! The border between Python and the core: interpreter released, panics caught, errors mapped.

use ecg_core::{Error, ErrorKind};
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

pyo3::import_exception!(ecg_processor_py.errors, ConfigError);
pyo3::import_exception!(ecg_processor_py.errors, InvalidSignalError);
pyo3::import_exception!(ecg_processor_py.errors, NativeError);

/// Why the core gave no answer.
pub(crate) enum Failure {
    /// It refused.
    Refused(Error),
    /// It panicked, with this message.
    Panicked(String),
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => match error.kind() {
                ErrorKind::Signal => InvalidSignalError::new_err(error.to_string()),
                ErrorKind::Config => ConfigError::new_err(error.to_string()),
            },
            Failure::Panicked(message) => NativeError::new_err(format!(
                "the Rust core panicked, please report this: {message}"
            )),
        }
    }
}

/// Run `work` without the interpreter lock.
pub(crate) fn guarded<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    Ok(py.detach(|| caught(work))?)
}

/// Turn a panic of `work` into a [`Failure`].
///
/// Nothing that `work` borrows outlives a panic, hence `AssertUnwindSafe`. Without the guard a panic
/// would reach Python as `PanicException`, which `except Exception` does not catch.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(Failure::Refused),
        Err(panic) => {
            let message = text(panic.as_ref());
            log::warn!(target: crate::logging::TARGET, "caught a panic: {message}");
            Err(Failure::Panicked(message.to_owned()))
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
