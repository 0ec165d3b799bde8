//! Signal-to-noise ratio: what repeats from beat to beat against what does not.
//!
//! Ensemble averaging, as for averaged electrocardiograms (Sörnmo and Laguna, Bioelectrical Signal
//! Processing, 2005, section 4.3). Each beat is first fitted by the mean beat at any scale, by its
//! derivative (a peak found a little early or late) and by a line (wander), so that breathing is
//! not taken for noise.

use crate::error::Error;
use crate::leads::{Leads, Sample};
use crate::order::{mean, median_of};
use crate::rpeaks::require_analysable;
use crate::scratch::{Buffer, empty, zeros};

const BEFORE_S: f64 = 0.25;
const AFTER_S: f64 = 0.45;
/// Of the median RR interval: so much of a beat lies before its R peak, and after it.
const BEFORE_RR: f64 = 0.4;
const AFTER_RR: f64 = 0.6;
const FEWEST_BEATS: usize = 3;
const MOST_BEATS: usize = 64;
/// Beats with more noise than this many times the median one are of another shape.
const OUTLYING: f64 = 2.0;
/// What a beat is fitted by: its mean, the mean beat, the derivative of that, and a line.
const FITTED: f64 = 4.0;
const LANES: usize = 8;

/// Ratio of powers in dB, for each lead; NaN with fewer than three whole beats.
///
/// # Errors
/// [`Error::TooShort`] below one second, [`Error::Parameter`] for a rate outside 100 to 2000 Hz.
pub fn snr_db<S: Sample>(x: &Leads<S>, fs_hz: f64, peaks: &[usize]) -> Result<Vec<f64>, Error> {
    require_analysable(x, fs_hz)?;
    let Some(beats) = Beats::of(x.samples(), fs_hz, peaks) else {
        return Ok(x.rows().map(|_| f64::NAN).collect());
    };
    Ok(x.rows().map(|row| beats.ratio_db(row)).collect())
}

/// Where the beats are.
struct Beats {
    starts: Vec<usize>,
    samples: usize,
    rr: f64,
}

impl Beats {
    fn of(samples: usize, fs_hz: f64, peaks: &[usize]) -> Option<Self> {
        let mut intervals: Vec<f64> =
            peaks.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64).collect();
        let rr = median_of(&mut intervals);
        let before = ((BEFORE_S * fs_hz).min(BEFORE_RR * rr) + 0.5) as usize;
        let after = ((AFTER_S * fs_hz).min(AFTER_RR * rr) + 0.5) as usize;
        let whole = |peak: &usize| *peak >= before && *peak + after <= samples;
        let whole: Vec<usize> = peaks.iter().copied().filter(whole).collect();
        let wide_enough = (before + after) as f64 > FITTED;
        if whole.len() < FEWEST_BEATS || !wide_enough {
            return None;
        }
        let count = whole.len().min(MOST_BEATS);
        let starts = (0..count).map(|k| whole[k * whole.len() / count] - before).collect();
        Some(Self { starts, samples: before + after, rr })
    }

    fn ratio_db<S: Sample>(&self, row: &[S]) -> f64 {
        let windows = self.windows(row);
        let all = vec![true; self.starts.len()];
        let first = self.residuals(&windows, &self.mean_beat(&windows, &all));
        let limit = OUTLYING * median_of(&mut first.clone());
        let alike: Vec<bool> = first.iter().map(|power| *power <= limit).collect();
        let count = alike.iter().filter(|is| **is).count() as f64;
        let beat = self.mean_beat(&windows, &alike);
        // The mean beat holds its share of each beat's noise.
        let noise = median_of(&mut self.residuals(&windows, &beat)) / (1.0 - 1.0 / count);
        let power = beat.iter().map(|v| v * v).sum::<f64>() / self.samples as f64;
        let signal = (power - noise / count) * self.samples as f64 / self.rr;
        if signal > 0.0 && noise > 0.0 { 10.0 * (signal / noise).log10() } else { f64::NAN }
    }

    /// The beats one after the other, the mean of each removed.
    fn windows<S: Sample>(&self, row: &[S]) -> Buffer<f64> {
        let mut windows: Buffer<f64> = empty();
        for start in &self.starts {
            let from = windows.len();
            windows
                .extend(row[*start..start + self.samples].iter().map(|v| -> f64 { (*v).into() }));
            centre(&mut windows[from..]);
        }
        windows
    }

    fn mean_beat(&self, windows: &[f64], taken: &[bool]) -> Buffer<f64> {
        let mut beat = zeros(self.samples);
        let mut count = 0.0;
        for (window, _) in windows.chunks(self.samples).zip(taken).filter(|(_, taken)| **taken) {
            count += 1.0;
            beat.iter_mut().zip(window).for_each(|(sum, v)| *sum += v);
        }
        beat.iter_mut().for_each(|sum| *sum /= count);
        beat
    }

    /// Power of what the fit leaves of each beat.
    fn residuals(&self, windows: &[f64], beat: &[f64]) -> Vec<f64> {
        let fit = orthonormal([beat.to_vec(), slope_of(beat), line(self.samples)]);
        let left = |window: &[f64]| {
            let fitted: f64 = fit.iter().map(|basis| dot(window, basis).powi(2)).sum();
            (dot(window, window) - fitted).max(0.0) / (self.samples as f64 - FITTED)
        };
        windows.chunks(self.samples).map(left).collect()
    }
}

