//! How sure it is that a place is a beat: measurements of it and of what lies around, weighed by a
//! logistic model.

use crate::candidates::{Pair, REFINE_S};
use crate::curves::{Curves, count};
use crate::order::running_median;
use crate::reductions::{BLOCK_S, block_maxima, highest, lowest, total, usual_height};
use crate::scratch::{Buffer, empty};
use crate::shapes::likeness_of;
use crate::simd::dispatch;
use crate::voices::Voices;

const BLOCKS: usize = 5;
const FLOOR: f64 = 0.1;
const NEIGHBOURS: usize = 6;
const NEAR_S: f64 = 0.4;
const FAR_S: f64 = 1.2;
const VALLEY_S: f64 = 0.25;
const AROUND_S: f64 = 0.6;

/// Number of measurements of a candidate.
pub const FEATURES: usize = 11;
/// Measurements, in the order of [`WEIGHTS`].
pub type Features = [f64; FEATURES];
/// Log-odds for each unit of a measurement; fitted by logistic regression on public records.
pub const WEIGHTS: Features =
    [1.078, 0.56, 3.106, -0.775, -0.448, -0.192, -0.44, -3.808, -3.267, -5.97, -4.936];
/// Log-odds of a candidate whose measurements are all zero.
pub const BIAS: f64 = 2.726;

/// Log-odds of places in the curves of some leads.
#[must_use]
pub fn judge(
    curves: &Curves,
    voices: &Voices,
    pair: &Pair,
    at: &[usize],
    peak: &[usize],
) -> Buffer<f64> {
    let mut odds = empty();
    measure(curves, voices, pair, at, peak, |features| {
        odds.push(BIAS + features.iter().zip(&WEIGHTS).map(|(v, w)| v * w).sum::<f64>());
    });
    odds
}

/// Hand the measurements of each place to `take`.
pub fn measure(
    curves: &Curves,
    voices: &Voices,
    pair: &Pair,
    at: &[usize],
    peak: &[usize],
    mut take: impl FnMut(Features),
) {
    let likeness = likeness_of(curves, voices, peak);
    let scene = Scene {
        fs_hz: curves.fs_hz,
        pair,
        at,
        energy_levels: Levels::of(pair.energy, curves.fs_hz),
        envelope_levels: Levels::of(pair.envelope, curves.fs_hz),
    };
    dispatch(
        #[inline(always)]
        || {
            for (k, likeness) in likeness.iter().enumerate() {
                take(scene.features(k, *likeness));
            }
        },
    );
}

/// Usual height of a curve's maxima at each place.
struct Levels {
    medians: Buffer<f64>,
    floor: f64,
    length: usize,
}

impl Levels {
    fn of(curve: &[f32], fs_hz: f64) -> Self {
        let mut maxima = block_maxima(curve, BLOCK_S, fs_hz);
        let medians = running_median(&maxima, BLOCKS);
        let floor = FLOOR * usual_height(&mut maxima);
        Self { medians, floor, length: curve.len() }
    }

    fn at(&self, place: usize) -> f64 {
        self.medians[place * self.medians.len() / self.length].max(self.floor).max(1e-9)
    }
}

/// What the places are measured in.
struct Scene<'a> {
    fs_hz: f64,
    pair: &'a Pair<'a>,
    at: &'a [usize],
    energy_levels: Levels,
    envelope_levels: Levels,
}

impl Scene<'_> {
    #[inline(always)]
    fn features(&self, k: usize, likeness: f64) -> Features {
        let at = self.at[k];
        let energy = self.pair.energy;
        let height = f64::from(energy[at]).max(1e-12);
        let envelope = highest(window(self.pair.envelope, at, count(REFINE_S, self.fs_hz)));
        let valley = count(VALLEY_S, self.fs_hz);
        let end = (at + valley).min(energy.len());
        let around = window(energy, at, count(AROUND_S, self.fs_hz));
        let others = self.others(k);
        let log = |ratio: f64, low: f64, high: f64| ratio.max(1e-3).ln().clamp(low, high);
        [
            log(height / self.energy_levels.at(at), -3.0, 1.5),
            log(envelope / self.envelope_levels.at(at), -3.0, 1.5),
            likeness,
            log(others[0] / height, -2.0, 2.0),
            log(others[1] / height, -2.0, 2.0),
            log(others[2] / height, -2.0, 2.0),
            log(others[3] / height, -2.0, 2.0),
            (lowest(&energy[at.saturating_sub(valley)..=at]) / height).min(1.0),
            (lowest(&energy[at..end]) / height).min(1.0),
            (total(around) / around.len() as f64 / height).min(1.0),
            log(envelope / height * self.pair.ratio, -2.0, 2.0),
        ]
    }

    /// Heights of the highest places shortly before, shortly after, long before and long after.
    #[inline(always)]
    fn others(&self, k: usize) -> [f64; 4] {
        let mut highest = [0.0_f64; 4];
        let near = self.at.iter().enumerate().skip(k.saturating_sub(NEIGHBOURS));
        for (j, at) in near.take(2 * NEIGHBOURS + 1) {
            let away_s = (*at as f64 - self.at[k] as f64) / self.fs_hz;
            let place = usize::from(away_s >= 0.0) + 2 * usize::from(away_s.abs() > NEAR_S);
            if j != k && away_s.abs() < FAR_S {
                highest[place] = highest[place].max(f64::from(self.pair.energy[*at]));
            }
        }
        highest
    }
}

#[inline(always)]
fn window(x: &[f32], at: usize, reach: usize) -> &[f32] {
    &x[at.saturating_sub(reach)..(at + reach + 1).min(x.len())]
}
