//! Reading a signal at another rate.

mod polyphase;

use crate::error::Error;
use crate::leads::{Leads, Sample, require_rate, require_size};
use crate::scratch;
use crate::simd::{self, Kernel};

/// How values between samples are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Linear interpolation on a stretched axis, as ECG-FM was trained with.
    Linear,
    /// A windowed sinc (Kaiser, β = 5, ten zero crossings to each side), for signal analysis.
    Polyphase,
}

/// Read every lead at a new rate: `(leads, resampled_len)`, lead after lead.
///
/// # Errors
/// [`Error::Parameter`] for a rate out of bounds or, polyphase, a ratio that is not of small
/// integers; [`Error::TooFewToResample`], [`Error::OutputSize`].
pub fn resample_into<S: Sample>(
    x: &Leads<S>,
    fs_in: f64,
    fs_out: f64,
    method: Method,
    out: &mut [S],
) -> Result<(), Error> {
    let n_out = resampled_len(x.samples(), fs_in, fs_out)?;
    require_size(out.len(), x.count() * n_out)?;
    match method {
        Method::Linear => {
            let stretch = Stretch::new(x.samples(), n_out);
            for (row, out) in x.rows().zip(out.chunks_exact_mut(n_out)) {
                stretch.read(row, out);
            }
        }
        Method::Polyphase => polyphase::resample(x, fs_in, fs_out, out)?,
    }
    Ok(())
}

/// Samples after resampling: `int(n * fs_out / fs_in)`.
///
/// # Errors
/// [`Error::Parameter`] for a rate out of bounds, [`Error::TooFewToResample`].
pub fn resampled_len(samples: usize, fs_in: f64, fs_out: f64) -> Result<usize, Error> {
    require_rate("fs_in", fs_in)?;
    require_rate("fs_out", fs_out)?;
    let n_out = (samples as f64 * fs_out / fs_in) as usize;
    if samples < 2 || n_out < 2 {
        return Err(Error::TooFewToResample { samples, fs_in, fs_out });
    }
    Ok(n_out)
}

/// A lead laid on `linspace(0, n_out - 1, n)` and read at 0, 1, …, `n_out - 1`.
pub(crate) struct Stretch {
    /// Sample before each place, and how far behind it the place lies; none if nothing changes.
    left: scratch::Buffer<usize>,
    weight: scratch::Buffer<f64>,
    /// So many places from the first on have the sample before them at `2 i`: all but the last
    /// where a rate is halved. They are read in pairs.
    pairs: usize,
}

impl Stretch {
    pub(crate) fn new(samples: usize, n_out: usize) -> Self {
        let (mut left, mut weight) = (scratch::empty(), scratch::empty());
        if samples != n_out {
            let step = (samples - 1) as f64 / (n_out - 1) as f64;
            let position = |i: usize| i as f64 * step;
            left.extend((0..n_out).map(|i| (position(i) as usize).min(samples - 2)));
            weight.extend(left.iter().enumerate().map(|(i, left)| position(i) - *left as f64));
        }
        let pairs = left.iter().enumerate().take_while(|(i, left)| **left == 2 * i).count();
        Self { left, weight, pairs }
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn read<S: Sample, T: Sample>(&self, row: &[S], out: &mut [T]) {
        if self.is_identity() {
            for (target, v) in out.iter_mut().zip(row) {
                *target = T::from_f64((*v).into());
            }
        }
        let (left, weight) = (&self.left[..], &self.weight[..]);
        let pairs = self.pairs.min(out.len());
        let (halved, out) = out.split_at_mut(pairs);
        simd::vectorize(Paired { row, weight, out: halved });
        let (left, weight) = (&left[pairs..], &weight[pairs..]);
        simd::vectorize(Between { row, left, weight, out });
    }
}

/// Values between the two samples of each pair.
struct Paired<'a, S, T> {
    row: &'a [S],
    weight: &'a [f64],
    out: &'a mut [T],
}

