//! The threads that help the calling one with a batch.

use crate::guard::ConfigError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

const THREADS: &str = "RAYON_NUM_THREADS";

/// The helpers of this process: those of its parent did not survive a fork.
///
/// None where there is but one core, or no thread can be started.
pub(crate) fn helpers() -> PyResult<Option<Arc<ThreadPool>>> {
    static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
    let process = std::process::id();
    let mut kept = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((owner, pool)) = kept.as_ref()
        && *owner == process
    {
        return Ok(Some(Arc::clone(pool)));
    }
    let Some(pool) = started(threads()? - 1) else { return Ok(None) };
    // The pool of a parent must not be dropped here: that would wait for threads that are not there.
    std::mem::forget(kept.replace((process, Arc::clone(&pool))));
    Ok(Some(pool))
}

fn started(helpers: usize) -> Option<Arc<ThreadPool>> {
    let builder = ThreadPoolBuilder::new().thread_name(|i| format!("ecg-{i}"));
    // Zero of them would mean as many as there are cores.
    (helpers > 0).then(|| builder.num_threads(helpers).build().ok().map(Arc::new))?
}

/// How many threads work on a batch: `RAYON_NUM_THREADS`, else one for each core.
fn threads() -> PyResult<usize> {
    let asked = std::env::var(THREADS).unwrap_or_default();
    let number: usize = match asked.trim() {
        "" => 0,
        text => text.parse().map_err(|_| {
            ConfigError::new_err(format!("{THREADS} must be a whole number, not {asked:?}"))
        })?,
    };
    Ok(if number > 0 { number } else { available_parallelism().map_or(1, usize::from) })
}
