//! Indices of signal quality from the literature: reported, not decided on.
//!
//! Moments after Li, Mark and Clifford (Physiol. Meas. 29 (2008) 15) and Clifford et al. (Physiol.
//! Meas. 33 (2012) 1419), parts of the power after these and Zhao and Zhang (Front. Physiol. 9
//! (2018) 727). Powers are those of Welch's periodogram: periodic Hann windows of 4 s, half
//! overlapping, the mean of each removed, filled with zeros up to a power of two.

use crate::error::Error;
use crate::filter::{Baseline, remove_baseline_into};
use crate::leads::{Leads, Sample};
use crate::order::{deviation, mean};
use crate::rpeaks::require_analysable;
use crate::scratch::{Buffer, empty, zeros};
use std::f64::consts::TAU;

const WINDOW_S: f64 = 4.0;
const QRS_HZ: [f64; 2] = [5.0, 15.0];
const SIGNAL_HZ: [f64; 2] = [5.0, 40.0];
const WANDER_HZ: f64 = 0.6;
const MAINS_HZ: [f64; 2] = [50.0, 60.0];
/// Mains with this much more power than what lies beside them are there.
const MAINS_CONTRAST: f64 = 4.0;

/// The indices of one lead; NaN where they are not defined, as for a constant lead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QualityIndices {
    /// Kurtosis, 3 for Gaussian noise.
    pub k_sqi: f64,
    /// Skewness.
    pub s_sqi: f64,
    /// Power in 5 to 15 Hz over that in 5 to 40 Hz.
    pub p_sqi: f64,
    /// One less the power in 0 to 1 Hz over that in 0 to 40 Hz.
    pub bas_sqi: f64,
    /// Power within 1 Hz of the mains over that in 5 to 40 Hz, of 50 and 60 Hz the higher one.
    pub mains_ratio: f64,
    /// 50 or 60 Hz if that stands out of its neighbours, else NaN.
    pub mains_hz: f64,
    /// Standard deviation of what lies below 0.6 Hz, mV.
    pub baseline_mv: f64,
    /// Root mean square of what lies above 40 Hz, mV.
    pub high_frequency_mv: f64,
}

/// Measure each lead.
///
/// # Errors
/// [`Error::TooShort`] below one second, [`Error::Parameter`] for a rate outside 100 to 2000 Hz.
pub fn quality_indices<S: Sample>(x: &Leads<S>, fs_hz: f64) -> Result<Vec<QualityIndices>, Error> {
    require_analysable(x, fs_hz)?;
    let fourier = Fourier::new(x.samples().min((WINDOW_S * fs_hz + 0.5) as usize));
    let mut row: Buffer<f64> = empty();
    let measure = |samples: &[S]| {
        row.clear();
        row.extend(samples.iter().map(|v| -> f64 { (*v).into() }));
        lead_indices(&row, fs_hz, &fourier)
    };
    x.rows().map(measure).collect()
}

fn lead_indices(row: &[f64], fs_hz: f64, fourier: &Fourier) -> Result<QualityIndices, Error> {
    let density = Density { values: welch(row, fs_hz, fourier), step_hz: fs_hz / fourier.size() };
    let signal = density.power(SIGNAL_HZ);
    let [(fifty, at_fifty), (sixty, at_sixty)] = MAINS_HZ.map(|hz| density.mains(hz));
    let (mains, stands_out, hz) =
        if sixty > fifty { (sixty, at_sixty, 60.0) } else { (fifty, at_fifty, 50.0) };
    let [k_sqi, s_sqi] = moments(row);
    Ok(QualityIndices {
        k_sqi,
        s_sqi,
        p_sqi: ratio(density.power(QRS_HZ), signal),
        bas_sqi: 1.0 - ratio(density.power([0.0, 1.0]), density.power([0.0, 40.0])),
        mains_ratio: ratio(mains, signal),
        mains_hz: if stands_out { hz } else { f64::NAN },
        baseline_mv: wander_mv(row, fs_hz)?,
        high_frequency_mv: density.power([40.0, 0.5 * fs_hz]).sqrt(),
    })
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { f64::NAN }
}