impl<S: Sample, T: Sample> Kernel for Paired<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let pairs = self.row.as_chunks::<2>().0;
        for ((target, [start, end]), weight) in self.out.iter_mut().zip(pairs).zip(self.weight) {
            let [start, end] = [(*start).into(), (*end).into()];
            *target = T::from_f64(start + (end - start) * weight);
        }
    }
}

/// Values between neighbouring samples.
struct Between<'a, S, T> {
    row: &'a [S],
    left: &'a [usize],
    weight: &'a [f64],
    out: &'a mut [T],
}

impl<S: Sample, T: Sample> Kernel for Between<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Some(last) = self.row.len().checked_sub(2) else { return };
        let ends = &self.row[1..];
        for ((target, left), weight) in self.out.iter_mut().zip(self.left).zip(self.weight) {
            // Always true, but said so that no look-up has to be checked.
            let left = (*left).min(last);
            let [start, end] = [self.row[left].into(), ends[left].into()];
            *target = T::from_f64(start + (end - start) * weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resampled<S: Sample>(x: &[S], fs_in: f64, fs_out: f64, method: Method) -> Vec<S> {
        let mut out = vec![S::ZERO; resampled_len(x.len(), fs_in, fs_out).unwrap()];
        let x = Leads::new(x, 1, x.len()).unwrap();
        resample_into(&x, fs_in, fs_out, method, &mut out).unwrap();
        out
    }

    #[test]
    fn ends_stay_and_a_line_stays_a_line() {
        let line: Vec<f64> = (0..400).map(f64::from).collect();
        let y = resampled(&line, 400.0, 500.0, Method::Linear);
        assert_eq!(y.len(), 500);
        for (i, v) in y.iter().enumerate() {
            assert!((v - i as f64 * 399.0 / 499.0).abs() < 1e-10);
        }
    }

    #[test]
    fn equal_rates_change_nothing() {
        let x: Vec<f32> = (0..777).map(|i| (i as f32).sin()).collect();
        for method in [Method::Linear, Method::Polyphase] {
            assert_eq!(resampled(&x, 500.0, 500.0, method), x);
        }
    }

    #[test]
    fn a_sine_stays_a_sine_and_what_would_alias_goes() {
        let sine = |hz: f64, fs: f64, n: u32| -> Vec<f64> {
            (0..n).map(|i| (std::f64::consts::TAU * hz * f64::from(i) / fs).sin()).collect()
        };
        for (fs_in, fs_out) in [(1000.0, 500.0), (360.0, 500.0), (500.0, 128.0), (250.0, 257.0)] {
            let y = resampled(&sine(7.0, fs_in, 8000), fs_in, fs_out, Method::Polyphase);
            let expected = sine(7.0, fs_out, y.len() as u32);
            let inside = y.len() / 10..y.len() - y.len() / 10;
            for (a, b) in y[inside.clone()].iter().zip(&expected[inside]) {
                assert!((a - b).abs() < 5e-3, "{fs_in} to {fs_out}");
            }
        }
        let y = resampled(&sine(400.0, 1000.0, 8000), 1000.0, 500.0, Method::Polyphase);
        assert!(y[500..3500].iter().all(|v| v.abs() < 5e-3));
    }

    #[test]
    fn hostile_rates_are_refused() {
        let x = [0.0_f64; 8];
        let x = Leads::new(&x, 1, 8).unwrap();
        let refused = |fs_in, fs_out| {
            resample_into(&x, fs_in, fs_out, Method::Polyphase, &mut [0.0; 8]).unwrap_err()
        };
        for fs in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 1e300] {
            assert!(matches!(refused(fs, 500.0), Error::Parameter { .. }));
            assert!(matches!(refused(500.0, fs), Error::Parameter { .. }));
        }
        assert!(matches!(refused(20_000.0, 10.0), Error::TooFewToResample { .. }));
        assert!(matches!(refused(500.0, 499.999_9), Error::OutputSize { .. }));
        assert!(matches!(refused(500.0, 500.001_234), Error::Parameter { .. }));
    }
}
