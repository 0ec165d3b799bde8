//! How well shapes agree with the ones nearby: all pairs at once, a candidate in each lane.

use crate::scratch::{Buffer, empty, leftover, zeros};
use crate::simd::{Kernel, vectorize};

/// Candidates on each side that a shape is held against, and how many of the best count.
const COMPARED: usize = 12;
const BEST: usize = 3;
/// Dot products that are summed side by side, so that none waits for its own last addition.
const ABREAST: usize = 4;
const LANES: usize = 16;
/// A lone shape can neither be confirmed nor refuted.
const UNKNOWN: f64 = 0.5;

/// For each shape the mean of its three best dot products with the twelve to both sides.
///
/// `shapes` holds `count` shapes of `size` values. One half where there is nothing to compare.
#[must_use]
pub fn likeness(shapes: &[f32], count: usize, size: usize) -> Buffer<f64> {
    if size == 0 {
        let mut likeness = empty();
        likeness.resize(count, UNKNOWN);
        return likeness;
    }
    vectorize(Pairs { shapes, count, size })
}

struct Pairs<'a> {
    shapes: &'a [f32],
    count: usize,
    size: usize,
}

impl Kernel for Pairs<'_> {
    type Output = Buffer<f64>;

    #[inline(always)]
    fn call(self) -> Buffer<f64> {
        let Self { count, .. } = self;
        // Room for a whole group of lanes behind the last one, and for COMPARED before the first.
        let row = count.next_multiple_of(LANES) + LANES;
        let columns = self.columns(row);
        let mut alike: Buffer<f32> = leftover(COMPARED * row);
        alike.fill(f32::NEG_INFINITY);
        for start in (0..count).step_by(LANES) {
            for nearest in (1..=COMPARED).step_by(ABREAST) {
                let sums = dots(&columns, row, start, nearest);
                for (offset, sums) in (nearest..).zip(sums) {
                    let known = count.saturating_sub(start + offset).min(LANES);
                    let to = (offset - 1) * row + LANES + start;
                    alike[to..to + known].copy_from_slice(&sums[..known]);
                }
            }
        }
        let mut likeness = empty();
        for start in (0..count).step_by(LANES) {
            let best = best_of(&alike, row, start);
            let known = (count - start).min(LANES);
            likeness.extend((0..known).map(|i| mean_of_known(best.map(|lanes| lanes[i]))));
        }
        likeness
    }
}

impl Pairs<'_> {
    /// The same value of all shapes side by side, zeros behind.
    #[inline(always)]
    fn columns(&self, row: usize) -> Buffer<f32> {
        let mut columns = zeros(self.size * row);
        for (k, shape) in self.shapes.chunks_exact(self.size).enumerate() {
            for (column, v) in columns[k..].iter_mut().step_by(row).zip(shape) {
                *column = *v;
            }
        }
        columns
    }
}

/// Dot products of the shapes from `start` with those `nearest` and the next few further on.
#[inline(always)]
fn dots(columns: &[f32], row: usize, start: usize, nearest: usize) -> [[f32; LANES]; ABREAST] {
    let mut sums = [[0.0_f32; LANES]; ABREAST];
    for column in columns.chunks_exact(row) {
        let these = &column[start..start + LANES];
        for (step, sums) in sums.iter_mut().enumerate() {
            let those = &column[start + nearest + step..][..LANES];
            for i in 0..LANES {
                sums[i] += these[i] * those[i];
            }
        }
    }
    sums
}

/// The highest dot products of the shapes from `start`, highest first.
#[inline(always)]
fn best_of(alike: &[f32], row: usize, start: usize) -> [[f32; LANES]; BEST] {
    let mut best = [[f32::NEG_INFINITY; LANES]; BEST];
    for (offset, alike) in (1..=COMPARED).zip(alike.chunks_exact(row)) {
        let here = LANES + start;
        for from in [here, here - offset] {
            let mut values = [0.0; LANES];
            values.copy_from_slice(&alike[from..from + LANES]);
            keep(&mut best, values);
        }
    }
    best
}

/// Keep the highest values of each lane, highest first.
#[inline(always)]
fn keep(best: &mut [[f32; LANES]; BEST], mut values: [f32; LANES]) {
    for slots in best {
        for i in 0..LANES {
            // NaN, of shapes too small for arithmetic, falls through.
            let higher = values[i] > slots[i];
            let (slot, value) = (slots[i], values[i]);
            slots[i] = if higher { value } else { slot };
            values[i] = if higher { slot } else { value };
        }
    }
}

#[inline(always)]
fn mean_of_known(best: [f32; BEST]) -> f64 {
    let known = best.iter().filter(|v| v.is_finite()).count();
    if known == 0 {
        return UNKNOWN;
    }
    best[..known].iter().map(|v| f64::from(*v)).sum::<f64>() / known as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Path, force, widest};

    fn naive(shapes: &[f32], size: usize) -> Vec<f64> {
        let rows: Vec<&[f32]> = shapes.chunks_exact(size).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0_f32, |sum, (a, b)| sum + a * b);
        let of = |k: usize| {
            let near = k.saturating_sub(COMPARED)..(k + COMPARED + 1).min(rows.len());
            let mut all: Vec<f32> =
                near.filter(|j| *j != k).map(|j| dot(rows[k.min(j)], rows[k.max(j)])).collect();
            all.sort_by(|a, b| b.total_cmp(a));
            let best = &all[..all.len().min(BEST)];
            let sum: f64 = best.iter().map(|v| f64::from(*v)).sum();
            if best.is_empty() { 0.5 } else { sum / best.len() as f64 }
        };
        (0..rows.len()).map(of).collect()
    }

    #[test]
    fn every_count_and_path_agrees_with_the_definition() {
        for size in [16, 64] {
            for count in [1, 2, 3, 12, 13, 15, 16, 17, 31, 32, 33, 100] {
                let value = |i: usize| ((i * i * 7 + i * 13) % 101) as f32 / 101.0 - 0.5;
                let shapes: Vec<f32> = (0..count * size).map(value).collect();
                for path in Path::ALL.into_iter().filter(|p| p.is_available()) {
                    force(path).unwrap();
                    let found = likeness(&shapes, count, size);
                    assert_eq!(found.as_slice(), naive(&shapes, size), "{count} x {size} {path:?}");
                }
            }
        }
        force(widest()).unwrap();
        assert!(likeness(&[], 0, 0).is_empty());
        assert_eq!(likeness(&[], 2, 0).as_slice(), [UNKNOWN, UNKNOWN]);
    }

    #[test]
    fn what_is_not_a_number_agrees_with_nothing() {
        let shapes = [1.0, f32::NAN, 0.5];
        assert_eq!(likeness(&shapes, 3, 1).as_slice(), [0.5, 0.5, 0.5]);
    }
}
