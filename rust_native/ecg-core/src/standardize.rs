//! Zero mean and unit deviation.

use crate::leads::{Leads, Sample};

/// Give each lead zero mean and unit population deviation; a constant lead becomes zeros.
#[must_use]
pub fn standardize<S: Sample>(x: &Leads<S>) -> Vec<S> {
    let mut out = Vec::with_capacity(x.count() * x.samples());
    for row in x.rows() {
        let wide: Vec<f64> = row.iter().map(|&v| v.into()).collect();
        let (centre, scale) = centre_and_scale(&wide);
        out.extend(wide.iter().map(|v| S::from_f64((v - centre) * scale)));
    }
    out
}

/// What to subtract and what to multiply with. The scale of a constant lead is zero.
pub(crate) fn centre_and_scale(row: &[f64]) -> (f64, f64) {
    // Decided on the samples, since rounding gives a constant lead a deviation of about 1e-17.
    if row.iter().all(|v| *v == row[0]) {
        return (row[0], 0.0);
    }
    let n = row.len() as f64;
    let centre = row.iter().sum::<f64>() / n;
    let squares: f64 = row.iter().map(|v| (v - centre).powi(2)).sum();
    let deviation = (squares / n).sqrt();
    // A lead that differs in its last digit only has no deviation in f64 either.
    (centre, if deviation > 0.0 { 1.0 / deviation } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_lead_is_zeros_in_spite_of_rounding() {
        let x = [0.1_f64; 1001];
        assert!(standardize(&Leads::new(&x, 1, 1001).unwrap()).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn an_offset_costs_nothing() {
        let x: Vec<f64> = (0..5000).map(|i| 300.0 + (f64::from(i) * 0.1).sin()).collect();
        let y = standardize(&Leads::new(&x, 1, 5000).unwrap());
        let mean = y.iter().sum::<f64>() / 5000.0;
        let variance = y.iter().map(|v| v * v).sum::<f64>() / 5000.0;
        assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9);
    }
}
