//! Moving sums by doubling, with the same tree of additions for every output.

use crate::scratch::Buffer;

/// Sums of 1, 2, 4, … neighbours, as many as the widest average needs.
pub const LEVELS: usize = 7;
/// Room for them.
pub type Levels = [Buffer<f32>; LEVELS];

/// Sums of `width` samples, by doubling: sums of 1, 2, 4, … samples are added where the bits of
/// `width` ask for them, lowest bit first. Writes `x.len() - width + 1` sums, each through `finish`.
#[inline(always)]
pub fn moving_sum(
    x: &[f32],
    width: usize,
    out: &mut [f32],
    levels: &mut Levels,
    finish: impl Fn(f32) -> f32,
) {
    let n = x.len() + 1 - width;
    let top = width.ilog2() as usize;
    for level in 0..top {
        let (below, above) = levels.split_at_mut(level);
        let source = if level == 0 { x } else { below[level - 1].as_slice() };
        let size = 1 << level;
        let valid = x.len() + 1 - 2 * size;
        let pairs = source[..valid].iter().zip(&source[size..size + valid]);
        for (sum, (first, second)) in above[0][..valid].iter_mut().zip(pairs) {
            *sum = first + second;
        }
    }
    let part = |bit: usize, offset: usize| {
        let source = if bit == 0 { x } else { levels[bit - 1].as_slice() };
        &source[offset..offset + n]
    };
    let mut parts = [&x[..n]; LEVELS];
    let (mut used, mut offset) = (0, 0);
    for bit in (0..=top).filter(|bit| width >> bit & 1 == 1) {
        parts[used] = part(bit, offset);
        used += 1;
        offset += 1 << bit;
    }
    let out = &mut out[..n];
    match parts {
        [a, ..] if used == 1 => added(out, [a], finish),
        [a, b, ..] if used == 2 => added(out, [a, b], finish),
        [a, b, c, ..] if used == 3 => added(out, [a, b, c], finish),
        [a, b, c, d, ..] if used == 4 => added(out, [a, b, c, d], finish),
        _ => {
            for (i, sum) in out.iter_mut().enumerate() {
                *sum = finish(parts[..used].iter().fold(0.0, |sum, part| sum + part[i]));
            }
        }
    }
}

#[inline(always)]
fn added<const N: usize>(out: &mut [f32], parts: [&[f32]; N], finish: impl Fn(f32) -> f32) {
    let parts = parts.map(|part| &part[..out.len()]);
    for i in 0..out.len() {
        let mut sum = parts[0][i];
        for part in &parts[1..] {
            sum += part[i];
        }
        out[i] = finish(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::leftover;

    #[test]
    fn moving_sums_of_any_width() {
        let x: Vec<f32> = (0..50).map(|i| (i * i % 17) as f32).collect();
        let mut levels: Levels = std::array::from_fn(|_| leftover(50));
        let mut out = vec![0.0; 50];
        for width in 1..=50 {
            moving_sum(&x, width, &mut out, &mut levels, |sum| sum);
            for i in 0..=50 - width {
                assert_eq!(out[i], x[i..i + width].iter().sum::<f32>(), "{width} at {i}");
            }
        }
    }
}
