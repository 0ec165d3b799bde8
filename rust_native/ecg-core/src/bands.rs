//! The bands that beats and quality are read from, by centred moving averages.
//!
//! Two equal averages in a row have a triangular kernel; the difference of a short and a long one
//! passes about 5 to 25 Hz with zero phase at one addition a sample, whatever the sampling rate.

use crate::leads::{Leads, Sample};
use crate::order::mean;

const PRE_ROLL_S: f64 = 2.0;
const SHORT_S: f64 = 0.016;
const LONG_S: f64 = 0.080;

/// Samples in `seconds`, rounded half up, at least one.
#[must_use]
pub fn count(seconds: f64, fs_hz: f64) -> usize {
    ((seconds * fs_hz + 0.5) as usize).max(1)
}

/// Odd number of samples nearest above `seconds`.
#[must_use]
pub fn width(seconds: f64, fs_hz: f64) -> usize {
    count(seconds, fs_hz) | 1
}

/// One lead, centred, with a reflected pre-roll on both sides, mV.
#[derive(Debug, Clone)]
pub struct Band {
    /// As recorded, without its mean.
    pub raw: Vec<f64>,
    /// Low-pass, about 25 Hz.
    pub smooth: Vec<f64>,
    /// The band of the QRS complex.
    pub qrs: Vec<f64>,
}

/// The bands of every lead.
#[derive(Debug, Clone)]
pub struct Bands {
    /// Samples per second.
    pub fs_hz: f64,
    /// Samples of the recording.
    pub samples: usize,
    /// Samples of the pre-roll on each side.
    pub pad: usize,
    /// The leads in order.
    pub leads: Vec<Band>,
}

impl Bands {
    /// Extend, centre and filter.
    #[must_use]
    pub fn split<S: Sample>(x: &Leads<S>, fs_hz: f64) -> Self {
        let pad = count(PRE_ROLL_S, fs_hz);
        let leads = x.rows().map(|row| Band::split(row, pad, fs_hz)).collect();
        Self { fs_hz, samples: x.samples(), pad, leads }
    }
}

impl Band {
    fn split<S: Sample>(row: &[S], pad: usize, fs_hz: f64) -> Self {
        let wide: Vec<f64> = row.iter().map(|v| (*v).into()).collect();
        let centre = mean(&wide);
        let raw: Vec<f64> = reflected(wide.len(), pad).map(|i| wide[i] - centre).collect();
        let smooth = twice_averaged(&raw, width(SHORT_S, fs_hz));
        let slow = twice_averaged(&raw, width(LONG_S, fs_hz));
        let qrs = smooth.iter().zip(&slow).map(|(a, b)| a - b).collect();
        Self { raw, smooth, qrs }
    }
}

/// Indices that extend a signal by mirror images, as many as `pad` needs.
fn reflected(samples: usize, pad: usize) -> impl Iterator<Item = usize> {
    let period = (2 * (samples - 1)).max(1);
    (0..samples + 2 * pad).map(move |i| {
        let index = i.abs_diff(pad) % period;
        if index < samples { index } else { period - index }
    })
}

/// Centred moving average over `size` (odd) samples; zero where the window leaves the signal.
#[must_use]
pub fn averaged(x: &[f64], size: usize) -> Vec<f64> {
    let mut total = Vec::with_capacity(x.len() + 1);
    let mut sum = 0.0;
    total.push(sum);
    total.extend(x.iter().map(|v| {
        sum += v;
        sum
    }));
    let mut y = vec![0.0; x.len()];
    let ends = total.get(size..).unwrap_or_default();
    for ((out, end), start) in y[(size / 2).min(x.len())..].iter_mut().zip(ends).zip(&total) {
        *out = (end - start) / size as f64;
    }
    y
}

fn twice_averaged(x: &[f64], size: usize) -> Vec<f64> {
    averaged(&averaged(x, size), size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_centred_and_zero_at_the_ends() {
        let y = averaged(&[0.0, 0.0, 3.0, 0.0, 0.0, 0.0], 3);
        assert_eq!(y, [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(averaged(&[1.0, 2.0], 5), [0.0, 0.0]);
    }

    #[test]
    fn reflection_repeats_as_often_as_needed() {
        let extended: Vec<usize> = reflected(3, 5).collect();
        assert_eq!(extended, [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert!(reflected(1, 3).all(|i| i == 0));
    }
}
