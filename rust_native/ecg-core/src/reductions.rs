//! Sums and extremes of a curve, over vector lanes: the order of the additions is fixed.

use crate::curves::count;
use crate::order::median_of;
use crate::scratch::{Buffer, empty};
use crate::simd::dispatch;

/// Length of the stretches that a curve's usual height is taken from, s.
pub const BLOCK_S: f64 = 2.0;

/// A median below this is that of a line, mV of slope energy (white noise of about 0.07 mV).
const QUIET_MV: f64 = 0.015;
/// What the upper quartile is then taken for.
const BUSY: f64 = 0.5;

/// Usual height of a curve's maxima, over stretches of two seconds.
#[must_use]
pub fn usual_maximum(curve: &[f32], fs_hz: f64) -> f64 {
    usual_height(&mut block_maxima(curve, BLOCK_S, fs_hz))
}

/// The median, which a loud artefact does not move; half the upper quartile where the median is that
/// of a line: a heart that stands still for most of a recording must not make it the measure of its
/// beats. Reorders `maxima`.
#[must_use]
pub fn usual_height(maxima: &mut [f64]) -> f64 {
    let median = median_of(maxima);
    if median >= QUIET_MV {
        return median;
    }
    maxima.sort_unstable_by(f64::total_cmp);
    maxima.get(3 * maxima.len() / 4).map_or(median, |upper| median.max(BUSY * upper))
}

/// Mean of a curve.
#[must_use]
pub fn average(x: &[f32]) -> f64 {
    dispatch(
        #[inline(always)]
        || total(x),
    ) / x.len() as f64
}

/// Sum in `f64`.
#[inline(always)]
#[must_use]
pub fn total(x: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0_f64; LANES];
    let chunks = x.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            sums[i] += f64::from(chunk[i]);
        }
    }
    sums.iter().sum::<f64>() + tail.iter().map(|v| f64::from(*v)).sum::<f64>()
}

/// Highest value of each of the stretches of about `seconds` that the curve is divided into.
#[must_use]
pub fn block_maxima(curve: &[f32], seconds: f64, fs_hz: f64) -> Buffer<f64> {
    let n = curve.len();
    let blocks = (n / count(seconds, fs_hz)).max(1);
    let stretch = |i: usize| &curve[i * n / blocks..(i + 1) * n / blocks];
    let mut maxima = empty();
    dispatch(
        #[inline(always)]
        || {
            for i in 0..blocks {
                maxima.push(highest(stretch(i)));
            }
        },
    );
    maxima
}

/// Highest value, at least zero.
#[inline(always)]
#[must_use]
pub fn highest(x: &[f32]) -> f64 {
    extreme(x, 0.0, |a, b| a > b)
}

/// Lowest value.
#[inline(always)]
#[must_use]
pub fn lowest(x: &[f32]) -> f64 {
    extreme(x, f32::INFINITY, |a, b| a < b)
}

/// The value that goes `before` all others and `start`.
#[inline(always)]
fn extreme(x: &[f32], start: f32, before: impl Fn(f32, f32) -> bool) -> f64 {
    const LANES: usize = 16;
    let mut first = [start; LANES];
    let chunks = x.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            first[i] = if before(chunk[i], first[i]) { chunk[i] } else { first[i] };
        }
    }
    first.iter().chain(tail).fold(start, |a, v| if before(*v, a) { *v } else { a }).into()
}

/// Where the highest value is first.
#[must_use]
pub fn first_highest(x: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in x.iter().enumerate() {
        if *v > x[best] {
            best = i;
        }
    }
    best
}
