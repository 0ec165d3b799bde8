//! Many recordings at once: the interpreter is released once, every core works, order is kept.

use crate::arrays::{Rows, Signal};
use crate::guard::{Failure, caught};
use crate::logging::analyzed;
use crate::results::RawAnalysis;
use ecg_core::{Analysis, Options, Sample};
use pyo3::prelude::*;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What came of one recording, and how long it took.
type Timed = (Result<Analysis, Failure>, Duration);

enum AnyRows<'a> {
    F64(Rows<'a, f64>),
    F32(Rows<'a, f32>),
}

/// Analyse each of `signals`: a list of (raw analysis or exception, milliseconds).
#[pyfunction]
#[expect(clippy::too_many_arguments, clippy::needless_pass_by_value)]
pub(crate) fn analyze_batch<'py>(
    py: Python<'py>,
    signals: Vec<Signal<'py>>,
    fs_hz: f64,
    enable_hrv: bool,
    enable_anomaly_detection: bool,
    min_heart_rate: f64,
    max_heart_rate: f64,
    noise_threshold: f64,
    min_signal_quality: f64,
) -> PyResult<Vec<(Py<PyAny>, f64)>> {
    let options = Options {
        fs_hz,
        hrv: enable_hrv,
        anomalies: enable_anomaly_detection,
        min_heart_rate,
        max_heart_rate,
        noise_threshold,
        min_signal_quality,
    };
    let rows = signals.iter().map(rows_of).collect::<PyResult<Vec<_>>>()?;
    // Asked for before the interpreter is released: no fork can come while its lock is held.
    let pool = pool();
    let all = py.detach(|| on_all_cores(pool.as_deref(), &rows, &options));
    all.into_iter().map(|timed| item(py, timed)).collect()
}

/// Analyse one recording, panics caught, and log it.
pub(crate) fn analyze_one<S: Sample + numpy::Element>(rows: Rows<S>, options: &Options) -> Timed {
    let start = Instant::now();
    let found = caught(|| ecg_core::analyze(&rows.leads()?, options));
    let took = start.elapsed();
    analyzed(rows.leads, rows.samples, options.fs_hz, took, found.is_ok());
    (found, took)
}

fn rows_of<'a>(signal: &'a Signal<'_>) -> PyResult<AnyRows<'a>> {
    Ok(match signal {
        Signal::F64(array) => AnyRows::F64(Rows::of(array)?),
        Signal::F32(array) => AnyRows::F32(Rows::of(array)?),
    })
}

fn on_all_cores(pool: Option<&ThreadPool>, all: &[AnyRows<'_>], options: &Options) -> Vec<Timed> {
    let one = |rows: &AnyRows<'_>| match rows {
        AnyRows::F64(rows) => analyze_one(*rows, options),
        AnyRows::F32(rows) => analyze_one(*rows, options),
    };
    match pool {
        Some(pool) if all.len() > 1 => pool.install(|| all.par_iter().map(one).collect()),
        _ => all.iter().map(one).collect(),
    }
}

/// The threads of this process: those of its parent did not survive a fork.
///
/// None where no thread can be started; `RAYON_NUM_THREADS` sets their number.
fn pool() -> Option<Arc<ThreadPool>> {
    static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
    let process = std::process::id();
    let mut kept = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((owner, pool)) = kept.as_ref()
        && *owner == process
    {
        return Some(Arc::clone(pool));
    }
    let builder = ThreadPoolBuilder::new().thread_name(|i| format!("ecg-{i}"));
    let pool = Arc::new(builder.build().ok()?);
    // The pool of a parent must not be dropped here: that would wait for threads that are not there.
    std::mem::forget(kept.replace((process, Arc::clone(&pool))));
    Some(pool)
}

fn item(py: Python<'_>, (found, took): Timed) -> PyResult<(Py<PyAny>, f64)> {
    let ms = took.as_secs_f64() * 1000.0;
    Ok(match found {
        Ok(analysis) => (RawAnalysis::new(py, analysis).into_pyobject(py)?.into_any().unbind(), ms),
        Err(failure) => (PyErr::from(failure).into_value(py).into_any(), ms),
    })
}