/// Kurtosis and skewness.
fn moments(row: &[f64]) -> [f64; 2] {
    let centre = mean(row);
    let (mut second, mut third, mut fourth) = (0.0, 0.0, 0.0);
    for v in row {
        let square = (v - centre).powi(2);
        second += square;
        third += square * (v - centre);
        fourth += square * square;
    }
    if row.iter().all(|v| *v == row[0]) || second == 0.0 {
        return [f64::NAN; 2];
    }
    let n = row.len() as f64;
    [fourth * n / (second * second), third * n.sqrt() / second.powf(1.5)]
}

fn wander_mv(row: &[f64], fs_hz: f64) -> Result<f64, Error> {
    let mut rest = zeros(row.len());
    let leads = Leads::new(row, 1, row.len())?;
    remove_baseline_into(&leads, fs_hz, Baseline::HighPass(WANDER_HZ), &mut rest)?;
    rest.iter_mut().zip(row).for_each(|(rest, v)| *rest = v - *rest);
    Ok(deviation(&rest, 0))
}

/// One-sided power density, mV²/Hz.
struct Density {
    values: Vec<f64>,
    step_hz: f64,
}

impl Density {
    /// Power in a band, both ends included, mV².
    fn power(&self, [low_hz, high_hz]: [f64; 2]) -> f64 {
        let first = (low_hz / self.step_hz - 1e-9).ceil().max(0.0) as usize;
        let last = (high_hz / self.step_hz + 1e-9).floor() as usize;
        let band = self.values.get(first..=last.min(self.values.len() - 1));
        band.map_or(0.0, |band| band.iter().sum::<f64>() * self.step_hz)
    }

    /// Power at a mains frequency, and whether it stands out; NaN where the rate is too low.
    fn mains(&self, hz: f64) -> (f64, bool) {
        if hz + 4.0 > self.step_hz * (self.values.len() - 1) as f64 {
            return (f64::NAN, false);
        }
        let inside = self.power([hz - 1.0, hz + 1.0]);
        let [below, above] = [[hz - 4.0, hz - 2.0], [hz + 2.0, hz + 4.0]].map(|b| self.power(b));
        (inside, inside > 0.0 && inside >= MAINS_CONTRAST * below.max(above))
    }
}

/// Two windows at a time: one is the real, one the imaginary part of what is transformed.
fn welch(row: &[f64], fs_hz: f64, fourier: &Fourier) -> Vec<f64> {
    let (window, size) = (fourier.hann.len(), fourier.cosine.len());
    let mut sums = vec![0.0; size / 2 + 1];
    let (mut real, mut imaginary) = (zeros(size), zeros(size));
    let count = 1 + (row.len() - window) / fourier.hop();
    for k in (0..count).step_by(2) {
        fourier.taper(row, k, count, &mut real);
        fourier.taper(row, k + 1, count, &mut imaginary);
        fourier.transform(&mut real, &mut imaginary);
        for (bin, sum) in sums.iter_mut().enumerate() {
            let mirror = (size - bin) % size;
            *sum += real[bin].powi(2) + imaginary[bin].powi(2);
            *sum += real[mirror].powi(2) + imaginary[mirror].powi(2);
        }
    }
    let weight: f64 = fourier.hann.iter().map(|w| w * w).sum();
    let last = sums.len() - 1;
    for (bin, sum) in sums.iter_mut().enumerate() {
        let sides = if bin == 0 || bin == last { 0.5 } else { 1.0 };
        *sum *= sides / (fs_hz * weight * count as f64);
    }
    sums
}

/// Window and turning factors of a fast Fourier transform.
struct Fourier {
    hann: Vec<f64>,
    cosine: Vec<f64>,
    sine: Vec<f64>,
}

impl Fourier {
    fn new(window: usize) -> Self {
        let wave = |n: usize| (0..n).map(move |i| TAU * i as f64 / n as f64);
        let size = window.next_power_of_two();
        Self {
            hann: wave(window).map(|turn| 0.5 - 0.5 * turn.cos()).collect(),
            cosine: wave(size).map(f64::cos).collect(),
            sine: wave(size).map(f64::sin).collect(),
        }
    }

