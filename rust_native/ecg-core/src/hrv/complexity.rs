//! Regularity and scaling of the intervals: sample entropy and detrended fluctuations.

use crate::order::{deviation, mean};
use crate::scratch::{self, Buffer, leftover};
use crate::simd::{Kernel, vectorize};

/// Fewer tell little of entropy with m = 2 (Richman and Moorman, 2000: 10^m).
const LEAST_FOR_ENTROPY: usize = 100;
/// The time grows with the square of the count: an hour at most.
const MOST_FOR_ENTROPY: usize = 4096;
const TOLERANCE: f64 = 0.2;
const SHORTEST: usize = 4;
const LONGEST: usize = 16;
/// Four windows of the longest scale.
const LEAST_FOR_DFA: usize = 4 * LONGEST;
/// Fluctuations below this are rounding, not the heart.
const STILL_MS: f64 = 1e-6;

/// -ln of the share of matching pairs that match for one more interval (m = 2, r = 0.2 SD).
///
/// NaN below 100 intervals; of more than 4096 the first.
#[must_use]
pub fn sample_entropy(nn: &[f64]) -> f64 {
    let nn = &nn[..nn.len().min(MOST_FOR_ENTROPY)];
    if nn.len() < LEAST_FOR_ENTROPY {
        return f64::NAN;
    }
    let r = TOLERANCE * deviation(nn, 1);
    let (pairs, longer) = vectorize(Matches { nn, r });
    if longer == 0 { f64::NAN } else { (pairs as f64 / longer as f64).ln() }
}

/// Counts pairs of places that match for two intervals, and for three.
struct Matches<'a> {
    nn: &'a [f64],
    r: f64,
}

impl Kernel for Matches<'_> {
    type Output = (usize, usize);

    #[inline(always)]
    fn call(self) -> (usize, usize) {
        let Self { nn, r } = self;
        let mut near: Buffer<bool> = leftover(nn.len());
        let (mut pairs, mut longer) = (0, 0);
        for lag in 1..nn.len() - 2 {
            let count = nn.len() - lag;
            for (near, (a, b)) in near[..count].iter_mut().zip(nn[lag..].iter().zip(nn)) {
                *near = (a - b).abs() <= r;
            }
            let (two, three) = runs(&near[..count]);
            pairs += two;
            longer += three;
        }
        (pairs, longer)
    }
}

/// Places from which two are true (if there is a third), and from which three are.
#[inline(always)]
fn runs(near: &[bool]) -> (usize, usize) {
    const LANES: usize = 32;
    // A byte is enough: MOST_FOR_ENTROPY / LANES is below 256.
    let (mut two, mut three) = ([0_u8; LANES], [0_u8; LANES]);
    let places = near.len() - 2;
    let whole = places / LANES * LANES;
    for from in (0..whole).step_by(LANES) {
        let (a, b, c) = (&near[from..], &near[from + 1..], &near[from + 2..]);
        let (a, b, c) = (&a[..LANES], &b[..LANES], &c[..LANES]);
        for i in 0..LANES {
            two[i] += u8::from(a[i] & b[i]);
            three[i] += u8::from(a[i] & b[i] & c[i]);
        }
    }
    for (i, w) in near[whole..].windows(3).enumerate() {
        two[i] += u8::from(w[0] & w[1]);
        three[i] += u8::from(w[0] & w[1] & w[2]);
    }
    let total = |counts: [u8; LANES]| counts.iter().map(|n| usize::from(*n)).sum();
    (total(two), total(three))
}

/// Slope of ln fluctuation over ln scale, 4 to 16 intervals (Peng et al., 1995).
///
/// Windows do not overlap, a remainder is left out, and a straight line is taken off each. NaN
/// below 64 intervals and where nothing fluctuates.
#[must_use]
pub fn dfa_alpha1(nn: &[f64]) -> f64 {
    if nn.len() < LEAST_FOR_DFA {
        return f64::NAN;
    }
    let (centre, mut sum) = (mean(nn), 0.0);
    let mut profile = scratch::empty();
    profile.extend(nn.iter().map(|interval| {
        sum += interval - centre;
        sum
    }));
    let fluctuations = std::array::from_fn(|i| fluctuation(&profile, SHORTEST + i));
    if fluctuations.iter().any(|f| *f < STILL_MS) {
        return f64::NAN;
    }
    slope(std::array::from_fn(|i| ((SHORTEST + i) as f64).ln()), fluctuations.map(f64::ln))
}

const SCALES: usize = LONGEST - SHORTEST + 1;

fn slope(x: [f64; SCALES], y: [f64; SCALES]) -> f64 {
    let centre = mean(&x);
    let along: f64 = x.iter().zip(y).map(|(x, y)| (x - centre) * y).sum();
    along / x.iter().map(|x| (x - centre).powi(2)).sum::<f64>()
}

/// Root mean square of what is left of the windows when a straight line is taken off each.
fn fluctuation(profile: &[f64], scale: usize) -> f64 {
    let middle = 0.5 * (scale - 1) as f64;
    let weight: f64 = (0..scale).map(|i| (i as f64 - middle).powi(2)).sum();
    let left = |window: &[f64]| {
        let centre = mean(window);
        let (mut squares, mut along) = (0.0, 0.0);
        for (i, value) in window.iter().enumerate() {
            let y = value - centre;
            squares += y * y;
            along += y * (i as f64 - middle);
        }
        squares - along * along / weight
    };
    let total: f64 = profile.chunks_exact(scale).map(left).sum();
    (total.max(0.0) / (profile.len() / scale * scale) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_profile_does_not_fluctuate() {
        assert!(dfa_alpha1(&[800.0; 100]).is_nan());
        assert!(fluctuation(&[1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 7.0, 6.0, 5.0], 4) < 1e-9);
    }

    #[test]
    fn what_repeats_has_no_entropy() {
        let nn: Vec<f64> = (0..200).map(|i| 800.0 + 40.0 * f64::from(i % 2)).collect();
        assert!(sample_entropy(&nn) < 0.02);
        assert!(sample_entropy(&nn[..99]).is_nan());
    }
}
