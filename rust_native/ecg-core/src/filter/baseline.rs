//! The baseline as two running medians, after de Chazal et al. (IEEE Trans. Biomed. Eng. 2004).

use crate::leads::Sample;
use crate::scratch;
use crate::simd::{self, Kernel};

const QRS_S: f64 = 0.2;
const BEAT_S: f64 = 0.6;
/// The medians are taken at about this rate of block averages; a baseline is far slower.
const MEDIAN_HZ: f64 = 125.0;

/// Take the baseline off one lead: a median over 200 ms leaves out QRS complexes and P waves, one
/// over 600 ms of that the T waves. Estimated on averages of `block` samples and interpolated.
pub(crate) fn subtract_medians<S: Sample>(row: &[S], fs_hz: f64, out: &mut [S]) {
    let block = ((fs_hz / MEDIAN_HZ) as usize).max(1);
    let size = |seconds: f64| ((seconds * fs_hz / block as f64 + 0.5) as usize) | 1;
    let mut means = scratch::empty::<f64>();
    means.extend(row.chunks(block).map(|part| {
        let sum: f64 = part.iter().map(|v| Into::<f64>::into(*v)).sum();
        sum / part.len() as f64
    }));
    let mut no_qrs = scratch::empty::<f64>();
    running_median(&means, size(QRS_S), &mut no_qrs);
    running_median(&no_qrs, size(BEAT_S), &mut means);
    interpolate(&means, block, row, out);
}

/// Subtract values that lie in the middle of blocks, and between them on lines.
fn interpolate<S: Sample>(means: &[f64], block: usize, row: &[S], out: &mut [S]) {
    let [Some(first), Some(last)] = [means.first(), means.last()] else { return };
    // The last block may be shorter; its centre is taken as if it were not.
    let (before, inside) = (block / 2, (means.len() - 1) * block);
    let nearer = before as f64 - 0.5 * (block - 1) as f64;
    let mut samples = out.iter_mut().zip(row);
    let less = |v: &S, baseline: f64| S::from_f64(Into::<f64>::into(*v) - baseline);
    for (target, v) in samples.by_ref().take(before) {
        *target = less(v, *first);
    }
    let lines = means.windows(2).flat_map(|pair| (0..block).map(move |i| (i, pair[0], pair[1])));
    for ((i, start, end), (target, v)) in lines.zip(samples.by_ref().take(inside)) {
        *target = less(v, start + (end - start) * ((i as f64 + nearer) / block as f64));
    }
    for (target, v) in samples {
        *target = less(v, *last);
    }
}

/// Median of the `size` (odd) values around each place, the first and last value repeated beyond
/// the ends, with a sorted window: O(n size) exchanges of neighbours, in vectors.
fn running_median(x: &[f64], size: usize, out: &mut Vec<f64>) {
    out.clear();
    out.resize(x.len(), 0.0);
    let (Some(&first), Some(&last)) = (x.first(), x.last()) else { return };
    let half = size / 2;
    let mut sides = scratch::empty::<f64>();
    sides.extend((0..half).map(|_| first));
    sides.extend(x);
    sides.extend((0..=half).map(|_| last));
    // One value more on each side spares the ends of the window a case of their own.
    let mut window = scratch::empty::<f64>();
    window.push(f64::NEG_INFINITY);
    window.extend(&sides[..size]);
    window.sort_unstable_by(f64::total_cmp);
    window.push(f64::INFINITY);
    let mut spare = scratch::empty::<f64>();
    spare.extend(window.iter());
    simd::vectorize(Medians { sides: &sides, window: &mut window, spare: &mut spare, out });
}

/// The middle of a window that moves along `sides`.
struct Medians<'a> {
    sides: &'a [f64],
    /// Sorted, between the infinities.
    window: &'a mut [f64],
    spare: &'a mut [f64],
    out: &'a mut [f64],
}

impl Kernel for Medians<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let size = self.window.len() - 2;
        let (mut from, mut to) = (self.window, self.spare);
        for ((target, old), new) in self.out.iter_mut().zip(self.sides).zip(&self.sides[size..]) {
            *target = from[1 + size / 2];
            exchange(from, *old, *new, &mut to[1..=size]);
            std::mem::swap(&mut from, &mut to);
        }
    }
}

/// A sorted window without one value and with another: the places from the old value on move down
/// by one, and the new value comes to lie between its neighbours.
#[inline(always)]
fn exchange(window: &[f64], old: f64, new: f64, out: &mut [f64]) {
    let [before, here, after] = [window, &window[1..], &window[2..]];
    for (((target, before), here), after) in out.iter_mut().zip(before).zip(here).zip(after) {
        let left = if *before < old { *before } else { *here };
        let right = if *here < old { *here } else { *after };
        let least = if new < right { new } else { right };
        *target = if left < least { least } else { left };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_median_is_that_of_each_sorted_window() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(i * 7919 % 101) - f64::from(i % 3)).collect();
        for size in [1, 3, 25, 75, 401] {
            let mut y = Vec::new();
            running_median(&x, size, &mut y);
            for (i, v) in y.iter().enumerate() {
                let at = |j: usize| x[j.saturating_sub(size / 2).min(199)];
                let mut window: Vec<f64> = (i..i + size).map(at).collect();
                window.sort_by(f64::total_cmp);
                assert_eq!(*v, window[size / 2]);
            }
        }
    }

    #[test]
    fn a_constant_is_taken_off_and_one_sample_is_no_panic() {
        for n in [1, 2, 3, 1000] {
            let mut out = vec![1.0_f32; n];
            subtract_medians(&vec![300.0_f32; n], 500.0, &mut out);
            assert!(out.iter().all(|v| *v == 0.0));
        }
    }
}
