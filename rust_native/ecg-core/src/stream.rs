//! R peaks of a signal that is still arriving, each within half a second.
//!
//! The last ten seconds are kept. At fixed sample positions, so that it does not matter how the
//! stream is cut, the detector of whole recordings looks at them, and beats that are old enough to
//! be told, and not yet too old to be told in time, are given. Memory and time a sample are bounded.

mod past;
mod swings;

use crate::curves::{Curves, count, step_at};
use crate::error::Error;
use crate::leads::{Leads, Sample};
use crate::order::median_of;
use crate::rpeaks::{Beats, probability, require_rate_of_analysis};
use crate::scratch::{empty, leftover};
use crate::voices::Voices;
use past::Past;
use std::collections::VecDeque;
use swings::Swings;

/// What is kept and looked at, s.
const WINDOW_S: f64 = 10.0;
/// From one look to the next, s.
const LOOK_EVERY_S: f64 = 0.04;
/// Signal needed after a beat before it can be told, s.
const LEAST_AGE_S: f64 = 0.36;
/// Signal after a beat within which it must be told, s.
const MOST_AGE_S: f64 = 0.5;
/// With less signal than this only sure beats are given, s, and what is sure, log-odds.
const EARLY_S: f64 = 0.8;
const EARLY_ODDS: f64 = 2.5;
/// What is less sure waits for the last look that is in time, log-odds: in noise the next samples
/// often refute it.
const DOUBTFUL_ODDS: f64 = 1.0;
/// No two beats are nearer, s.
const REFRACTORY_S: f64 = 0.2;
/// Intervals from which the rate is told.
const RECENT: usize = 8;
/// Part of the usual interval below which a beat is premature.
const PREMATURE: f64 = 0.8;

/// One beat of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    /// R peak, in samples since the first of the stream.
    pub index: u64,
    /// The same in seconds.
    pub time_s: f64,
    /// Interval from the beat before, ms; NaN for the first.
    pub rr_ms: f64,
    /// Of the median of the last eight intervals, bpm; NaN for the first beat.
    pub heart_rate: f64,
    /// Probability that it is a beat, 0 to 1.
    pub confidence: f64,
    /// It comes at least 20 % before the median of the eight intervals before.
    pub premature: bool,
}

/// Finds beats in a signal that arrives in chunks.
#[derive(Debug)]
pub struct Stream {
    grid: Grid,
    /// Samples of each lead from `start` on.
    rows: Vec<Vec<f32>>,
    /// Absolute index of the first sample kept, a multiple of the decimation.
    start: u64,
    last: Option<u64>,
    intervals_ms: VecDeque<f64>,
    past: Past,
    swings: Swings,
}

/// Durations in recorded samples.
#[derive(Debug, Clone, Copy)]
struct Grid {
    fs_hz: f64,
    hop: usize,
    window: usize,
    least_age: u64,
    most_age: u64,
    refractory: u64,
    early: u64,
}

impl Grid {
    fn at(fs_hz: f64) -> Self {
        let step = step_at(fs_hz);
        let hop = step * count(LOOK_EVERY_S, fs_hz / step as f64);
        let samples = |seconds: f64| (seconds * fs_hz) as u64;
        Self {
            fs_hz,
            hop,
            window: hop * count(WINDOW_S, fs_hz / hop as f64),
            least_age: samples(LEAST_AGE_S),
            most_age: samples(MOST_AGE_S),
            refractory: samples(REFRACTORY_S),
            early: samples(EARLY_S),
        }
    }

    /// Whether a beat is old enough to be told, not too old, and sure enough for its age.
    fn may_tell(&self, index: u64, odds: f64, now: u64, least_age: u64) -> bool {
        let in_time = index + least_age <= now && now <= index + self.most_age;
        let last_look = least_age == 0 || now + self.hop as u64 > index + self.most_age;
        let sure = odds >= DOUBTFUL_ODDS || last_look;
        in_time && sure && (now >= self.early || odds >= EARLY_ODDS)
    }
}

