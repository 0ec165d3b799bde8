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
    let (mut window, mut medians): (Buffer<f64>, Buffer<f64>) = (empty(), empty());
    let mut sorted_at = None;
    for i in 0..n {
        let start = i.saturating_sub(size / 2).min(n - size);
        // The windows at both ends stay where they are.
        if sorted_at == Some(start) {
            let same = medians[i - 1];
            medians.push(same);
            continue;
        }
        sorted_at = Some(start);
        window.clear();
        window.extend_from_slice(&values[start..start + size]);
        medians.push(median_of(&mut window));
    }
    medians
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
}
