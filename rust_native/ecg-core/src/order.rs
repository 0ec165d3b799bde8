//! Order statistics and moments.

use crate::scratch::{Buffer, empty};

/// Median; the mean of the middle two for an even count; NaN for none. Reorders `values`.
#[must_use]
pub fn median_of(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    f64::midpoint(lower, upper)
}

/// Median of the `size` nearest values at each place; fewer only where there are fewer.
#[must_use]
pub fn running_median(values: &[f64], size: usize) -> Buffer<f64> {
    let n = values.len();
    let size = size.min(n);
    let (mut sorted, mut medians): (Buffer<f64>, Buffer<f64>) = (empty(), empty());
    if size == 0 {
        medians.resize(n, f64::NAN);
        return medians;
    }
    sorted.extend_from_slice(&values[..size]);
    sorted.sort_unstable_by(f64::total_cmp);
    let mut from = 0;
    for i in 0..n {
        // The windows at both ends stay where they are.
        if i.saturating_sub(size / 2).min(n - size) > from {
            slide(&mut sorted, values[from], values[from + size]);
            from += 1;
        }
        medians.push(f64::midpoint(sorted[(size - 1) / 2], sorted[size / 2]));
    }
    medians
}

/// Put another value into a sorted window in the place of one that is there.
fn slide(sorted: &mut [f64], old: f64, new: f64) {
    let below = |value: f64| sorted.partition_point(|v| v.total_cmp(&value).is_lt());
    let (gone, to) = (below(old), below(new));
    if to > gone {
        sorted.copy_within(gone + 1..to, gone);
        sorted[to - 1] = new;
    } else {
        sorted.copy_within(to..gone, to + 1);
        sorted[to] = new;
    }
}

/// Mean; NaN for none.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation with `ddof` degrees of freedom taken off; NaN where there are too few.
#[must_use]
pub fn deviation(values: &[f64], ddof: usize) -> f64 {
    if values.len() <= ddof {
        return f64::NAN;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    (squares / (values.len() - ddof) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median_of(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median_of(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median_of(&mut []).is_nan());
    }

    #[test]
    fn running_median_keeps_its_size_at_the_ends() {
        let values = [1.0, 9.0, 2.0, 8.0, 3.0];
        assert_eq!(*running_median(&values, 3), [2.0, 2.0, 8.0, 3.0, 3.0]);
        assert_eq!(*running_median(&values[..2], 5), [5.0, 5.0]);
        assert!(running_median(&[], 5).is_empty());
    }

    #[test]
    fn running_medians_of_any_size() {
        let values: Vec<f64> = (0..60).map(|i| f64::from(i * i * 7 % 23)).collect();
        for n in [0, 1, 2, 5, 60] {
            for size in [1, 2, 5, 11, 91] {
                let found = running_median(&values[..n], size);
                let width = size.min(n);
                for (i, median) in found.iter().enumerate() {
                    let start = i.saturating_sub(width / 2).min(n - width);
                    let mut window = values[start..start + width].to_vec();
                    assert_eq!(*median, median_of(&mut window), "{n} {size} {i}");
                }
                assert_eq!(found.len(), n);
            }
        }
    }
}
