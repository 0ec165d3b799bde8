//! Regularity and scaling of the intervals: sample entropy and detrended fluctuations.

use crate::order::{deviation, mean};
use crate::scratch;

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
    let (mut pairs, mut longer) = (0_usize, 0_usize);
    let mut near = scratch::empty();
    for lag in 1..nn.len() - 2 {
        near.clear();
        near.extend(nn[lag..].iter().zip(nn).map(|(a, b)| (a - b).abs() <= r));
        for match_at in near.windows(3) {
            let two = match_at[0] & match_at[1];
            pairs += usize::from(two);
            longer += usize::from(two & match_at[2]);
        }
    }
    if longer == 0 { f64::NAN } else { (pairs as f64 / longer as f64).ln() }
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
