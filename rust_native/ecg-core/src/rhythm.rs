//! Rhythm anomalies that RR intervals alone can show.

use crate::order::{mean, median_of, running_median};

const FAST_BPM: f64 = 100.0;
const SLOW_BPM: f64 = 60.0;
const VERY_FAST_BPM: f64 = 130.0;
const VERY_SLOW_BPM: f64 = 50.0;
const ALARM_FAST_BPM: f64 = 150.0;
const ALARM_SLOW_BPM: f64 = 40.0;
const SMOOTHED: usize = 5;
const LEAST_RUN: usize = 5;
const PAUSE_MS: f64 = 2000.0;
const LONG_PAUSE_MS: f64 = 3000.0;
const LEAST_FOR_IRREGULAR: usize = 8;
const IRREGULAR: f64 = 0.1;
const VERY_IRREGULAR: f64 = 0.16;

/// What is wrong with the rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sustained rate above 100 bpm, or above the alarm limit if that is lower.
    Tachycardia,
    /// Sustained rate below 60 bpm, or below the alarm limit if that is higher.
    Bradycardia,
    /// More than two seconds without a beat.
    Pause,
    /// Successive intervals differ as a rule, not because of a few ectopic beats.
    IrregularRhythm,
}

impl Kind {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tachycardia => "tachycardia",
            Self::Bradycardia => "bradycardia",
            Self::Pause => "pause",
            Self::IrregularRhythm => "irregular_rhythm",
        }
    }
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Noted.
    Low,
    /// To be looked at.
    Medium,
    /// Beyond an alarm limit.
    High,
}

impl Severity {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A finding and where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anomaly {
    /// What.
    pub kind: Kind,
    /// Start, seconds from the first sample.
    pub start_s: f64,
    /// End, seconds.
    pub end_s: f64,
    /// How much it matters.
    pub severity: Severity,
}

/// Tachycardia, bradycardia, pauses and irregular rhythm, in order of their start.
#[must_use]
pub fn find_anomalies(peaks_s: &[f64], min_heart_rate: f64, max_heart_rate: f64) -> Vec<Anomaly> {
    let rr_ms: Vec<f64> = peaks_s.windows(2).map(|p| (p[1] - p[0]) * 1000.0).collect();
    let smoothed = running_median(&rr_ms, SMOOTHED);
    let rate: Vec<f64> = smoothed.iter().map(|rr| 60_000.0 / rr).collect();
    let fast = |bpm: f64| bpm > FAST_BPM.min(max_heart_rate);
    let slow = |bpm: f64| bpm < SLOW_BPM.max(min_heart_rate);

    let mut found: Vec<Anomaly> = pauses(peaks_s, &rr_ms).collect();
    found.extend(irregular(peaks_s, &rr_ms));
    for (start, end) in runs(&rate, fast) {
        let severity = too_fast(60_000.0 / mean(&rr_ms[start..end]), max_heart_rate);
        found.push(spanning(Kind::Tachycardia, peaks_s[start], peaks_s[end], severity));
    }
    for (start, end) in runs(&rate, slow) {
        let severity = too_slow(60_000.0 / mean(&rr_ms[start..end]), min_heart_rate);
        found.push(spanning(Kind::Bradycardia, peaks_s[start], peaks_s[end], severity));
    }
    found.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    found
}

fn spanning(kind: Kind, start_s: f64, end_s: f64, severity: Severity) -> Anomaly {
    Anomaly { kind, start_s, end_s, severity }
}

fn too_fast(bpm: f64, max_heart_rate: f64) -> Severity {
    if bpm > ALARM_FAST_BPM.min(max_heart_rate) {
        Severity::High
    } else if bpm > VERY_FAST_BPM {
        Severity::Medium
    } else {
        Severity::Low
    }
}

fn too_slow(bpm: f64, min_heart_rate: f64) -> Severity {
    if bpm < ALARM_SLOW_BPM.max(min_heart_rate) {
        Severity::High
    } else if bpm < VERY_SLOW_BPM {
        Severity::Medium
    } else {
        Severity::Low
    }
}

/// Start and end of the runs of intervals that are long enough.
fn runs(rate: &[f64], outside: impl Fn(f64) -> bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    for part in rate.chunk_by(|a, b| outside(*a) == outside(*b)) {
        if part.len() >= LEAST_RUN && outside(part[0]) {
            found.push((start, start + part.len()));
        }
        start += part.len();
    }
    found
}

fn pauses(peaks_s: &[f64], rr_ms: &[f64]) -> impl Iterator<Item = Anomaly> {
    let long = rr_ms.iter().enumerate().filter(|(_, rr)| **rr > PAUSE_MS);
    long.map(|(i, rr)| {
        let severity = if *rr > LONG_PAUSE_MS { Severity::High } else { Severity::Medium };
        spanning(Kind::Pause, peaks_s[i], peaks_s[i + 1], severity)
    })
}

fn irregular(peaks_s: &[f64], rr_ms: &[f64]) -> Option<Anomaly> {
    if rr_ms.len() < LEAST_FOR_IRREGULAR {
        return None;
    }
    let mut steps: Vec<f64> = rr_ms.windows(2).map(|rr| (rr[1] - rr[0]).abs()).collect();
    let spread = median_of(&mut steps) / median_of(&mut rr_ms.to_vec());
    if spread <= IRREGULAR {
        return None;
    }
    let severity = if spread > VERY_IRREGULAR { Severity::Medium } else { Severity::Low };
    let (first, last) = (peaks_s.first()?, peaks_s.last()?);
    Some(spanning(Kind::IrregularRhythm, *first, *last, severity))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(rr_s: &[f64]) -> Vec<f64> {
        let mut t = 0.3;
        let mut peaks = vec![t];
        for rr in rr_s {
            t += rr;
            peaks.push(t);
        }
        peaks
    }

    fn kinds(rr_s: &[f64]) -> Vec<(Kind, Severity)> {
        let found = find_anomalies(&beats(rr_s), 40.0, 200.0);
        found.iter().map(|a| (a.kind, a.severity)).collect()
    }

    #[test]
    fn a_normal_rhythm_is_no_anomaly() {
        assert!(kinds(&[0.8; 12]).is_empty());
        assert!(kinds(&[]).is_empty());
    }

    #[test]
    fn rates_and_pauses() {
        assert_eq!(kinds(&[0.5; 12]), [(Kind::Tachycardia, Severity::Low)]);
        assert_eq!(kinds(&[0.35; 12]), [(Kind::Tachycardia, Severity::High)]);
        assert_eq!(kinds(&[1.1; 12]), [(Kind::Bradycardia, Severity::Low)]);
        assert_eq!(kinds(&[1.6; 12]), [(Kind::Bradycardia, Severity::High)]);
        let pause = [0.8, 0.8, 0.8, 0.8, 3.2, 0.8, 0.8, 0.8, 0.8];
        assert_eq!(kinds(&pause), [(Kind::Pause, Severity::High)]);
    }

    #[test]
    fn one_ectopic_beat_is_not_irregular_but_fibrillation_is() {
        let mut rr = vec![0.8; 14];
        rr[5] = 0.5;
        rr[6] = 1.1;
        assert!(kinds(&rr).is_empty());
        let wild = [0.7, 0.95, 0.62, 0.85, 0.7, 1.0, 0.66, 0.9, 0.7, 0.92];
        assert_eq!(kinds(&wild)[0].0, Kind::IrregularRhythm);
    }
}
