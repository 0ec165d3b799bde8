//! Zero mean and unit deviation.

use crate::error::Error;
use crate::leads::{Leads, Sample};
use crate::simd::{self, Kernel};

/// Sums run side by side, always in the same order.
const LANES: usize = 16;

/// Give each lead zero mean and unit population deviation; a constant lead becomes zeros.
///
/// # Errors
/// [`Error::OutputSize`].
pub fn standardize_into<S: Sample>(x: &Leads<S>, out: &mut [S]) -> Result<(), Error> {
    x.require_same_size(out)?;
    for (row, out) in x.rows().zip(out.chunks_exact_mut(x.samples())) {
        let middle = row.get(row.len() / 2).copied().unwrap_or(S::ZERO);
        simd::vectorize(Narrow { row, middle, moments: moments(row), out });
    }
    Ok(())
}

/// What to subtract and what to multiply with. The scale of a constant lead is zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) centre: f64,
    pub(crate) scale: f64,
}

/// Mean and deviation in one pass, in `f64`, of the differences to a sample near the middle.
pub(crate) fn moments<S: Sample>(row: &[S]) -> Moments {
    let offset = row.get(row.len() / 2).map_or(0.0, |v| (*v).into());
    let [sums, squares] = simd::vectorize(Sums { row, offset });
    let (sum, squares) = (sums.iter().sum::<f64>(), squares.iter().sum::<f64>());
    let n = row.len() as f64;
    let mean = sum / n;
    let deviation = (squares / n - mean * mean).max(0.0).sqrt();
    // A constant lead differs nowhere from its middle: its squares are zero without any rounding.
    Moments { centre: offset + mean, scale: if deviation > 0.0 { 1.0 / deviation } else { 0.0 } }
}

/// The sums of `row - offset` and of its squares, by lane: to add the lanes up here would keep the
/// compiler from seeing vectors.
struct Sums<'a, S> {
    row: &'a [S],
    offset: f64,
}

impl<S: Sample> Kernel for Sums<'_, S> {
    type Output = [[f64; LANES]; 2];

    #[inline(always)]
    fn call(self) -> [[f64; LANES]; 2] {
        let (blocks, rest) = self.row.as_chunks::<LANES>();
        let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for block in blocks {
            for ((sum, square), v) in sums.iter_mut().zip(&mut squares).zip(block) {
                let v = (*v).into() - self.offset;
                *sum += v;
                *square += v * v;
            }
        }
        for ((sum, square), v) in sums.iter_mut().zip(&mut squares).zip(rest) {
            let v = (*v).into() - self.offset;
            *sum += v;
            *square += v * v;
        }
        [sums, squares]
    }
}

/// `(row - centre) * scale` in the type of the lead. The differences to a sample of it are short,
/// so that an offset costs single precision nothing.
struct Narrow<'a, S> {
    row: &'a [S],
    middle: S,
    moments: Moments,
    out: &'a mut [S],
}

impl<S: Sample> Kernel for Narrow<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Moments { centre, scale } = self.moments;
        let rest = S::from_f64(centre - self.middle.into());
        let scale = S::from_f64(scale);
        for (target, v) in self.out.iter_mut().zip(self.row) {
            // Of two narrow factors, which the compiler multiplies as such.
            *target = S::from_f64((*v - self.middle - rest).into() * scale.into());
        }
    }
}

/// `(row - centre) * scale`, in `f64`, into `out` of either type.
pub(crate) struct Scaled<'a, S, T> {
    pub(crate) row: &'a [S],
    pub(crate) moments: Moments,
    pub(crate) out: &'a mut [T],
}

impl<S: Sample, T: Sample> Kernel for Scaled<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Moments { centre, scale } = self.moments;
        for (target, v) in self.out.iter_mut().zip(self.row) {
            *target = T::from_f64(((*v).into() - centre) * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standardized(x: &[f64]) -> Vec<f64> {
        let mut out = vec![1.0; x.len()];
        standardize_into(&Leads::new(x, 1, x.len()).unwrap(), &mut out).unwrap();
        out
    }

    #[test]
    fn a_constant_lead_is_zeros_in_spite_of_rounding() {
        assert!(standardized(&[0.1; 1001]).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn an_offset_costs_nothing() {
        let x: Vec<f64> = (0..5000).map(|i| 300.0 + (f64::from(i) * 0.1).sin()).collect();
        let y = standardized(&x);
        let mean = y.iter().sum::<f64>() / 5000.0;
        let variance = y.iter().map(|v| v * v).sum::<f64>() / 5000.0;
        assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9);
    }

    #[test]
    fn an_output_of_another_size_is_refused() {
        let x = Leads::new(&[1.0, 2.0], 1, 2).unwrap();
        let error = standardize_into(&x, &mut [0.0; 3]).unwrap_err();
        assert_eq!(error, Error::OutputSize { len: 3, needed: 2 });
    }
}
