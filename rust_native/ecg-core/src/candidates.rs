//! Places where a beat may be, and how sure it is that one is there.
//!
//! Two cheap detectors look at one band: the slope energy of Pan and Tompkins (1985) proposes its
//! local maxima; the matched filter's question, whether the same shape comes back (`likeness`), and
//! the envelope judge them ([`judge`]). The probability is also the quality index, since the two
//! detectors agree where it is near one.

use crate::curves::{Curves, count};
use crate::evidence::judge;
use crate::reductions::{first_highest, usual_maximum};
use crate::scratch::{Buffer, empty, zeros};
use crate::simd::{Kernel, dispatch, vectorize};
use crate::voices::{FLOOR_MV, Voices};

const CAP: f32 = 2.0;
const APART_S: f64 = 0.140;
const LEAST: f64 = 0.1;
/// Samples that are looked at together.
const MASKED: usize = 256;
/// Reach around a place in which its peak and its envelope are sought, s.
pub const REFINE_S: f64 = 0.060;
/// Part of the highest squared band that makes an extremum the R peak if it comes first.
const STRONG: f32 = 0.5;

/// Slope energy and envelope of several leads together.
#[derive(Debug)]
struct Vote {
    energy: Buffer<f32>,
    envelope: Buffer<f32>,
}

impl Vote {
    fn of(curves: &Curves, voices: &Voices) -> Self {
        let mut sum = Self { energy: zeros(curves.samples), envelope: zeros(curves.samples) };
        for (lead, weight) in voices.weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            let envelope = curves.envelope(lead);
            let envelope_level = usual_maximum(envelope, curves.fs_hz).max(FLOOR_MV);
            vote(&mut sum.energy, curves.energy(lead), *weight, voices.levels[lead]);
            vote(&mut sum.envelope, envelope, *weight, envelope_level);
        }
        sum
    }

    fn pair(&self) -> Pair<'_> {
        Pair { energy: &self.energy, envelope: &self.envelope, ratio: 1.0 }
    }
}

/// Slope energy and envelope that beats are sought in.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// Slope energy.
    pub energy: &'a [f32],
    /// Magnitude of the QRS band.
    pub envelope: &'a [f32],
    /// Usual height of the energy's maxima over that of the envelope's.
    pub ratio: f64,
}

impl<'a> Pair<'a> {
    /// Those of one lead.
    #[must_use]
    pub fn of_lead(curves: &'a Curves, voices: &Voices, lead: usize) -> Self {
        let (energy, envelope) = (curves.energy(lead), curves.envelope(lead));
        let envelope_level = usual_maximum(envelope, curves.fs_hz).max(FLOOR_MV);
        Self { energy, envelope, ratio: voices.levels[lead].max(FLOOR_MV) / envelope_level }
    }

    /// Where the slope energy is highest near each place.
    #[must_use]
    pub fn nearest_maxima(&self, places: &[usize], fs_hz: f64) -> Buffer<usize> {
        let reach = count(REFINE_S, fs_hz);
        let mut at = empty();
        at.extend(places.iter().map(|place| {
            let start = place.saturating_sub(reach);
            let end = (place + reach + 1).min(self.energy.len());
            start + first_highest(&self.energy[start..end])
        }));
        at
    }
}

/// Add a lead's curve, at most twice its usual height: one lead's artefact must not outvote all.
fn vote(sum: &mut [f32], curve: &[f32], weight: f64, level: f64) {
    let (weight, share) = (weight as f32, (1.0 / level) as f32);
    dispatch(
        #[inline(always)]
        || {
            for (sum, v) in sum.iter_mut().zip(curve) {
                let height = v * share;
                *sum += weight * if height > CAP { CAP } else { height };
            }
        },
    );
}

/// Places where a beat may be, ascending.
#[derive(Debug)]
pub struct Candidates {
    /// Where the vote of the slope energies has its maximum.
    pub at: Buffer<usize>,
    /// Where the QRS band has its extremum nearby.
    pub peak: Buffer<usize>,
    /// Log-odds that it is a beat.
    pub odds: Buffer<f64>,
}

impl Candidates {
    /// Propose and judge.
    #[must_use]
    pub fn of(curves: &Curves, voices: &Voices) -> Self {
        if curves.leads == 1 {
            return Self::among(curves, voices, &Pair::of_lead(curves, voices, 0));
        }
        Self::among(curves, voices, &Vote::of(curves, voices).pair())
    }

