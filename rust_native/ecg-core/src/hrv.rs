//! Heart-rate variability (Task Force of ESC and NASPE, 1996), and which intervals it is told from.
//!
//! Time domain and Poincaré plot (Brennan et al., 2001) here; see [`complexity`] and [`spectrum`].

pub mod complexity;
pub mod normal;
pub mod spectrum;

pub use normal::normal_intervals;

use crate::order::{deviation, mean};
use crate::scratch;

/// How far rounding moves a step; text files hold six decimals.
const ROUNDING_MS: f64 = 1e-5;
/// Power below this is rounding, not the heart.
const STILL_MS2: f64 = 1e-9;

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
    /// Successive differences above 20 ms, percent.
    pub pnn20: f64,
    /// Poincaré short axis, ms.
    pub sd1_ms: f64,
    /// Poincaré long axis, ms.
    pub sd2_ms: f64,
    /// Sample entropy, m = 2 and r = 0.2 standard deviations, of the first 4096 intervals.
    pub sample_entropy: f64,
    /// Short-term scaling exponent, 4 to 16 intervals.
    pub dfa_alpha1: f64,
    /// Power from 0.0033 to 0.04 Hz, ms².
    pub vlf_ms2: f64,
    /// Power from 0.04 to 0.15 Hz, ms².
    pub lf_ms2: f64,
    /// Power from 0.15 to 0.4 Hz, ms².
    pub hf_ms2: f64,
    /// LF over HF.
    pub lf_hf: f64,
}

/// Variability of intervals that are all normal.
#[must_use]
pub fn hrv(rr_ms: &[f64]) -> Hrv {
    let mut normal = scratch::zeros(rr_ms.len());
    normal.fill(true);
    of_normal(rr_ms, &normal)
}

/// Variability of the intervals marked normal; differences only between neighbours.
#[must_use]
pub fn of_normal(rr_ms: &[f64], normal: &[bool]) -> Hrv {
    let mut nn = scratch::empty();
    nn.extend(rr_ms.iter().zip(normal).filter(|(_, ok)| **ok).map(|(rr, _)| *rr));
    let pairs = rr_ms.windows(2).zip(normal.windows(2));
    let mut steps = scratch::empty();
    steps.extend(pairs.filter(|(_, ok)| ok[0] && ok[1]).map(|(rr, _)| rr[1] - rr[0]));
    let whole = nn.iter().all(|rr| rr.fract() == 0.0);
    let sdnn_ms = deviation(&nn, 1);
    let sd1_ms = deviation(&steps, 1) / std::f64::consts::SQRT_2;
    let squares: f64 = steps.iter().map(|step| step * step).sum();
    let sd2_squared = 2.0 * sdnn_ms * sdnn_ms - sd1_ms * sd1_ms;
    let [vlf_ms2, lf_ms2, hf_ms2] = spectrum::spectrum(rr_ms, normal);
    Hrv {
        nn_count: nn.len(),
        mean_nn_ms: mean(&nn),
        sdnn_ms,
        rmssd_ms: (squares / steps.len() as f64).sqrt(),
        pnn50: share_above(&steps, 50.0, whole),
        pnn20: share_above(&steps, 20.0, whole),
        sd1_ms,
        // `f64::max` would turn NaN into zero.
        sd2_ms: if sd2_squared < 0.0 { 0.0 } else { sd2_squared.sqrt() },
        sample_entropy: complexity::sample_entropy(&nn),
        dfa_alpha1: complexity::dfa_alpha1(&nn),
        vlf_ms2,
        lf_ms2,
        hf_ms2,
        lf_hf: if hf_ms2 > STILL_MS2 { lf_ms2 / hf_ms2 } else { f64::NAN },
    }
}

/// Percent of the steps above the limit.
///
/// Intervals that are no whole ms carry rounding, which alone decides whether a step of exactly
/// the limit (18 samples at 360 Hz are 50 ms) comes out above it or not: such steps count half.
fn share_above(steps: &[f64], limit_ms: f64, whole: bool) -> f64 {
    let share = |step: &f64| match step.abs() - limit_ms {
        excess if whole => f64::from(excess > 0.0),
        excess if excess > ROUNDING_MS => 1.0,
        excess => 0.5 * f64::from(excess >= -ROUNDING_MS),
    };
    100.0 * steps.iter().map(share).sum::<f64>() / steps.len() as f64
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
        let three = hrv(&[800.0, 810.0, 800.0]);
        assert_eq!(three.rmssd_ms, 10.0);
        assert!(three.sample_entropy.is_nan() && three.dfa_alpha1.is_nan());
        assert!(three.vlf_ms2.is_nan() && three.lf_hf.is_nan());
    }

    #[test]
    fn an_ectopic_beat_is_left_out() {
        let mut rr = vec![800.0; 20];
        rr[7] = 500.0;
        rr[8] = 1100.0;
        let normal = normal_intervals(&rr, None);
        assert_eq!(normal.iter().filter(|ok| !**ok).count(), 2);
        let h = of_normal(&rr, &normal);
        assert_eq!((h.nn_count, h.sdnn_ms, h.rmssd_ms), (18, 0.0, 0.0));
    }

    #[test]
    fn a_step_at_the_limit_counts_half_where_rounding_decides() {
        let exact = [800.0, 850.0, 850.0];
        assert_eq!(hrv(&exact).pnn50, 0.0);
        let rounded = [100.0 / 3.0 + 800.0, 100.0 / 3.0 + 850.0, 100.0 / 3.0 + 850.0];
        assert_eq!(hrv(&rounded).pnn50, 25.0);
    }
}
