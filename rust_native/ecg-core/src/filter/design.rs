//! Butterworth and notch designs by the bilinear transform, in the forms that `cascade.rs` runs.

use crate::error::Error;
use crate::leads::require_rate;
use std::f64::consts::PI;

/// Highest order of either edge of a band.
pub const MAX_ORDER: usize = 8;
const MAX_PAIRS: usize = MAX_ORDER / 2;

/// `(z - 1)² / ((z - 1)² + damping (z - 1) + pull)`: what is small near DC stands by itself, so
/// that single precision keeps its digits where `1 + a1 + a2` would lose them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HighPair {
    pub(crate) pull: f64,
    pub(crate) damping: f64,
}

/// `(1 + z⁻¹)² / (1 + a1 z⁻¹ + a2 z⁻²)`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LowPair {
    pub(crate) a1: f64,
    pub(crate) a2: f64,
}

/// `(1 + b1 z⁻¹ + z⁻²) / (1 + a1 z⁻¹ + a2 z⁻²)`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Notch {
    pub(crate) b1: f64,
    pub(crate) a1: f64,
    pub(crate) a2: f64,
}

/// The sections of one filter without their gains, and the product of these.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Design {
    pub(crate) high: [HighPair; MAX_PAIRS],
    pub(crate) high_pairs: usize,
    pub(crate) low: [LowPair; MAX_PAIRS],
    pub(crate) low_pairs: usize,
    /// Poles of a first-order high-pass (as `1 - pole`) and of a first-order low-pass.
    pub(crate) first_order: Option<(f64, f64)>,
    pub(crate) notch: Option<Notch>,
    pub(crate) gain: f64,
    /// Whether single-precision states hold 0.5 µV.
    pub(crate) holds_in_f32: bool,
}

impl Design {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { gain: 1.0, holds_in_f32: true, ..Self::default() }
    }

    /// Butterworth high-pass and low-pass of `order` each.
    pub(crate) fn band(fs_hz: f64, low_hz: f64, high_hz: f64, order: usize) -> Result<Self, Error> {
        let (k_low, k_high) =
            (warped("low_hz", low_hz, fs_hz)?, warped("high_hz", high_hz, fs_hz)?);
        if low_hz >= high_hz {
            return Err(Error::Parameter { name: "low_hz", must: "below high_hz", value: low_hz });
        }
        if !(1..=MAX_ORDER).contains(&order) {
            return Err(Error::Parameter { name: "order", must: "in 1 to 8", value: order as f64 });
        }
        let mut design = Self::new();
        for pair in 0..order / 2 {
            let angle = (2 * pair + 1) as f64 * PI / (2 * order) as f64;
            design.add_high_pair(k_low, 2.0 * angle.sin());
            design.add_low_pair(k_high, 2.0 * angle.sin());
        }
        if order % 2 == 1 {
            design.add_first_order(k_low, k_high);
        }
        design.holds_in_f32 &= order <= 4;
        Ok(design)
    }

    /// Butterworth high-pass of order 2.
    pub(crate) fn highpass(fs_hz: f64, cutoff_hz: f64) -> Result<Self, Error> {
        let mut design = Self::new();
        design.add_high_pair(warped("cutoff_hz", cutoff_hz, fs_hz)?, std::f64::consts::SQRT_2);
        Ok(design)
    }

    /// Take out `mains_hz` with a bandwidth (-3 dB, one way) of `mains_hz / q`.
    pub(crate) fn add_notch(&mut self, fs_hz: f64, mains_hz: f64, q: f64) -> Result<(), Error> {
        warped("mains_hz", mains_hz, fs_hz)?;
        if !(1.0..=200.0).contains(&q) {
            return Err(Error::Parameter { name: "q", must: "in 1 to 200", value: q });
        }
        let angle = 2.0 * PI * mains_hz / fs_hz;
        let gain = 1.0 / (1.0 + (angle / (2.0 * q)).tan());
        let b1 = -2.0 * angle.cos();
        self.notch = Some(Notch { b1, a1: gain * b1, a2: 2.0 * gain - 1.0 });
        self.gain *= gain;
        self.holds_in_f32 &= mains_hz * 25.0 >= fs_hz;
        Ok(())
    }

    fn add_high_pair(&mut self, k: f64, inverse_q: f64) {
        let norm = 1.0 / (1.0 + k * inverse_q + k * k);
        let pull = 4.0 * k * k * norm;
        let damping = (2.0 * k * inverse_q + 4.0 * k * k) * norm;
        self.high[self.high_pairs] = HighPair { pull, damping };
        self.high_pairs += 1;
        // Its output carries a factor `pull`.
        self.gain *= norm / pull;
        self.holds_in_f32 &= k > 2.5e-4;
    }

    fn add_low_pair(&mut self, k: f64, inverse_q: f64) {
        let norm = 1.0 / (1.0 + k * inverse_q + k * k);
        let (a1, a2) = (2.0 * (k * k - 1.0) * norm, (1.0 - k * inverse_q + k * k) * norm);
        self.low[self.low_pairs] = LowPair { a1, a2 };
        self.low_pairs += 1;
        self.gain *= k * k * norm;
        self.holds_in_f32 &= k > 0.05;
    }

    fn add_first_order(&mut self, k_low: f64, k_high: f64) {
        self.first_order = Some((2.0 * k_low / (1.0 + k_low), (1.0 - k_high) / (1.0 + k_high)));
        self.gain *= k_high / ((1.0 + k_low) * (1.0 + k_high));
        self.holds_in_f32 &= k_low > 2.5e-4 && k_high > 0.05;
    }
}

/// `tan(π cutoff / fs)`.
fn warped(name: &'static str, cutoff_hz: f64, fs_hz: f64) -> Result<f64, Error> {
    require_rate("fs_hz", fs_hz)?;
    if !(0.01..0.499 * fs_hz).contains(&cutoff_hz) {
        let must = "in 0.01 Hz to half the sampling rate";
        return Err(Error::Parameter { name, must, value: cutoff_hz });
    }
    Ok((PI * cutoff_hz / fs_hz).tan())
}
