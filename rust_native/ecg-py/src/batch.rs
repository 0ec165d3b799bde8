//! Many recordings at once: every core works, the calling thread too, and order is kept.
//!
//! The interpreter is released throughout. Every now and then the calling thread takes it back to
//! make Python's results of what is there by then, while the others go on.

use crate::arrays::{Rows, Signal};
use crate::config::Config;
use crate::guard::{Failure, caught};
use crate::logging::analyzed;
use crate::pool::helpers;
use crate::results::RawAnalysis;
use ecg_core::{Analysis, Options, Sample};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long the calling thread analyses before it makes results again.
const STRETCH: Duration = Duration::from_micros(500);

/// What came of one recording, and how long it took.
type Timed = (Result<Analysis, Failure>, Duration);

/// The same, and which recording of the batch it was.
type Found = (usize, Timed);

/// Analyse each of `signals`, and list what `tell` makes of (raw analysis or exception, ms).
#[pyfunction]
#[expect(clippy::needless_pass_by_value)]
pub(crate) fn analyze_batch<'py>(
    py: Python<'py>,
    signals: Vec<Signal<'py>>,
    config: Config,
    tell: Py<PyAny>,
) -> PyResult<Vec<Option<Py<PyAny>>>> {
    let rows = signals.iter().map(AnyRows::of).collect::<PyResult<Vec<_>>>()?;
    let batch = Batch { rows: &rows, options: config.into(), claimed: AtomicUsize::new(0) };
    // Asked for before the interpreter is released: no fork can come while its lock is held.
    let helpers = if rows.len() > 1 { helpers()? } else { None };
    let mut told = Told { tell, results: rows.iter().map(|_| None).collect() };
    py.detach(|| {
        let (sender, receiver) = channel();
        let Some(pool) = helpers else {
            drop(sender);
            return told.all(&batch, receiver);
        };
        pool.in_place_scope(|scope| {
            for _ in 0..pool.current_num_threads().min(rows.len() - 1) {
                let (batch, sender) = (&batch, sender.clone());
                scope.spawn(move |_| batch.send_all(&sender));
            }
            drop(sender);
            told.all(&batch, receiver)
        })
    })?;
    Ok(told.results)
}

/// Analyse one recording, panics caught, and log it.
pub(crate) fn analyze_one<S: Sample + numpy::Element>(rows: Rows<S>, options: &Options) -> Timed {
    let start = Instant::now();
    let found = caught(|| ecg_core::analyze(&rows.leads()?, options));
    let took = start.elapsed();
    analyzed(rows.leads, rows.samples, options.fs_hz, took, found.is_ok());
    (found, took)
}

enum AnyRows<'a> {
    F64(Rows<'a, f64>),
    F32(Rows<'a, f32>),
}

impl<'a> AnyRows<'a> {
    fn of(signal: &'a Signal<'_>) -> PyResult<Self> {
        Ok(match signal {
            Signal::F64(array) => Self::F64(Rows::of(array)?),
            Signal::F32(array) => Self::F32(Rows::of(array)?),
        })
    }
}

/// Recordings, of which each thread claims the next one.
struct Batch<'a> {
    rows: &'a [AnyRows<'a>],
    options: Options,
    claimed: AtomicUsize,
}

impl Batch<'_> {
    /// Analyse the next recording; None once all are claimed.
    fn next(&self) -> Option<Found> {
        let index = self.claimed.fetch_add(1, Ordering::Relaxed);
        let timed = match self.rows.get(index)? {
            AnyRows::F64(rows) => analyze_one(*rows, &self.options),
            AnyRows::F32(rows) => analyze_one(*rows, &self.options),
        };
        Some((index, timed))
    }

    /// Work until all are claimed, or nobody listens any more.
    fn send_all(&self, sender: &Sender<Found>) {
        while let Some(found) = self.next()
            && sender.send(found).is_ok()
        {}
    }

    /// Work for a while.
    fn stretch(&self) -> Vec<Found> {
        let start = Instant::now();
        let mut done = Vec::new();
        while start.elapsed() < STRETCH
            && let Some(found) = self.next()
        {
            done.push(found);
        }
        done
    }
}

/// Python's results, each in its place.
struct Told {
    tell: Py<PyAny>,
    results: Vec<Option<Py<PyAny>>>,
}

impl Told {
    /// Work, and tell what comes of it, here and in the helpers.
    fn all(&mut self, batch: &Batch<'_>, receiver: Receiver<Found>) -> PyResult<()> {
        loop {
            let mine = batch.stretch();
            if mine.is_empty() {
                return self.each(receiver.into_iter().collect());
            }
            self.each(mine.into_iter().chain(receiver.try_iter()).collect())?;
        }
    }

    fn each(&mut self, all: Vec<Found>) -> PyResult<()> {
        Python::attach(|py| {
            all.into_iter().try_for_each(|(index, timed)| {
                self.results[index] = Some(self.one(py, timed)?);
                Ok(())
            })
        })
    }

    fn one(&self, py: Python<'_>, (found, took): Timed) -> PyResult<Py<PyAny>> {
        let ms = took.as_secs_f64() * 1000.0;
        match found {
            Ok(analysis) => self.tell.call1(py, (RawAnalysis::new(py, &analysis), ms)),
            Err(failure) => self.tell.call1(py, (PyErr::from(failure).into_value(py), ms)),
        }
    }
}
