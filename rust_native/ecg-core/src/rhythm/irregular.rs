//! Irregular rhythm and suspicion of atrial fibrillation, from the intervals alone.

use super::premature::premature_beats;
use super::{Anomaly, Kind, Severity, sustained};
use crate::order::{mean, median_of};
use crate::scratch::{self, Buffer};

/// Each block of intervals is judged by the window around it.
const BLOCK: usize = 6;
const WINDOW: usize = 30;
const LEAST_WINDOW: usize = 8;
/// Fewer blocks in a row are told only where the recording has no more.
const LEAST_BLOCKS: usize = 2;
const TEMPLATES: usize = 5;
const LEAST_R_MS: f64 = 30.0;
const FIBRILLATION: f64 = -1.1;
const FIBRILLATION_STEP: f64 = 0.06;
const IRREGULAR_STEP: f64 = 0.1;
const VERY_IRREGULAR_STEP: f64 = 0.16;
const LEAST_KEPT: f64 = 0.4;
/// Breathing turns the course of the intervals seldom, chance at two of three beats (Dash, 2009).
const LEAST_TURNING: f64 = 0.45;
/// Van Gelder et al. (2010): fibrillation is too fast above this.
const FAST_BPM: f64 = 110.0;

const REGULAR: i32 = 0;
const IRREGULAR: i32 = 1;
const VERY_IRREGULAR: i32 = 2;
const FIBRILLATING: i32 = 4;

/// Coefficient of sample entropy (Lake and Moorman, 2011): above about -1.2 in fibrillation.
///
/// Sample entropy with m = 1, plus ln(2r), minus ln(mean interval). The tolerance r is 30 ms, or
/// as much more as it takes for five pairs of intervals to match. NaN below 5 intervals.
#[must_use]
pub fn cosen(rr_ms: &[f64]) -> f64 {
    if rr_ms.len() < TEMPLATES {
        return f64::NAN;
    }
    let (mut one, mut two) = (scratch::empty(), scratch::empty());
    for (i, first) in rr_ms.windows(2).enumerate() {
        for second in rr_ms.windows(2).skip(i + 1) {
            let distance = (first[0] - second[0]).abs();
            one.push(distance);
            two.push(distance.max((first[1] - second[1]).abs()));
        }
    }
    let (_, fifth, _) = two.select_nth_unstable_by(TEMPLATES - 1, f64::total_cmp);
    let r = fifth.max(LEAST_R_MS);
    let within = |distances: &[f64]| distances.iter().filter(|d| **d <= r).count() as f64;
    (within(&one) / within(&two) * 2.0 * r / mean(rr_ms)).ln()
}

/// Degree of irregularity of each interval, and which beats are premature.
///
/// Where the rhythm is irregular, intervals tell no premature beat, only a shape of its own does.
/// Marks of shapes are ignored unless there is one for each beat.
pub(crate) fn judge_beats(rr_ms: &[f64], unlike: Option<&[bool]>) -> (Buffer<i32>, Buffer<bool>) {
    let unlike = unlike.filter(|unlike| unlike.len() == rr_ms.len() + 1);
    let mut early = premature_beats(rr_ms, unlike);
    let degrees = degrees(rr_ms, &early, unlike);
    for (beat, degree) in (1..).zip(degrees.iter()) {
        early[beat] &= *degree == REGULAR || unlike.is_some_and(|unlike| unlike[beat]);
    }
    (degrees, early)
}

/// Degree of each interval: 0 regular, 1 irregular, 2 very; 4 more in suspected fibrillation.
fn degrees(rr_ms: &[f64], early: &[bool], unlike: Option<&[bool]>) -> Buffer<i32> {
    let n = rr_ms.len();
    let mut degrees = scratch::zeros(n);
    if n < LEAST_WINDOW {
        return degrees;
    }
    let size = WINDOW.min(n);
    let (mut judged_at, mut degree) = (None, REGULAR);
    for (block, out) in degrees.chunks_mut(BLOCK).enumerate() {
        let centre = block * BLOCK + BLOCK / 2;
        let start = centre.saturating_sub(size / 2).min(n - size);
        if judged_at != Some(start) {
            judged_at = Some(start);
            let beats = start..=start + size;
            let shapes = unlike.map(|unlike| &unlike[beats.clone()]);
            degree = judge(&rr_ms[start..start + size], &early[beats], shapes);
        }
        out.fill(degree);
    }
    degrees
}

