//! The border between Python and the core: interpreter released, panics caught, errors mapped.

use ecg_core::{Error, ErrorKind};
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

pyo3::import_exception!(ecg_processor_py.errors, ConfigError);
pyo3::import_exception!(ecg_processor_py.errors, InvalidSignalError);
pyo3::import_exception!(ecg_processor_py.errors, NativeError);

/// Run `work` without the interpreter lock.
///
/// Nothing that `work` borrows outlives a panic, hence `AssertUnwindSafe`. Without the guard a panic
/// would reach Python as `PanicException`, which `except Exception` does not catch.
pub(crate) fn guarded<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(done) => done.map_err(|error| raised(&error)),
        Err(panic) => Err(NativeError::new_err(format!(
            "the Rust core panicked, please report this: {}",
            text(panic.as_ref())
        ))),
    }
}

pub(crate) fn raised(error: &Error) -> PyErr {
    match error.kind() {
        ErrorKind::Signal => InvalidSignalError::new_err(error.to_string()),
        ErrorKind::Config => ConfigError::new_err(error.to_string()),
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
