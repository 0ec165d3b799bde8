//! A stream of samples in, beats out, for Python.

use crate::arrays::{Rows, Signal, each};
use crate::guard::guarded;
use ecg_core::stream::{Beat, Stream};
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Index, time in s, interval in ms, rate in bpm, confidence, premature.
type RawBeat = (u64, f64, f64, f64, f64, bool);

/// Threads may share it: they wait for each other.
#[pyclass(frozen)]
pub(crate) struct BeatStream(Mutex<Stream>);

#[pyfunction]
pub(crate) fn open_stream(py: Python<'_>, fs_hz: f64, leads: usize) -> PyResult<BeatStream> {
    guarded(py, || Ok(BeatStream(Mutex::new(Stream::new(fs_hz, leads)?))))
}

#[pymethods]
impl BeatStream {
    fn push(&self, py: Python<'_>, x: Signal<'_>) -> PyResult<Vec<RawBeat>> {
        let beats = each!(x, array => {
            let rows = Rows::of(&array)?;
            guarded(py, || {
                let leads = rows.leads()?;
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(&leads)
            })?
        });
        Ok(beats.iter().map(raw_beat).collect())
    }

    fn flush(&self, py: Python<'_>) -> PyResult<Vec<RawBeat>> {
        let flush = || Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).flush());
        Ok(guarded(py, flush)?.iter().map(raw_beat).collect())
    }
}

fn raw_beat(beat: &Beat) -> RawBeat {
    (beat.index, beat.time_s, beat.rr_ms, beat.heart_rate, beat.confidence, beat.premature)
}
