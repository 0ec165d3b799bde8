//! Which candidates are beats: the chain of them that is most probable as a whole.
//!
//! Each candidate brings its log-odds; an interval costs what it lies outside of the usual one, on a
//! logarithmic scale: short ones cost, and long ones cost for every beat that is missing. The best
//! chain is found by dynamic programming (Viterbi, 1967) over few predecessors, in linear time.

use crate::order::running_median;
use crate::scratch::{Buffer, empty, leftover};

const LONG_COST: f64 = 5.0;
const LONG_FROM: f64 = 0.3;
const SHORT_COST: f64 = 2.5;
/// Binary logarithm of 0.75.
const SHORT_FROM: f64 = -0.415;
const REFRACTORY_S: f64 = 0.2;
const HURRIED_S: f64 = 0.28;
const HURRIED_COST: f64 = 60.0;
const FAVOUR: f64 = 0.3;
const MOST: f64 = 6.0;
/// No gap that a beat could close costs more than this saves.
const HOPELESS: f64 = -5.3;
const USUAL_OF: usize = 11;
const USUAL_S: [f64; 2] = [0.3, 1.5];
const UNKNOWN_S: f64 = 0.8;
const PREDECESSORS: usize = 14;
const FAR_S: f64 = 4.0;
const NONE: usize = usize::MAX;

/// Indices of the candidates that make up the best chain of a recording, ascending.
#[must_use]
pub fn best_chain(at_s: &[f64], odds: &[f64], duration_s: f64) -> Buffer<usize> {
    let (mut possible, mut possible_s, mut worth) =
        (empty::<usize>(), empty::<f64>(), empty::<f64>());
    possible.extend((0..odds.len()).filter(|i| odds[*i] > HOPELESS));
    possible_s.extend(possible.iter().map(|i| at_s[*i]));
    worth.extend(possible.iter().map(|i| odds[*i]));
    let mut chain: Buffer<usize> = empty();
    chain.extend((0..worth.len()).filter(|i| worth[*i] > 0.0));
    for _ in 0..2 {
        let usual = usual_intervals(&possible_s, &chain);
        chain = chained(&possible_s, &worth, &usual, duration_s);
    }
    for i in chain.iter_mut() {
        *i = possible[*i];
    }
    chain
}

/// Median interval around each candidate, s.
fn usual_intervals(at_s: &[f64], chain: &[usize]) -> Buffer<f64> {
    let mut intervals: Buffer<f64> = empty();
    intervals.extend(chain.windows(2).map(|pair| at_s[pair[1]] - at_s[pair[0]]));
    let medians = running_median(&intervals, USUAL_OF);
    let mut usual: Buffer<f64> = leftover(at_s.len());
    let mut k = 0;
    for (i, usual) in usual.iter_mut().enumerate() {
        while k + 1 < medians.len() && chain[k + 1] <= i {
            k += 1;
        }
        *usual = medians.get(k).map_or(UNKNOWN_S, |median| median.clamp(USUAL_S[0], USUAL_S[1]));
    }
    usual
}

fn chained(at_s: &[f64], odds: &[f64], usual: &[f64], duration_s: f64) -> Buffer<usize> {
    let n = at_s.len();
    let (mut worth, mut from): (Buffer<f64>, Buffer<usize>) = (leftover(n), leftover(n));
    for i in 0..n {
        let own = (odds[i] + FAVOUR).clamp(-MOST, MOST);
        (worth[i], from[i]) = (own - too_long(at_s[i], usual[i]), NONE);
        for (tried, j) in (0..i).rev().take(PREDECESSORS).enumerate() {
            let interval = at_s[i] - at_s[j];
            if interval > FAR_S && tried > 1 {
                break;
            }
            let value = worth[j] + own - cost(interval, usual[i]);
            if interval >= REFRACTORY_S && value > worth[i] {
                (worth[i], from[i]) = (value, j);
            }
        }
    }
    traced_back(at_s, &worth, &from, usual, duration_s)
}

/// What an interval costs against the usual one.
fn cost(interval_s: f64, usual_s: f64) -> f64 {
    let ratio = (interval_s / usual_s).log2();
    LONG_COST * (ratio - LONG_FROM).max(0.0)
        + SHORT_COST * (SHORT_FROM - ratio).max(0.0)
        + HURRIED_COST * (HURRIED_S - interval_s).max(0.0)
}

/// What a stretch without a beat at an end of the recording costs.
fn too_long(stretch_s: f64, usual_s: f64) -> f64 {
    LONG_COST * ((stretch_s / usual_s).max(0.01).log2() - LONG_FROM).max(0.0)
}

fn traced_back(
    at_s: &[f64],
    worth: &[f64],
    from: &[usize],
    usual: &[f64],
    duration_s: f64,
) -> Buffer<usize> {
    let mut chain: Buffer<usize> = empty();
    let (mut last, mut most) = (NONE, f64::NEG_INFINITY);
    for (i, worth) in worth.iter().enumerate() {
        let value = worth - too_long(duration_s - at_s[i], usual[i]);
        if value > most {
            (last, most) = (i, value);
        }
    }
    while last != NONE {
        chain.push(last);
        last = from[last];
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_beat_in_a_gap_is_taken_and_a_strong_one_between_two_is_not() {
        let at_s = [0.0, 0.8, 1.6, 2.0, 2.4, 3.2, 4.0, 4.8];
        let odds = [5.0, 5.0, 5.0, 1.0, 5.0, -1.0, 5.0, 5.0];
        assert_eq!(*best_chain(&at_s, &odds, 5.0), [0, 1, 2, 4, 5, 6, 7]);
    }

    #[test]
    fn none_and_one() {
        assert!(best_chain(&[], &[], 10.0).is_empty());
        assert_eq!(*best_chain(&[1.0], &[2.0], 10.0), [0]);
    }
}
