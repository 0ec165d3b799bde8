//! Which intervals run from one normal beat to the next.

use crate::order::running_median;
use crate::rhythm::irregular::judge_beats;
use crate::scratch::{self, Buffer};

const NORMAL_MS: std::ops::RangeInclusive<f64> = 300.0..=2000.0;
const NEIGHBOURS: usize = 11;
/// Malik et al. (1989): an interval further than this from its surroundings is no normal one...
const TOLERANCE: f64 = 0.2;
/// ...unless the surroundings themselves spread wider (Lipponen and Tarvainen, 2019):
/// fibrillation and the breathing of the young are no artefacts.
const SPREADS: f64 = 5.2;
const SURROUNDINGS: usize = 91;
const BLOCK: usize = 32;

/// Mark the intervals between normal beats; `unlike` marks beats of another shape.
///
/// Left out: both intervals at a premature beat, what lies outside 300 to 2000 ms, and what is
/// further from the median of its 11 neighbours than 20 % of that median and 5.2 quartile
/// deviations of the 91 neighbours' distances.
#[must_use]
pub fn normal_intervals(rr_ms: &[f64], unlike: Option<&[bool]>) -> Buffer<bool> {
    let median = running_median(rr_ms, NEIGHBOURS);
    let mut off = scratch::empty();
    off.extend(rr_ms.iter().zip(median.iter()).map(|(rr, median)| rr - median));
    let (_, early) = judge_beats(rr_ms, unlike);
    let mut normal = scratch::empty();
    let mut spread = 0.0;
    for (i, rr) in rr_ms.iter().enumerate() {
        if i % BLOCK == 0 {
            spread = quartile_deviation(surroundings(&off, i + BLOCK / 2));
        }
        let near = off[i].abs() <= (TOLERANCE * median[i]).max(SPREADS * spread);
        normal.push(near && NORMAL_MS.contains(rr) && !early[i] && !early[i + 1]);
    }
    normal
}

fn surroundings(values: &[f64], centre: usize) -> &[f64] {
    let size = SURROUNDINGS.min(values.len());
    let start = centre.saturating_sub(size / 2).min(values.len() - size);
    &values[start..start + size]
}

/// Half the distance between the quartiles.
fn quartile_deviation(values: &[f64]) -> f64 {
    let mut sorted = scratch::empty();
    sorted.extend_from_slice(values);
    sorted.sort_unstable_by(f64::total_cmp);
    0.5 * (sorted[values.len() * 3 / 4] - sorted[values.len() / 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_breathing_of_the_young_is_kept() {
        let rr: Vec<f64> = (0..60).map(|i| 800.0 + 250.0 * (f64::from(i) * 0.9).sin()).collect();
        assert!(normal_intervals(&rr, None).iter().all(|ok| *ok));
        assert!(normal_intervals(&[], None).is_empty());
    }

    #[test]
    fn a_missed_beat_is_left_out() {
        let mut rr = vec![800.0; 30];
        rr[12] = 1600.0;
        let normal = normal_intervals(&rr, None);
        assert!(!normal[12] && normal.iter().filter(|ok| !**ok).count() == 1);
    }
}
