//! The baseline as two running medians, after de Chazal et al. (IEEE Trans. Biomed. Eng. 2004).

use crate::leads::Sample;
use crate::scratch;

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
    // The last block may be shorter; its centre is taken as if it were not.
    let centre = 0.5 * (block - 1) as f64;
    for (i, (target, v)) in out.iter_mut().zip(row).enumerate() {
        let place = ((i as f64 - centre) / block as f64).clamp(0.0, (means.len() - 1) as f64);
        let left = (place as usize).min(means.len().saturating_sub(2));
        let right = (left + 1).min(means.len() - 1);
        let baseline = means[left] + (means[right] - means[left]) * (place - left as f64);
        *target = S::from_f64(Into::<f64>::into(*v) - baseline);
    }
}

/// Median of the `size` (odd) values around each place, the first and last value repeated beyond
/// the ends, with a sorted window: O(n size) moves of neighbouring values, O(n log size) compares.
fn running_median(x: &[f64], size: usize, out: &mut Vec<f64>) {
    out.clear();
    let (Some(&first), Some(&last)) = (x.first(), x.last()) else { return };
    let half = size / 2;
    let at = |i: usize| if i < half { first } else { x.get(i - half).copied().unwrap_or(last) };
    let mut window = scratch::empty::<f64>();
    window.extend((0..size).map(at));
    window.sort_unstable_by(f64::total_cmp);
    for i in 0..x.len() {
        out.push(window[half]);
        replace(&mut window, at(i), at(i + size));
    }
}

/// Exchange one value of a sorted window, moving only what lies between the old and the new place.
fn replace(window: &mut [f64], old: f64, new: f64) {
    let from = window.partition_point(|v| *v < old);
    let to = window.partition_point(|v| *v < new);
    if to > from {
        window.copy_within(from + 1..to, from);
        window[to - 1] = new;
    } else {
        window.copy_within(to..from, to + 1);
        window[to] = new;
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
