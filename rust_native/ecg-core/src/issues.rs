//! Plain faults of a lead, told from its samples alone: each in one or two passes.

use crate::leads::Sample;
use crate::order::median_of;
use crate::scratch::{Buffer, empty};
use crate::simd::{Kernel, vectorize};

/// Less than this from lowest to highest is no signal, mV.
pub const FLAT_MV: f64 = 0.005;
/// A lead that stands still this far from zero is at a rail, mV.
pub const RAILED_MV: f64 = 1.0;
/// Equal samples for this long are held, s.
pub const HELD_S: f64 = 0.5;
/// A lead of which this part is held is flat.
pub const HELD_FLAT: f64 = 0.9;
/// A lead of which this part is held was disconnected.
pub const HELD_PART: f64 = 0.1;
const CLIPPED_S: f64 = 0.008;
const CLIPPED_PART: f64 = 0.002;
/// Twice the ±5 mV that an input must pass (ANSI/AAMI EC11; IEC 60601-2-27).
const FAR_MV: f64 = 10.0;
const FAR_PART: f64 = 0.05;
/// The offset that an input must bear (the same standards).
const OFFSET_MV: f64 = 300.0;
/// Samples that a level is taken from.
const LEVEL_SAMPLES: usize = 256;
const WIDE: usize = 128;

/// What is wrong with a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// It hardly moves at all.
    Flat,
    /// Its extremes are cut off.
    Clipped,
    /// Noise above the threshold, or beats unlike one another.
    Noise,
    /// The baseline wanders.
    Baseline,
    /// It stands still for part of the time, or at a rail.
    Disconnected,
    /// It goes where no input is bound to follow.
    OutOfRange,
    /// Mains of 50 or 60 Hz lie on it.
    Powerline,
}

impl Issue {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Clipped => "clipped",
            Self::Noise => "noise",
            Self::Baseline => "baseline",
            Self::Disconnected => "disconnected",
            Self::OutOfRange => "out_of_range",
            Self::Powerline => "powerline",
        }
    }
}

/// Lowest and highest sample of a lead, and how many samples are one of the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extremes {
    /// Lowest, mV.
    pub low_mv: f64,
    /// Highest, mV.
    pub high_mv: f64,
    /// Samples that equal either.
    pub count: usize,
}

impl Extremes {
    /// Find them in a lead of at least one sample.
    #[must_use]
    pub fn of<S: Sample>(row: &[S]) -> Self {
        vectorize(FindExtremes(row))
    }

    /// Peak to peak, mV.
    #[must_use]
    pub fn range_mv(&self) -> f64 {
        self.high_mv - self.low_mv
    }
}

/// The lead hardly moves, or stands still nearly all the time.
#[must_use]
pub fn is_flat(extremes: &Extremes, held: f64) -> bool {
    extremes.range_mv() < FLAT_MV || held >= HELD_FLAT
}

/// A flat lead stands at a rail, as an open input does.
#[must_use]
pub fn is_railed<S: Sample>(row: &[S]) -> bool {
    row.first().is_some_and(|v| (*v).into().abs() >= RAILED_MV)
}

/// Part of a lead, 0 to 1, in which samples equal their neighbours for half a second or more.
#[must_use]
pub fn held_part<S: Sample>(row: &[S], fs_hz: f64) -> f64 {
    let (_, held) = runs(row, samples_in(HELD_S, fs_hz).max(2), |_| true);
    held as f64 / row.len().max(1) as f64
}

/// The lead rests at its lowest or highest value, 8 ms or more at a time, twice or more.
#[must_use]
pub fn is_clipped<S: Sample>(row: &[S], fs_hz: f64, extremes: &Extremes) -> bool {
    let least = CLIPPED_PART * row.len() as f64;
    if (extremes.count as f64) < least {
        return false;
    }
    let (low, high) = (S::from_f64(extremes.low_mv), S::from_f64(extremes.high_mv));
    let longest = samples_in(CLIPPED_S, fs_hz).max(3);
    let (cuts, cut) = runs(row, longest, |v| v == low || v == high);
    cuts >= 2 && cut as f64 >= least
}

/// The lead is more than 10 mV from its median for a twentieth of the time, or that median more
/// than 300 mV from zero. The median is that of some 256 samples spread over the lead.
#[must_use]
pub fn is_out_of_range<S: Sample>(row: &[S], extremes: &Extremes) -> bool {
    let most = extremes.high_mv.abs().max(extremes.low_mv.abs());
    if extremes.range_mv() <= FAR_MV && most <= OFFSET_MV {
        return false;
    }
    let mut some: Buffer<f64> = empty();
    some.extend(row.iter().step_by((row.len() / LEVEL_SAMPLES).max(1)).map(|v| (*v).into()));
    let level = median_of(&mut some);
    let far = row.iter().filter(|v| ((**v).into() - level).abs() > FAR_MV).count();
    level.abs() > OFFSET_MV || far as f64 >= FAR_PART * row.len() as f64
}

fn samples_in(seconds: f64, fs_hz: f64) -> usize {
    (seconds * fs_hz + 0.5) as usize
}

/// Number and samples of the runs of `least` or more equal samples whose value `counts`.
///
/// Each such run covers a multiple of `least`: only these are looked at, and the runs around them.
fn runs<S: Sample>(row: &[S], least: usize, counts: impl Fn(S) -> bool) -> (usize, usize) {
    let (mut found, mut samples, mut at) = (0, 0, 0);
    while let Some(value) = row.get(at).copied() {
        if !counts(value) {
            at += least;
            continue;
        }
        let before = row[..at].iter().rev().take_while(|v| **v == value).count();
        let length = before + row[at..].iter().take_while(|v| **v == value).count();
        if length >= least {
            found += 1;
            samples += length;
        }
        at = (at - before + length).div_ceil(least) * least;
    }
    (found, samples)
}

