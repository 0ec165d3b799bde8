//! Beats that come too early, from the intervals and, where known, from the beats' shapes.
//!
//! The intervals say it alone where the rhythm beneath is steady; in fibrillation every beat is
//! early or late, and only a shape of its own tells one.

use super::{Anomaly, Kind, Severity, runs};
use crate::order::running_median;
use crate::scratch::{self, Buffer};

const NEIGHBOURS: usize = 11;
/// Shares of the usual interval. Early, and the next beat in time or early, too...
const EARLY: f64 = 0.85;
const IN_TIME: f64 = 0.9;
/// ...or less early, and a pause after it...
const EARLY_IF_PAUSED: f64 = 0.92;
const PAUSED: f64 = 1.08;
const LEAST_STEP: f64 = 0.2;
/// ...or of another shape.
const EARLY_IF_UNLIKE: f64 = 0.92;
/// By intervals, the first of a row must be early against the interval before it, too.
const SUDDEN: f64 = 0.92;
/// A rhythm is steady if few intervals away from early beats are further off than this.
const SCATTER: f64 = 0.1;
const MOST_SCATTERED: f64 = 0.3;
const SPLIT: std::ops::RangeInclusive<f64> = 0.85..=1.15;
const LEAST_RUN: usize = 3;
const LEAST_BIGEMINY: usize = 3;

/// Mark the premature ones of the `rr_ms.len() + 1` beats; `unlike` marks another shape.
#[must_use]
pub fn premature_beats(rr_ms: &[f64], unlike: Option<&[bool]>) -> Buffer<bool> {
    let n = rr_ms.len();
    let mut early = scratch::zeros(n + 1);
    if n < 3 {
        return early;
    }
    let usual = usual_intervals(rr_ms);
    for beat in 2..n {
        early[beat] = is_early(rr_ms, &usual, beat);
    }
    keep_steady(rr_ms, &usual, &mut early);
    keep_outstanding(rr_ms, &usual, &mut early);
    for (beat, unlike) in unlike.unwrap_or_default().iter().enumerate().skip(1).take(n) {
        early[beat] |= *unlike && rr_ms[beat - 1] < EARLY_IF_UNLIKE * usual[beat - 1];
    }
    early
}

/// Interval of the rhythm beneath: median over the means of two successive intervals.
///
/// Early and late cancel in such a mean, so that bigeminy does not hide the rhythm beneath it.
fn usual_intervals(rr_ms: &[f64]) -> Buffer<f64> {
    let mut means = scratch::empty();
    means.extend(rr_ms.windows(2).map(|rr| 0.5 * (rr[1] + rr[0])));
    let mut usual = running_median(&means, NEIGHBOURS);
    let last = usual[usual.len() - 1];
    usual.push(last);
    usual
}

/// Tell whether a beat with two intervals before and one after comes early by these.
fn is_early(rr_ms: &[f64], usual: &[f64], beat: usize) -> bool {
    let (before, after) = (rr_ms[beat - 1], rr_ms[beat]);
    let (usual, usual_after) = (usual[beat - 1], usual[beat]);
    let next = after < EARLY * usual_after || after >= IN_TIME * usual_after;
    let paused = after > PAUSED * usual && after - before > LEAST_STEP * usual;
    (before < EARLY * usual && next) || (before < EARLY_IF_PAUSED * usual && paused)
}

/// Take the marks back where intervals away from early beats scatter.
fn keep_steady(rr_ms: &[f64], usual: &[f64], early: &mut [bool]) {
    let n = rr_ms.len();
    let size = NEIGHBOURS.min(n);
    let mut apart = scratch::empty();
    apart.extend(early.windows(2).map(|ends| !ends[0] && !ends[1]));
    let scattered = |i: usize| apart[i] && (rr_ms[i] - usual[i]).abs() > SCATTER * usual[i];
    for (i, mark) in early.iter_mut().skip(1).enumerate().filter(|(_, mark)| **mark) {
        let start = i.saturating_sub(size / 2).min(n - size);
        let around = start..start + size;
        let off = around.clone().filter(|i| scattered(*i)).count() as f64;
        *mark = off <= MOST_SCATTERED * around.filter(|i| apart[*i]).count() as f64;
    }
}

/// Take back early beats in a row that are but a change of rate or a split interval.
fn keep_outstanding(rr_ms: &[f64], usual: &[f64], early: &mut [bool]) {
    let mut first = 0;
    while first < early.len() {
        let length = early[first..].iter().take_while(|mark| **mark).count();
        let end = first + length;
        if length > 0 && !stands_out(rr_ms, usual, first, end) {
            early[first..end].fill(false);
        }
        first = end + 1;
    }
}

/// Tell whether early beats in a row are more than a change of rate or a split interval.
///
/// They start with a sudden step, and a usual interval follows the last one of several.
/// Two intervals that make up a usual one, in time before and after, come of an artefact as a rule.
fn stands_out(rr_ms: &[f64], usual: &[f64], first: usize, end: usize) -> bool {
    let (before, after) = (usual[first - 1], rr_ms[end - 1]);
    let (low, high) = (SPLIT.start() * before, SPLIT.end() * before);
    let together = rr_ms[first - 1] + rr_ms[first];
    let split = end - first == 2 && low <= together && together <= high;
    if rr_ms[first - 1] >= SUDDEN * rr_ms[first - 2] || (split && after <= high) {
        return false;
    }
    end - first == 1 || after >= IN_TIME * before
}

/// Single beats (low), couplets and bigeminy (medium), three or more in a row (high).
pub(super) fn find(peaks_s: &[f64], early: &[bool], found: &mut Vec<Anomaly>) {
    let mut rows = runs(early, |mark| *mark).peekable();
    while let Some((first, end)) = rows.next() {
        let in_a_row = end - first;
        let last = if in_a_row == 1 { end_of_bigeminy(&early[first..]) + first } else { end - 1 };
        while rows.next_if(|row| row.0 <= last).is_some() {}
        let severity = Severity::graded(last > first, in_a_row >= LEAST_RUN);
        let start_s = peaks_s[first.saturating_sub(1)];
        let end_s = peaks_s[(last + 1).min(peaks_s.len() - 1)];
        found.push(Anomaly { kind: Kind::PrematureBeat, start_s, end_s, severity });
    }
}

/// Last early beat of the bigeminy that starts with the first beat; 0 if there is none.
fn end_of_bigeminy(early: &[bool]) -> usize {
    let mut last = 0;
    while early.get(last + 2) == Some(&true) && early.get(last + 3) != Some(&true) {
        last += 2;
    }
    if last / 2 + 1 < LEAST_BIGEMINY { 0 } else { last }
}
