//! R peaks: candidates, the best chain of them, and each moved to the extremum of its lead.
//!
//! There is no learning phase, both ends of a strip are seen through mirror images, several leads
//! vote, and everything is linear in time.

use crate::candidates::{Candidates, height, r_peak};
use crate::chain::best_chain;
use crate::curves::Curves;
use crate::error::Error;
use crate::leads::{Leads, Sample};
use crate::scratch::{Buffer, empty};
use crate::voices::Voices;

/// Shortest recording in which beats are sought, s.
pub const LEAST_S: f64 = 1.0;

/// R peaks as ascending sample indices; several leads are judged together.
///
/// # Errors
/// [`Error::TooShort`] below one second, [`Error::Parameter`] for a rate outside 100 to 2000 Hz.
pub fn detect_r_peaks<S: Sample>(x: &Leads<S>, fs_hz: f64) -> Result<Vec<usize>, Error> {
    require_analysable(x, fs_hz)?;
    let curves = Curves::of(x, fs_hz);
    let voices = Voices::of(&curves);
    Ok(Beats::find(x.samples(), &curves, &voices).peaks.to_vec())
}

/// Refuse rates and durations in which no beat can be found.
pub(crate) fn require_analysable<S: Sample>(x: &Leads<S>, fs_hz: f64) -> Result<(), Error> {
    require_rate_of_analysis(fs_hz)?;
    x.require_duration(fs_hz, LEAST_S)
}

/// Refuse rates at which no beat can be found.
pub(crate) fn require_rate_of_analysis(fs_hz: f64) -> Result<(), Error> {
    if (100.0..=2000.0).contains(&fs_hz) {
        return Ok(());
    }
    Err(Error::Parameter { name: "fs_hz", must: "in 100 to 2000", value: fs_hz })
}

/// The beats of a recording.
#[derive(Debug)]
pub struct Beats {
    /// R peaks, sample indices, ascending.
    pub peaks: Buffer<usize>,
    /// Where they are in the curves.
    pub places: Buffer<usize>,
    /// Log-odds of each.
    pub odds: Buffer<f64>,
    /// Beats that may have been passed over: sum of the other candidates' probabilities.
    pub doubt: f64,
}

impl Beats {
    /// Find them in the curves, and their peaks among the recorded samples.
    #[must_use]
    pub fn find(samples: usize, curves: &Curves, voices: &Voices) -> Self {
        let candidates = Candidates::of(curves, voices);
        let mut at_s: Buffer<f64> = empty();
        at_s.extend(candidates.at.iter().map(|at| *at as f64 / curves.fs_hz));
        let mut beats = Self { peaks: empty(), places: empty(), odds: empty(), doubt: 0.0 };
        let chain = best_chain(&at_s, &candidates.odds, curves.duration_s());
        let all: f64 = candidates.odds.iter().copied().map(probability).sum();
        beats.doubt = all - chain.iter().map(|i| probability(candidates.odds[*i])).sum::<f64>();
        for i in chain.iter() {
            let place = r_peak(curves, voices, candidates.at[*i]);
            let peak = recorded_peak(samples, curves, voices, place);
            if beats.peaks.last().is_none_or(|last| *last < peak) {
                beats.peaks.push(peak);
                beats.places.push(place);
                beats.odds.push(candidates.odds[*i]);
            }
        }
        beats
    }

    /// Sum of the beats' probabilities over the number of beats there are or may be; zero for none.
    ///
    /// Near one the detectors agree on every beat; noise gives many half-hearted candidates.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        let sure: f64 = self.odds.iter().copied().map(probability).sum();
        let beats = self.odds.len() as f64 + self.doubt.max(0.0);
        if self.odds.is_empty() { 0.0 } else { sure / beats }
    }
}

/// Mean probability of log-odds; zero for none.
#[must_use]
pub fn mean_probability(odds: &[f64]) -> f64 {
    let sum: f64 = odds.iter().copied().map(probability).sum();
    if odds.is_empty() { 0.0 } else { sum / odds.len() as f64 }
}

