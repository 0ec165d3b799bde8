//! Rates that stay too high or too low.

use super::{Anomaly, Kind, Severity, sustained};
use crate::order::{mean, running_median};

const FAST_BPM: f64 = 100.0;
const VERY_FAST_BPM: f64 = 130.0;
const ALARM_FAST_BPM: f64 = 150.0;
/// Kusumoto et al. (2018): 50 bpm, as a monitor shows it; many a healthy heart rests below 60.
const SLOW_BPM: f64 = 50.5;
const VERY_SLOW_BPM: f64 = 45.0;
const ALARM_SLOW_BPM: f64 = 40.0;
/// About what ten seconds hold: a strip is slow or fast as a whole.
const SMOOTHED: usize = 9;
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
    for (start, end) in outside(rr_ms, |bpm| bpm > limit) {
        let bpm = 60_000.0 / mean(&rr_ms[start..end]);
        let severity =
            Severity::graded(bpm > VERY_FAST_BPM, bpm > ALARM_FAST_BPM.min(max_heart_rate));
        let (start_s, end_s) = (peaks_s[start], peaks_s[end]);
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
    for (start, end) in outside(rr_ms, |bpm| bpm < limit) {
        let bpm = 60_000.0 / mean(&rr_ms[start..end]);
        let severity =
            Severity::graded(bpm < VERY_SLOW_BPM, bpm < ALARM_SLOW_BPM.max(min_heart_rate));
        let (start_s, end_s) = (peaks_s[start], peaks_s[end]);
        found.push(Anomaly { kind: Kind::Bradycardia, start_s, end_s, severity });
    }
}

fn outside(rr_ms: &[f64], beyond: impl Fn(f64) -> bool) -> Vec<(usize, usize)> {
    let smooth = running_median(rr_ms, SMOOTHED);
    let least = LEAST_RUN.min(rr_ms.len().max(LEAST_OF_FEW));
    sustained(&smooth, least, |rr| beyond(60_000.0 / rr))
}