struct FindExtremes<'a, S>(&'a [S]);

impl<S: Sample> Kernel for FindExtremes<'_, S> {
    type Output = Extremes;

    #[inline(always)]
    fn call(self) -> Extremes {
        let row = self.0;
        let first = row.first().copied().unwrap_or(S::ZERO);
        let (mut lows, mut highs) = ([first; WIDE], [first; WIDE]);
        let (parts, rest) = row.as_chunks::<WIDE>();
        for part in parts {
            for k in 0..WIDE {
                lows[k] = lower(lows[k], part[k]);
                highs[k] = higher(highs[k], part[k]);
            }
        }
        for (k, v) in rest.iter().enumerate() {
            lows[k] = lower(lows[k], *v);
            highs[k] = higher(highs[k], *v);
        }
        let mut half = WIDE / 2;
        while half > 0 {
            for k in 0..half {
                lows[k] = lower(lows[k], lows[k + half]);
                highs[k] = higher(highs[k], highs[k + half]);
            }
            half /= 2;
        }
        let (low, high) = (lows[0], highs[0]);
        Extremes { low_mv: low.into(), high_mv: high.into(), count: count(row, low, high) }
    }
}

/// Samples that are `low` or `high`.
#[inline(always)]
fn count<S: Sample>(row: &[S], low: S, high: S) -> usize {
    // Counters as wide as an f32: as many lanes.
    let mut counts = [0_u32; WIDE];
    let (parts, rest) = row.as_chunks::<WIDE>();
    for part in parts {
        for k in 0..WIDE {
            counts[k] += u32::from(part[k] == low || part[k] == high);
        }
    }
    let rest = rest.iter().filter(|v| **v == low || **v == high).count();
    counts.iter().sum::<u32>() as usize + rest
}

#[inline(always)]
fn lower<S: Sample>(a: S, b: S) -> S {
    if b < a { b } else { a }
}

#[inline(always)]
fn higher<S: Sample>(a: S, b: S) -> S {
    if b > a { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Path, force, widest};

    const FS: f64 = 500.0;

    fn spikes() -> Vec<f64> {
        (0..5000).map(|i| (-0.5 * (f64::from(i % 400 - 200) / 8.0).powi(2)).exp()).collect()
    }

    fn wave() -> Vec<f64> {
        (0..5000).map(|i| (std::f64::consts::TAU * f64::from(i) / FS).sin()).collect()
    }

    fn naive_held(row: &[f64], fs: f64) -> f64 {
        let least = samples_in(HELD_S, fs);
        let runs = row.chunk_by(|a, b| a == b).map(<[f64]>::len).filter(|n| *n >= least);
        runs.sum::<usize>() as f64 / row.len() as f64
    }

    #[test]
    fn runs_are_found_wherever_they_lie() {
        for start in [0, 1, 249, 250, 251, 3000, 4750] {
            for length in [249, 250, 251, 700, 5000] {
                let mut row: Vec<f64> = (0..5000).map(f64::from).collect();
                let end = (start + length).min(5000);
                row[start..end].fill(-1.0);
                assert_eq!(held_part(&row, FS), naive_held(&row, FS), "{start} {length}");
            }
        }
        assert_eq!(held_part(&[] as &[f64], FS), 0.0);
    }

    #[test]
    fn a_flat_lead_hardly_moves_or_is_held() {
        let flat = |row: &[f64]| is_flat(&Extremes::of(row), held_part(row, FS));
        let small: Vec<f64> = spikes().iter().map(|v| 0.004 * v).collect();
        let mut held = spikes();
        held[400..].fill(0.7);
        assert!(flat(&vec![0.0; 5000]) && flat(&small) && flat(&held));
        assert!(!flat(&spikes()));
        assert!(is_railed(&[-5.0; 9]) && !is_railed(&[0.5; 9]) && !is_railed(&[] as &[f64]));
    }

    #[test]
    fn extremes_that_are_cut_off_are_seen() {
        let clipped = |row: &[f64]| is_clipped(row, FS, &Extremes::of(row));
        let cut: Vec<f64> = spikes().iter().map(|v| v.min(0.6)).collect();
        assert!(clipped(&cut) && clipped(&cut.iter().map(|v| -v).collect::<Vec<_>>()));
        assert!(!clipped(&wave()));
        let mut once = wave();
        once[2000..2100].fill(2.0);
        assert!(!clipped(&once));
    }

    #[test]
    fn a_lead_far_away_is_out_of_range() {
        let out = |row: &[f64]| is_out_of_range(row, &Extremes::of(row));
        let mut away = spikes();
        away[4700..].iter_mut().for_each(|v| *v += 20.0);
        assert!(out(&away));
        away[4700..4900].copy_from_slice(&spikes()[4700..4900]);
        assert!(!out(&away));
        let offset = |mv: f64| spikes().iter().map(|v| v + mv).collect::<Vec<_>>();
        assert!(out(&offset(-310.0)) && !out(&offset(-290.0)) && !out(&spikes()));
    }

    #[test]
    fn every_path_gives_the_same() {
        let row: Vec<f32> = spikes().iter().map(|v| *v as f32).collect();
        let seen = || Extremes::of(&row);
        let expected = seen();
        for path in Path::ALL.into_iter().filter(|p| p.is_available()) {
            force(path).unwrap();
            assert_eq!(seen(), expected, "{path:?}");
        }
        force(widest()).unwrap();
    }
}
