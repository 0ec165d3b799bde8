//! Anomalies of the rhythm, from the times of the beats and little else.

pub mod gaps;
pub mod irregular;
pub mod premature;
pub mod rate;

use crate::scratch;

/// What is wrong with the rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sustained rate above 100 bpm, or above the alarm limit if that is lower.
    Tachycardia,
    /// Sustained rate of 50 bpm or less, or below the alarm limit if that is higher.
    Bradycardia,
    /// Two to four seconds without a beat.
    Pause,
    /// Four seconds or more without a beat.
    Asystole,
    /// Successive intervals differ as a rule, not for breathing or a few premature beats.
    IrregularRhythm,
    /// An irregular rhythm whose entropy is that of fibrillation.
    AtrialFibrillationSuspected,
    /// A beat too early, a few in a row, or bigeminy.
    PrematureBeat,
}

impl Kind {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tachycardia => "tachycardia",
            Self::Bradycardia => "bradycardia",
            Self::Pause => "pause",
            Self::Asystole => "asystole",
            Self::IrregularRhythm => "irregular_rhythm",
            Self::AtrialFibrillationSuspected => "atrial_fibrillation_suspected",
            Self::PrematureBeat => "premature_beat",
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

    fn graded(medium: bool, high: bool) -> Self {
        match (medium, high) {
            (_, true) => Self::High,
            (true, false) => Self::Medium,
            (false, false) => Self::Low,
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

/// The beats of a recording, and what is known of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beats<'a> {
    /// R peaks, ascending seconds from the first sample.
    pub peaks_s: &'a [f64],
    /// Length of the recording, seconds.
    pub duration_s: f64,
    /// For each beat whether its shape is not the usual one, where that is known.
    pub unlike: Option<&'a [bool]>,
    /// Ascending spans in which a beat would have been seen, seconds. None: everywhere, provided
    /// that there are beats.
    pub measurable: Option<&'a [(f64, f64)]>,
    /// Alarm limit, bpm.
    pub min_heart_rate: f64,
    /// Alarm limit, bpm.
    pub max_heart_rate: f64,
}

/// All findings in order of their start; the time is linear in the number of beats.
#[must_use]
pub fn find_anomalies(beats: &Beats) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let peaks_s = beats.peaks_s;
    if peaks_s.is_empty() && beats.measurable.is_none() {
        return found;
    }
    let mut rr_ms = scratch::empty();
    rr_ms.extend(peaks_s.windows(2).map(|p| (p[1] - p[0]) * 1000.0));
    let (degrees, early) = irregular::judge_beats(&rr_ms, beats.unlike);
    let everywhere = [(0.0, beats.duration_s)];
    gaps::find(peaks_s, beats.duration_s, beats.measurable.unwrap_or(&everywhere), &mut found);
    irregular::find(peaks_s, &rr_ms, &degrees, &mut found);
    premature::find(peaks_s, &early, &mut found);
    rate::find_fast(peaks_s, &rr_ms, beats.max_heart_rate, &mut found);
    rate::find_slow(peaks_s, &rr_ms, beats.min_heart_rate, &mut found);
    found.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    found
}

/// Start and end of each run of values that are alike in the sense of `marked`.
fn runs<T>(values: &[T], marked: impl Fn(&T) -> bool) -> impl Iterator<Item = (usize, usize)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next + values.get(next..)?.iter().position(&marked)?;
        let length = values[start..].iter().position(|value| !marked(value));
        next = length.map_or(values.len(), |length| start + length);
        Some((start, next))
    })
}

/// Runs of at least `least` marked values, those with no more than that between them joined.
fn sustained<T>(values: &[T], least: usize, marked: impl Fn(&T) -> bool) -> Vec<(usize, usize)> {
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (start, end) in runs(values, marked).filter(|(start, end)| end - start >= least) {
        match joined.last_mut() {
            Some(last) if start - last.1 <= least => last.1 = end,
            _ => joined.push((start, end)),
        }
    }
    joined
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
        let peaks_s = beats(rr_s);
        let found = find_anomalies(&Beats {
            peaks_s: &peaks_s,
            duration_s: peaks_s[peaks_s.len() - 1] + 0.5,
            unlike: None,
            measurable: None,
            min_heart_rate: 40.0,
            max_heart_rate: 200.0,
        });
        found.iter().map(|a| (a.kind, a.severity)).collect()
    }

    #[test]
    fn a_normal_rhythm_is_no_anomaly() {
        assert!(kinds(&[0.8; 12]).is_empty());
        assert!(kinds(&[]).is_empty());
    }

    #[test]
    fn rates_pauses_and_asystole() {
        assert_eq!(kinds(&[0.5; 12]), [(Kind::Tachycardia, Severity::Low)]);
        assert_eq!(kinds(&[0.35; 12]), [(Kind::Tachycardia, Severity::High)]);
        assert_eq!(kinds(&[1.2; 12]), [(Kind::Bradycardia, Severity::Low)]);
        assert_eq!(kinds(&[1.6; 12]), [(Kind::Bradycardia, Severity::High)]);
        let gap = |length| [0.8, 0.8, 0.8, 0.8, length, 0.8, 0.8, 0.8, 0.8];
        assert_eq!(kinds(&gap(3.2)), [(Kind::Pause, Severity::High)]);
        assert_eq!(kinds(&gap(5.0)), [(Kind::Asystole, Severity::High)]);
    }

    #[test]
    fn premature_beats_are_not_irregular_but_fibrillation_is() {
        let mut rr = vec![0.8; 14];
        rr[5] = 0.5;
        rr[6] = 1.1;
        assert_eq!(kinds(&rr), [(Kind::PrematureBeat, Severity::Low)]);
        let wild = [0.7, 0.95, 0.9, 0.62, 1.0, 0.75, 0.66, 0.92, 0.71, 0.58, 0.97, 0.81, 0.63];
        let found = kinds(&wild);
        assert_eq!(found[0].0, Kind::IrregularRhythm);
        assert_eq!(found[1].0, Kind::AtrialFibrillationSuspected);
    }

    #[test]
    fn runs_of_marks() {
        let found = |marks: &[bool]| runs(marks, |mark| *mark).collect::<Vec<_>>();
        assert_eq!(found(&[true, false, true, true]), [(0, 1), (2, 4)]);
        assert!(found(&[]).is_empty() && found(&[false]).is_empty());
    }
}