    fn among(curves: &Curves, voices: &Voices, pair: &Pair) -> Self {
        let at = local_maxima(pair.energy, curves.fs_hz);
        let mut peak: Buffer<usize> = empty();
        peak.extend(at.iter().map(|at| extremum(curves, voices, *at)));
        let odds = judge(curves, voices, pair, &at, &peak);
        Self { at, peak, odds }
    }
}

/// Maxima of a curve that no higher one is near to.
fn local_maxima(curve: &[f32], fs_hz: f64) -> Buffer<usize> {
    let least = (LEAST * usual_maximum(curve, fs_hz)) as f32;
    let maxima = vectorize(Maxima { curve, least });
    let apart = count(APART_S, fs_hz);
    let mut kept: Buffer<usize> = empty();
    for (k, at) in maxima.iter().enumerate() {
        let before = maxima[..k].iter().rev().take_while(|other| at - **other <= apart);
        let after = maxima[k + 1..].iter().take_while(|other| **other - at <= apart);
        let mut before_and_after =
            before.map(|i| curve[*i] >= curve[*at]).chain(after.map(|i| curve[*i] > curve[*at]));
        if !before_and_after.any(|higher| higher) {
            kept.push(*at);
        }
    }
    kept
}

/// Places higher than the one before and `least`, and as high as the one behind.
struct Maxima<'a> {
    curve: &'a [f32],
    least: f32,
}

impl Kernel for Maxima<'_> {
    type Output = Buffer<usize>;

    #[inline(always)]
    fn call(self) -> Buffer<usize> {
        let Self { curve, least } = self;
        let (mut maxima, last) = (empty(), curve.len() - 1);
        let is_top = |before: f32, v: f32, after: f32| v > before && v >= after && v > least;
        if is_top(f32::NEG_INFINITY, curve[0], curve[last.min(1)]) {
            maxima.push(0);
        }
        let mut from = 1;
        while from < last {
            let n = MASKED.min(last - from);
            let (before, after) = (&curve[from - 1..][..n], &curve[from + 1..][..n]);
            let mut tops = [false; MASKED];
            for (i, v) in curve[from..][..n].iter().enumerate() {
                tops[i] = is_top(before[i], *v, after[i]);
            }
            // Most groups hold none: they are passed over as a whole.
            for (group, tops) in tops.as_chunks::<8>().0.iter().enumerate() {
                if tops.iter().fold(false, |any, top| any | top) {
                    let at = from + 8 * group;
                    maxima.extend((0..8).filter(|i| tops[*i]).map(|i| at + i));
                }
            }
            from += n;
        }
        if last > 0 && is_top(curve[last - 1], curve[last], f32::NEG_INFINITY) {
            maxima.push(last);
        }
        maxima
    }
}

/// Where the voters' QRS bands have their highest extremum, near a maximum of the slope energy.
fn extremum(curves: &Curves, voices: &Voices, at: usize) -> usize {
    let (start, heights) = heights(curves, voices, at, voices.voters.len());
    start + first_highest(&heights)
}

/// The R peak: the first extremum of the QRS bands that is about as strong as the highest one.
#[must_use]
pub fn r_peak(curves: &Curves, voices: &Voices, at: usize) -> usize {
    // Of every lead: the best four may change from one stretch to the next, and the peak with them.
    let (start, heights) = heights(curves, voices, at, voices.peak_leads.len());
    let strong = STRONG * heights[first_highest(&heights)];
    let is_top = |i: usize| {
        heights[i] >= strong
            && (i == 0 || heights[i] >= heights[i - 1])
            && (i + 1 == heights.len() || heights[i] > heights[i + 1])
    };
    start + (0..heights.len()).find(|i| is_top(*i)).unwrap_or(0)
}

/// Heights around a place of the best so many leads, and where they start.
fn heights(curves: &Curves, voices: &Voices, at: usize, best: usize) -> (usize, Buffer<f32>) {
    let reach = count(REFINE_S, curves.fs_hz);
    let start = at.saturating_sub(reach);
    let end = (at + reach + 1).min(curves.samples);
    let mut heights = zeros(end - start);
    for lead in voices.peak_leads.iter().take(best) {
        for (sum, v) in heights.iter_mut().zip(&curves.qrs(*lead)[start..end]) {
            *sum += v * v;
        }
    }
    (start, heights)
}

/// Squared length of the vector that the QRS bands are the parts of.
#[must_use]
pub fn height(curves: &Curves, voices: &Voices, at: usize) -> f32 {
    let mut sum = 0.0;
    for lead in voices.peak_leads.iter() {
        let v = curves.qrs(*lead)[at];
        sum += v * v;
    }
    sum
}
