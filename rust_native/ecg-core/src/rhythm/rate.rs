//! Rates that stay too high or too low.

use super::{Anomaly, Kind, Severity, runs};
use crate::order::{mean, running_median_into};
use crate::scratch::{self, Buffer};

const FAST_BPM: f64 = 100.0;
const VERY_FAST_BPM: f64 = 130.0;
const ALARM_FAST_BPM: f64 = 150.0;
/// Kusumoto et al. (2018): 50 bpm, as a monitor shows it; many a healthy heart rests below 60.
const SLOW_BPM: f64 = 50.5;
const VERY_SLOW_BPM: f64 = 45.0;
const ALARM_SLOW_BPM: f64 = 40.0;
const SMOOTHED: usize = 5;
const LEAST_RUN: usize = 5;
const LEAST_OF_FEW: usize = 3;

/// Tachycardia: above 100 bpm, or above the alarm limit if that is lower.
pub(super) fn find_fast(
    peaks_s: &[f64],
    rr_ms: &[f64],
    max_heart_rate: f64,
    found: &mut Vec<Anomaly>,
) {
    let limit = FAST_BPM.min(max_heart_rate);
    for (start, end) in sustained(rr_ms, |bpm| bpm > limit).iter() {
        let bpm = 60_000.0 / mean(&rr_ms[*start..*end]);
        let severity =
            Severity::graded(bpm > VERY_FAST_BPM, bpm > ALARM_FAST_BPM.min(max_heart_rate));
        let (start_s, end_s) = (peaks_s[*start], peaks_s[*end]);
        found.push(Anomaly { kind: Kind::Tachycardia, start_s, end_s, severity });
    }
}

/// Bradycardia: below 50 bpm, or below the alarm limit if that is higher.
pub(super) fn find_slow(
    peaks_s: &[f64],
    rr_ms: &[f64],
    min_heart_rate: f64,
    found: &mut Vec<Anomaly>,
) {
    let limit = SLOW_BPM.max(min_heart_rate);
    for (start, end) in sustained(rr_ms, |bpm| bpm < limit).iter() {
        let bpm = 60_000.0 / mean(&rr_ms[*start..*end]);
        let severity =
            Severity::graded(bpm < VERY_SLOW_BPM, bpm < ALARM_SLOW_BPM.max(min_heart_rate));
        let (start_s, end_s) = (peaks_s[*start], peaks_s[*end]);
        found.push(Anomaly { kind: Kind::Bradycardia, start_s, end_s, severity });
    }
}

/// Runs that are long enough, those with less than a run between them joined.
fn sustained(rr_ms: &[f64], outside: impl Fn(f64) -> bool) -> Vec<(usize, usize)> {
    let least = LEAST_RUN.min(rr_ms.len().max(LEAST_OF_FEW));
    let mut joined: Vec<(usize, usize)> = Vec::new();
    let smooth = smoothed(rr_ms);
    for (start, end) in runs(&smooth, |rr| outside(60_000.0 / rr)) {
        if end - start < least {
            continue;
        }
        match joined.last_mut() {
            Some(last) if start - last.1 < least => last.1 = end,
            _ => joined.push((start, end)),
        }
    }
    joined
}

fn smoothed(rr_ms: &[f64]) -> Buffer<f64> {
    let mut medians = scratch::empty();
    running_median_into(rr_ms, SMOOTHED, &mut medians);
    medians
}
