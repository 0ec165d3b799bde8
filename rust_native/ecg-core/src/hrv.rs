//! Time-domain heart-rate variability (Task Force of ESC and NASPE, 1996; Brennan et al., 2001).

use crate::order::{deviation, mean, running_median};

const NEIGHBOURS: usize = 11;
const TOLERANCE: f64 = 0.2;
const NORMAL_MS: std::ops::RangeInclusive<f64> = 300.0..=2000.0;

/// Variability; a value that needs more intervals than there are is NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hrv {
    /// Normal intervals used.
    pub nn_count: usize,
    /// Their mean, ms.
    pub mean_nn_ms: f64,
    /// Their standard deviation, one degree of freedom taken off, ms.
    pub sdnn_ms: f64,
    /// Root mean square of successive differences, ms.
    pub rmssd_ms: f64,
    /// Successive differences above 50 ms, percent.
    pub pnn50: f64,
    /// Poincaré short axis, ms.
    pub sd1_ms: f64,
    /// Poincaré long axis, ms.
    pub sd2_ms: f64,
}

/// Variability of intervals that are all normal.
#[must_use]
pub fn hrv(rr_ms: &[f64]) -> Hrv {
    of_normal(rr_ms, &vec![true; rr_ms.len()])
}

/// Variability of the intervals marked normal; differences only between neighbours.
#[must_use]
pub fn of_normal(rr_ms: &[f64], normal: &[bool]) -> Hrv {
    let marked = rr_ms.iter().zip(normal);
    let nn: Vec<f64> = marked.filter(|(_, ok)| **ok).map(|(rr, _)| *rr).collect();
    let pairs = rr_ms.windows(2).zip(normal.windows(2));
    let steps: Vec<f64> =
        pairs.filter(|(_, ok)| ok[0] && ok[1]).map(|(rr, _)| rr[1] - rr[0]).collect();
    let wide = steps.iter().filter(|step| step.abs() > 50.0).count();
    let sdnn_ms = deviation(&nn, 1);
    let sd1_ms = deviation(&steps, 1) / std::f64::consts::SQRT_2;
    let squares: Vec<f64> = steps.iter().map(|step| step * step).collect();
    let sd2_squared = 2.0 * sdnn_ms * sdnn_ms - sd1_ms * sd1_ms;
    Hrv {
        nn_count: nn.len(),
        mean_nn_ms: mean(&nn),
        sdnn_ms,
        rmssd_ms: mean(&squares).sqrt(),
        pnn50: 100.0 * wide as f64 / steps.len() as f64,
        sd1_ms,
        // `f64::max` would turn NaN into zero.
        sd2_ms: if sd2_squared < 0.0 { 0.0 } else { sd2_squared.sqrt() },
    }
}

/// Mark intervals near the median of their surroundings: ectopic beats fall out.
#[must_use]
pub fn normal_intervals(rr_ms: &[f64]) -> Vec<bool> {
    let medians = running_median(rr_ms, NEIGHBOURS);
    let near = |(rr, median): (&f64, f64)| {
        (rr - median).abs() <= TOLERANCE * median && NORMAL_MS.contains(rr)
    };
    rr_ms.iter().zip(medians.iter().copied()).map(near).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_intervals_give_nan_and_no_panic() {
        assert!(hrv(&[]).mean_nn_ms.is_nan());
        assert_eq!(hrv(&[800.0]).mean_nn_ms, 800.0);
        assert!(hrv(&[800.0]).sdnn_ms.is_nan());
        assert!(hrv(&[800.0, 810.0]).sd2_ms.is_nan());
        assert_eq!(hrv(&[800.0, 810.0, 800.0]).rmssd_ms, 10.0);
    }

    #[test]
    fn an_ectopic_beat_is_left_out() {
        let mut rr = vec![800.0; 20];
        rr[7] = 500.0;
        rr[8] = 1100.0;
        let normal = normal_intervals(&rr);
        assert_eq!(normal.iter().filter(|ok| !**ok).count(), 2);
        let h = of_normal(&rr, &normal);
        assert_eq!((h.nn_count, h.sdnn_ms, h.rmssd_ms), (18, 0.0, 0.0));
    }
}
