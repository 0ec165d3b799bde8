//! Times without a beat: pauses, and asystole as monitors define it.

use super::{Anomaly, Kind, Severity};

const PAUSE_S: f64 = 2.0;
/// Kusumoto et al. (2018): pauses above 3 s call for an explanation.
const LONG_PAUSE_S: f64 = 3.0;
/// Clifford et al. (2015), the `PhysioNet` challenge: no beat for at least 4 s.
const ASYSTOLE_S: f64 = 4.0;

/// Pauses between two beats, and asystole there, before the first and after the last beat.
///
/// A pause must be measurable as a whole, of an asystole each stretch long enough counts.
pub(super) fn find(
    peaks_s: &[f64],
    duration_s: f64,
    mut spans: &[(f64, f64)],
    found: &mut Vec<Anomaly>,
) {
    let mut start_s = 0.0;
    for i in 0..=peaks_s.len() {
        let end_s = peaks_s.get(i).copied().unwrap_or(duration_s);
        if end_s - start_s > PAUSE_S {
            while spans.first().is_some_and(|span| span.1 <= start_s) {
                spans = &spans[1..];
            }
            asystoles(start_s, end_s, spans, found);
            if 0 < i && i < peaks_s.len() && end_s - start_s < ASYSTOLE_S {
                found.extend(pause(start_s, end_s, spans));
            }
        }
        start_s = end_s;
    }
}

fn asystoles(start_s: f64, end_s: f64, spans: &[(f64, f64)], found: &mut Vec<Anomaly>) {
    for span in spans.iter().take_while(|span| span.0 < end_s) {
        let (start_s, end_s) = (start_s.max(span.0), end_s.min(span.1));
        if end_s - start_s >= ASYSTOLE_S {
            found.push(Anomaly { kind: Kind::Asystole, start_s, end_s, severity: Severity::High });
        }
    }
}

fn pause(start_s: f64, end_s: f64, spans: &[(f64, f64)]) -> Option<Anomaly> {
    let severity = Severity::graded(true, end_s - start_s > LONG_PAUSE_S);
    let measurable = spans.first().is_some_and(|span| span.0 <= start_s && end_s <= span.1);
    measurable.then_some(Anomaly { kind: Kind::Pause, start_s, end_s, severity })
}