    fn size(&self) -> f64 {
        self.cosine.len() as f64
    }

    fn hop(&self) -> usize {
        self.hann.len() - self.hann.len() / 2
    }

    /// The `k`th of `count` windows, tapered; zeros after the last one.
    fn taper(&self, row: &[f64], k: usize, count: usize, out: &mut [f64]) {
        out.fill(0.0);
        if k < count {
            let part = &row[k * self.hop()..][..self.hann.len()];
            let centre = mean(part);
            for ((out, v), weight) in out.iter_mut().zip(part).zip(&self.hann) {
                *out = (v - centre) * weight;
            }
        }
    }

    /// In place, radix 2 (Cooley and Tukey, 1965).
    fn transform(&self, real: &mut [f64], imaginary: &mut [f64]) {
        reorder(real);
        reorder(imaginary);
        let size = real.len();
        let mut half = 1;
        while half < size {
            let stride = size / (2 * half);
            let blocks = real.chunks_exact_mut(2 * half).zip(imaginary.chunks_exact_mut(2 * half));
            for (real, imaginary) in blocks {
                let ((a, b), (c, d)) = (real.split_at_mut(half), imaginary.split_at_mut(half));
                for i in 0..half {
                    let (x, y) = (self.cosine[i * stride], -self.sine[i * stride]);
                    let (re, im) = (b[i] * x - d[i] * y, b[i] * y + d[i] * x);
                    (b[i], d[i]) = (a[i] - re, c[i] - im);
                    (a[i], c[i]) = (a[i] + re, c[i] + im);
                }
            }
            half *= 2;
        }
    }
}

/// Put each value where its index has its bits in reverse.
fn reorder(x: &mut [f64]) {
    let bits = x.len().trailing_zeros();
    for i in 0..x.len() {
        let j = if bits == 0 { i } else { i.reverse_bits() >> (usize::BITS - bits) };
        if i < j {
            x.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, mv: f64) -> Vec<f64> {
        (0..5000).map(|i| mv * (TAU * hz * f64::from(i) / 500.0).sin()).collect()
    }

    fn indices(x: &[f64]) -> QualityIndices {
        quality_indices(&Leads::new(x, 1, x.len()).unwrap(), 500.0).unwrap()[0]
    }

    #[test]
    fn powers_lie_where_the_tones_are() {
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>();
        let found = indices(&sum(&tone(10.0, 2.0), &tone(60.0, 1.0)));
        assert!((found.mains_ratio - 0.25).abs() < 1e-3 && found.mains_hz == 60.0, "{found:?}");
        assert!((found.p_sqi - 1.0).abs() < 1e-6 && (found.bas_sqi - 1.0).abs() < 1e-4);
        assert!((found.high_frequency_mv - 0.5_f64.sqrt()).abs() < 1e-3);
        let slow = indices(&sum(&tone(10.0, 1.0), &tone(0.2, 1.0)));
        assert!((slow.baseline_mv - 0.5_f64.sqrt()).abs() < 0.03, "{slow:?}");
        assert!(slow.bas_sqi < 0.8 && slow.mains_hz.is_nan());
    }

    #[test]
    fn a_constant_lead_has_none() {
        let found = indices(&[0.1; 600]);
        assert!(found.k_sqi.is_nan() && found.s_sqi.is_nan() && found.mains_hz.is_nan());
        assert!(found.baseline_mv.abs() < 1e-9);
    }

    #[test]
    fn any_length_and_rate_is_taken() {
        for (fs, n) in [(100.0, 100), (2000.0, 2001), (257.0, 1031), (360.0, 361)] {
            let x: Vec<f64> = (0..n).map(|i| f64::from(i % 97)).collect();
            let found = quality_indices(&Leads::new(&x, 1, x.len()).unwrap(), fs).unwrap();
            assert!(found[0].p_sqi > 0.0 && found[0].p_sqi < 1.0, "{fs}");
            assert_eq!(found[0].mains_ratio.is_nan(), fs == 100.0);
        }
    }
}