/// Probability for log-odds.
pub(crate) fn probability(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

/// The recorded sample where the parabola through the extremum of the band has its vertex.
fn recorded_peak(samples: usize, curves: &Curves, voices: &Voices, place: usize) -> usize {
    let [before, top, after] = [place.saturating_sub(1), place, place + 1]
        .map(|at| f64::from(height(curves, voices, at.min(curves.samples - 1))));
    let bend = before - 2.0 * top + after;
    let vertex = if bend < 0.0 { 0.5 * (before - after) / bend } else { 0.0 };
    let middle = (place as f64 + vertex.clamp(-0.5, 0.5)) * curves.step as f64;
    let offset = 0.5 * (curves.step - 1) as f64;
    ((middle + offset).max(0.0).round() as usize).min(samples - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beats of 1 mV, 80 ms wide, at the given samples of a 500 Hz lead.
    fn strip(beats: &[usize], samples: usize) -> Vec<f64> {
        let shape = |t: f64| (1.0 - (t / 12.0).powi(2)) * (-0.5 * (t / 12.0).powi(2)).exp();
        let at = |i: usize| beats.iter().map(|b| shape(i as f64 - *b as f64)).sum();
        (0..samples).map(at).collect()
    }

    fn peaks(x: &[f64]) -> Vec<usize> {
        detect_r_peaks(&Leads::new(x, 1, x.len()).unwrap(), 500.0).unwrap()
    }

    #[test]
    fn finds_every_beat_whatever_amplitude_offset_and_polarity() {
        let beats: Vec<usize> = (0..12).map(|i| 60 + i * 420).collect();
        let x = strip(&beats, 5000);
        for (gain, offset) in [(1.0, 0.0), (-1.0, 0.0), (0.001, 0.0), (20.0, 0.0), (1.0, 300.0)] {
            let y: Vec<f64> = x.iter().map(|v| gain * v + offset).collect();
            assert_eq!(peaks(&y), beats, "gain {gain}, offset {offset}");
        }
    }

    #[test]
    fn flat_leads_have_no_beats() {
        assert!(peaks(&vec![0.0; 5000]).is_empty());
        assert!(peaks(&vec![299.7; 5000]).is_empty());
        let both = [vec![1.0; 5000], vec![-2.5; 5000]].concat();
        let both = Leads::new(&both, 2, 5000).unwrap();
        assert!(detect_r_peaks(&both, 500.0).unwrap().is_empty());
    }

    #[test]
    fn a_lead_that_falls_off_keeps_its_beats_and_gains_none() {
        let beats: Vec<usize> = (0..9).map(|i| 100 + i * 420).collect();
        let mut x = strip(&beats, 12_000);
        x[4000..].fill(250.0);
        let found = peaks(&x);
        assert!(found.iter().all(|p| *p <= 4100), "{found:?}");
    }

    #[test]
    fn hostile_signals_do_not_panic() {
        let rails: Vec<f64> = (0..5000).map(|i| if i % 2 == 0 { 1e3 } else { -1e3 }).collect();
        let step: Vec<f64> = (0..5000).map(|i| f64::from(u8::from(i > 2500)) * 1e3).collect();
        let mut spike = vec![0.0; 5000];
        spike[0] = 1e3;
        spike[4999] = -1e3;
        let tiny = vec![f64::MIN_POSITIVE; 5000];
        for x in [&rails, &step, &spike, &tiny] {
            peaks(x);
        }
        for fs in [100.0, 2000.0] {
            let x = strip(&[30, 60, 1999], 2000);
            detect_r_peaks(&Leads::new(&x, 1, 2000).unwrap(), fs).unwrap();
        }
        let x = Leads::new(&rails, 1, 5000).unwrap();
        for fs in [0.0, f64::NAN, 99.0, 2001.0] {
            assert!(matches!(detect_r_peaks(&x, fs), Err(Error::Parameter { .. })));
        }
    }
}
