//! Resampling by linear interpolation, as ECG-FM was trained with.

use crate::error::Error;
use crate::leads::{Leads, Sample, require_rate};

/// Read every lead at a new rate: `(leads, n_out)`, lead after lead.
///
/// # Errors
/// [`Error::Parameter`] for a rate out of bounds, [`Error::TooFewToResample`].
pub fn resample<S: Sample>(x: &Leads<S>, fs_in: f64, fs_out: f64) -> Result<Vec<S>, Error> {
    let n_out = resampled_len(x.samples(), fs_in, fs_out)?;
    let mut out = Vec::with_capacity(x.count() * n_out);
    for row in x.rows() {
        out.extend(interpolated(row, n_out).map(S::from_f64));
    }
    Ok(out)
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

/// The lead laid on `linspace(0, n_out - 1, n)` and read at 0, 1, …, `n_out - 1`.
pub(crate) fn interpolated<S: Sample>(row: &[S], n_out: usize) -> impl Iterator<Item = f64> {
    let last = row.len() - 2;
    let step = (row.len() - 1) as f64 / (n_out - 1) as f64;
    (0..n_out).map(move |i| {
        let position = i as f64 * step;
        let left = (position as usize).min(last);
        let (start, end): (f64, f64) = (row[left].into(), row[left + 1].into());
        start + (end - start) * (position - left as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_stay_and_a_line_stays_a_line() {
        let line: Vec<f64> = (0..400).map(f64::from).collect();
        let y = resample(&Leads::new(&line, 1, 400).unwrap(), 400.0, 500.0).unwrap();
        assert_eq!(y.len(), 500);
        for (i, v) in y.iter().enumerate() {
            assert!((v - i as f64 * 399.0 / 499.0).abs() < 1e-10);
        }
    }

    #[test]
    fn equal_rates_change_nothing() {
        let x: Vec<f32> = (0..777).map(|i| (i as f32).sin()).collect();
        assert_eq!(resample(&Leads::new(&x, 1, 777).unwrap(), 500.0, 500.0).unwrap(), x);
    }

    #[test]
    fn hostile_rates_are_refused() {
        let x = [0.0_f64; 8];
        let x = Leads::new(&x, 1, 8).unwrap();
        for fs in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 1e300] {
            assert!(matches!(resample(&x, fs, 500.0), Err(Error::Parameter { .. })));
            assert!(matches!(resample(&x, 500.0, fs), Err(Error::Parameter { .. })));
        }
        assert!(matches!(resample(&x, 20_000.0, 10.0), Err(Error::TooFewToResample { .. })));
    }
}