impl Stream {
    /// A stream of so many leads at its first sample.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a rate outside 100 to 2000 Hz, [`Error::Shape`] without leads.
    pub fn new(fs_hz: f64, leads: usize) -> Result<Self, Error> {
        require_rate_of_analysis(fs_hz)?;
        if leads == 0 {
            return Err(Error::Shape { len: 0, leads, samples: 0 });
        }
        Ok(Self::opened(Grid::at(fs_hz), leads))
    }

    fn opened(grid: Grid, leads: usize) -> Self {
        Self {
            grid,
            rows: vec![Vec::new(); leads],
            start: 0,
            last: None,
            intervals_ms: VecDeque::new(),
            past: Past::of(leads),
            swings: Swings::of(leads, grid.fs_hz),
        }
    }

    /// Take the next samples and give the beats that can be told now.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of leads, [`Error::Implausible`] where most of the last
    /// ten seconds swing further than any heart's; nothing is taken then.
    pub fn push<S: Sample>(&mut self, x: &Leads<S>) -> Result<Vec<Beat>, Error> {
        if x.count() != self.rows.len() {
            let (len, leads) = (x.data().len(), self.rows.len());
            return Err(Error::Shape { len, leads, samples: x.samples() });
        }
        self.swings.take(x)?;
        let (mut beats, mut taken) = (Vec::new(), 0);
        while taken < x.samples() {
            let until_look = self.grid.hop - self.rows[0].len() % self.grid.hop;
            let size = until_look.min(x.samples() - taken);
            for (row, new) in self.rows.iter_mut().zip(x.rows()) {
                row.extend(new[taken..taken + size].iter().map(|v| v.narrow()));
            }
            taken += size;
            if size == until_look {
                self.look(self.grid.least_age, &mut beats);
                self.forget();
            }
        }
        Ok(beats)
    }

    /// Give the beats that were still too young, and begin anew.
    pub fn flush(&mut self) -> Vec<Beat> {
        let mut beats = Vec::new();
        self.look(0, &mut beats);
        *self = Self::opened(self.grid, self.rows.len());
        beats
    }

    /// Let the detector look at what is kept, and give what is old enough and not too old.
    fn look(&mut self, least_age: u64, beats: &mut Vec<Beat>) {
        let now = self.start + self.rows[0].len() as u64;
        if now < self.grid.least_age {
            return;
        }
        let found = self.found();
        for (peak, odds) in found.peaks.iter().zip(found.odds.iter()) {
            let index = self.start + *peak as u64;
            let told = self.last.is_some_and(|last| index <= last + self.grid.refractory);
            if !told && self.grid.may_tell(index, *odds, now, least_age) {
                beats.push(self.told(index, *odds));
            }
        }
    }

    /// The beats of what is kept.
    fn found(&mut self) -> Beats {
        let samples = self.rows[0].len();
        let mut data = leftover(self.rows.len() * samples);
        for (part, row) in data.chunks_exact_mut(samples).zip(&self.rows) {
            part.copy_from_slice(row);
        }
        let curves = Curves::of(&Leads::checked(&data, samples), self.grid.fs_hz);
        let voices = self.voices(&curves);
        Beats::find(samples, &curves, &voices)
    }

    fn told(&mut self, index: u64, odds: f64) -> Beat {
        let rr_ms = self.last.map_or(f64::NAN, |last| self.seconds(index - last) * 1000.0);
        let usual_ms = self.usual_ms();
        if self.last.is_some() {
            self.intervals_ms.push_back(rr_ms);
            if self.intervals_ms.len() > RECENT {
                self.intervals_ms.pop_front();
            }
        }
        self.last = Some(index);
        Beat {
            index,
            time_s: self.seconds(index),
            rr_ms,
            heart_rate: 60_000.0 / self.usual_ms(),
            confidence: probability(odds),
            premature: rr_ms <= PREMATURE * usual_ms,
        }
    }

    fn seconds(&self, samples: u64) -> f64 {
        samples as f64 / self.grid.fs_hz
    }

    fn usual_ms(&self) -> f64 {
        let mut intervals = empty();
        intervals.extend(self.intervals_ms.iter().copied());
        median_of(&mut intervals)
    }