/// Judge a window; intervals at premature beats are left out, those of another shape always.
fn judge(rr_ms: &[f64], early: &[bool], unlike: Option<&[bool]>) -> i32 {
    let kept = away_from(early, rr_ms);
    let least = (TEMPLATES as f64).max(LEAST_KEPT * rr_ms.len() as f64);
    if (kept.len() as f64) < least {
        return REGULAR;
    }
    let step = relative_step(&kept);
    if step <= FIBRILLATION_STEP || turning(rr_ms) < LEAST_TURNING {
        return REGULAR;
    }
    let degree = if step > VERY_IRREGULAR_STEP { VERY_IRREGULAR } else { IRREGULAR };
    let entropy = unlike.map_or_else(|| cosen(rr_ms), |unlike| cosen(&away_from(unlike, rr_ms)));
    if entropy > FIBRILLATION {
        degree + FIBRILLATING
    } else if step > IRREGULAR_STEP {
        degree
    } else {
        REGULAR
    }
}

/// Intervals with no marked beat at either end.
fn away_from(marks: &[bool], rr_ms: &[f64]) -> Buffer<f64> {
    let mut kept = scratch::empty();
    let ends = marks.windows(2).zip(rr_ms);
    kept.extend(ends.filter(|(ends, _)| !ends[0] && !ends[1]).map(|(_, rr)| *rr));
    kept
}

/// Median step from one interval to the next, as a share of the median interval.
fn relative_step(rr_ms: &[f64]) -> f64 {
    let (mut steps, mut intervals) = (scratch::empty(), scratch::empty());
    steps.extend(rr_ms.windows(2).map(|rr| (rr[1] - rr[0]).abs()));
    intervals.extend_from_slice(rr_ms);
    median_of(&mut steps) / median_of(&mut intervals)
}

/// Share of the steps that go the other way than the one before.
fn turning(rr_ms: &[f64]) -> f64 {
    let turns = rr_ms.windows(3).filter(|rr| (rr[2] - rr[1]) * (rr[1] - rr[0]) < 0.0).count();
    turns as f64 / (rr_ms.len() - 2) as f64
}

/// Spans of irregular rhythm, and those of suspected fibrillation within them.
pub(super) fn find(peaks_s: &[f64], rr_ms: &[f64], degrees: &[i32], found: &mut Vec<Anomaly>) {
    let least = (LEAST_BLOCKS * BLOCK).min(rr_ms.len());
    for (start, end) in sustained(degrees, least, |degree| *degree > REGULAR) {
        let very = degrees[start..end].iter().any(|degree| degree & VERY_IRREGULAR != 0);
        let severity = Severity::graded(very, false);
        let (start_s, end_s) = (peaks_s[start], peaks_s[end]);
        found.push(Anomaly { kind: Kind::IrregularRhythm, start_s, end_s, severity });
    }
    for (start, end) in sustained(degrees, least, |degree| *degree >= FIBRILLATING) {
        let severity = Severity::graded(true, 60_000.0 / mean(&rr_ms[start..end]) > FAST_BPM);
        let (start_s, end_s) = (peaks_s[start], peaks_s[end]);
        let kind = Kind::AtrialFibrillationSuspected;
        found.push(Anomaly { kind, start_s, end_s, severity });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_too_few_and_of_a_steady_rhythm() {
        assert!(cosen(&[800.0; 4]).is_nan());
        // All pairs match at 30 ms: ln(60 / 800).
        assert!((cosen(&[800.0; 12]) - 0.075_f64.ln()).abs() < 1e-12);
    }
}