/// In eight sums side by side: one would wait for itself at every step.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_parts, a_rest) = a.as_chunks::<LANES>();
    let (b_parts, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_parts.iter().zip(b_parts) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

fn centre(values: &mut [f64]) {
    let level = mean(values);
    for v in values {
        *v -= level;
    }
}

/// Half the difference of the neighbours, without its mean.
fn slope_of(beat: &[f64]) -> Vec<f64> {
    let last = beat.len() - 1;
    let at = |i: usize| (beat[(i + 1).min(last)] - beat[i.saturating_sub(1)]) / 2.0;
    let mut slope: Vec<f64> = (0..=last).map(at).collect();
    centre(&mut slope);
    slope
}

fn line(samples: usize) -> Vec<f64> {
    let middle = (samples - 1) as f64 / 2.0;
    (0..samples).map(|i| i as f64 - middle).collect()
}

/// Gram and Schmidt; what depends on those before it is left out.
fn orthonormal(vectors: [Vec<f64>; 3]) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for mut vector in vectors {
        let before = dot(&vector, &vector);
        for one in &basis {
            let share = dot(&vector, one);
            vector.iter_mut().zip(one).for_each(|(v, o)| *v -= share * o);
        }
        let norm = dot(&vector, &vector);
        if norm > 1e-12 * before && norm > 0.0 {
            for v in &mut vector {
                *v /= norm.sqrt();
            }
            basis.push(vector);
        }
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat_and_noise(noise_mv: f64) -> Vec<f64> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state as f64 / u64::MAX as f64 - 0.5) * noise_mv
        };
        let beat = |i: usize| (-(((i % 400) as f64 - 200.0) / 6.0).powi(2)).exp();
        (0..5000).map(|i| beat(i) + noise()).collect()
    }

    #[test]
    fn noise_is_told_in_decibels() {
        let peaks: Vec<usize> = (0..12).map(|k| 400 * k + 200).collect();
        let clean = beat_and_noise(0.0);
        let power = |x: &[f64]| {
            let level = mean(x);
            x.iter().map(|v| (v - level).powi(2)).sum::<f64>() / x.len() as f64
        };
        for noise_mv in [0.02, 0.1, 0.5] {
            let x = beat_and_noise(noise_mv);
            let noise: Vec<f64> = x.iter().zip(&clean).map(|(a, b)| a - b).collect();
            let expected = 10.0 * (power(&clean) / power(&noise)).log10();
            let found = snr_db(&Leads::new(&x, 1, x.len()).unwrap(), 500.0, &peaks).unwrap()[0];
            assert!((found - expected).abs() < 1.0, "{found} dB for {expected} dB");
        }
    }

    #[test]
    fn nothing_is_told_of_two_beats_or_of_a_flat_line() {
        let x = beat_and_noise(0.1);
        let leads = Leads::new(&x, 1, x.len()).unwrap();
        assert!(snr_db(&leads, 500.0, &[200, 600]).unwrap()[0].is_nan());
        let flat = vec![0.5; 5000];
        let leads = Leads::new(&flat, 1, flat.len()).unwrap();
        assert!(snr_db(&leads, 500.0, &[200, 600, 1000, 1400]).unwrap()[0].is_nan());
    }

    #[test]
    fn peaks_that_make_no_sense_do_no_harm() {
        let x = beat_and_noise(0.1);
        let leads = Leads::new(&x, 1, x.len()).unwrap();
        for peaks in [vec![], vec![9, 9, 9, 9], vec![4999, 0, 4999, 3], vec![1, 2, 3, 4]] {
            assert!(snr_db(&leads, 500.0, &peaks).is_ok());
        }
    }
}