    /// Each lead's say in the vote: from the past, once there is more of it than is kept.
    fn voices(&mut self, curves: &Curves) -> Voices {
        if curves.leads == 1 {
            return Voices::of(curves);
        }
        self.past.learn(curves, self.start);
        if self.start == 0 { Voices::of(curves) } else { self.past.voices() }
    }

    /// Drop what the next look does not see.
    fn forget(&mut self) {
        let room = self.grid.window - self.grid.hop;
        let old = self.rows[0].len().saturating_sub(room);
        self.rows.iter_mut().for_each(|row| drop(row.drain(..old)));
        self.start += old as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FS_HZ: f64 = 500.0;

    /// Two leads of a minute, beats of 24 ms every 0.8 s, and a wander.
    fn minute() -> Vec<f32> {
        let beat = |t: f32| (1.0 - t * t) * (-0.5 * t * t).exp();
        let at = |i: u32| beat(((i % 400) as f32 - 200.0) / 12.0) + (i as f32 * 0.002).sin();
        (0..30_000).map(at).chain((0..30_000).map(|i| -0.5 * at(i))).collect()
    }

    fn streamed(x: &[f32], size: usize) -> Vec<(u64, usize)> {
        let samples = x.len() / 2;
        let mut stream = Stream::new(FS_HZ, 2).unwrap();
        let mut given = Vec::new();
        for start in (0..samples).step_by(size) {
            let end = (start + size).min(samples);
            let chunk = [&x[start..end], &x[samples + start..samples + end]].concat();
            let beats = stream.push(&Leads::new(&chunk, 2, end - start).unwrap()).unwrap();
            given.extend(beats.iter().map(|beat| (beat.index, end)));
        }
        given.extend(stream.flush().iter().map(|beat| (beat.index, samples)));
        given
    }

    #[test]
    fn every_beat_comes_in_time_however_the_stream_is_cut() {
        let x = minute();
        let expected: Vec<u64> = (0..75).map(|i| 200 + 400 * i).collect();
        for size in [7, 4001] {
            let given = streamed(&x, size);
            assert_eq!(given.iter().map(|g| g.0).collect::<Vec<_>>(), expected, "{size}");
            assert!(given.iter().all(|(index, end)| *end as u64 <= index + 250 + size as u64));
        }
    }

    #[test]
    fn rates_and_intervals_are_told_and_begin_anew() {
        let x = minute();
        let mut stream = Stream::new(FS_HZ, 1).unwrap();
        for _ in 0..2 {
            let beats = stream.push(&Leads::new(&x[..30_000], 1, 30_000).unwrap()).unwrap();
            assert!(beats[0].rr_ms.is_nan() && beats[0].heart_rate.is_nan());
            assert!((beats[20].rr_ms - 800.0).abs() < 1e-9);
            assert!((beats[20].heart_rate - 75.0).abs() < 1e-9);
            assert!(beats.iter().all(|beat| beat.confidence > 0.5 && !beat.premature));
            stream.flush();
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_not_taken() {
        assert!(matches!(Stream::new(99.0, 1), Err(Error::Parameter { .. })));
        assert!(matches!(Stream::new(f64::NAN, 1), Err(Error::Parameter { .. })));
        assert!(matches!(Stream::new(FS_HZ, 0), Err(Error::Shape { .. })));
        let mut stream = Stream::new(FS_HZ, 2).unwrap();
        let one = Leads::new(&[0.0_f64; 300], 1, 300).unwrap();
        assert!(matches!(stream.push(&one), Err(Error::Shape { .. })));
        assert!(stream.rows.iter().all(Vec::is_empty));
    }

    #[test]
    fn memory_is_bounded() {
        let x = minute();
        let mut stream = Stream::new(FS_HZ, 2).unwrap();
        stream.push(&Leads::new(&x, 2, 30_000).unwrap()).unwrap();
        assert!(stream.rows.iter().all(|row| row.capacity() <= 2 * 5000));
        assert!(stream.past.maxima.iter().all(|blocks| blocks.len() <= 900));
    }
}
