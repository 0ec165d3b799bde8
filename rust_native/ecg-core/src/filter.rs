//! Zero-phase Butterworth filters as second-order sections, in `f64`.

use crate::error::Error;
use crate::leads::{Leads, Sample, require_rate};
use crate::order::median_of;
use std::f64::consts::PI;

const EDGE_S: f64 = 2.5;

/// One second-order section, transposed direct form II, `a0 = 1`.
#[derive(Debug, Clone, Copy)]
struct Section {
    b: [f64; 3],
    a: [f64; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    High,
    Low,
}

/// Keep `low_hz` to `high_hz`: Butterworth high-pass and low-pass of `order`, forwards and backwards.
///
/// # Errors
/// [`Error::Parameter`] for rates, cut-offs or an order out of bounds.
pub fn bandpass<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    low_hz: f64,
    high_hz: f64,
    order: usize,
) -> Result<Vec<S>, Error> {
    let mut sections = butterworth(order, low_hz, fs_hz, Pass::High)?;
    sections.extend(butterworth(order, high_hz, fs_hz, Pass::Low)?);
    if low_hz >= high_hz {
        return Err(Error::Parameter { name: "low_hz", must: "below high_hz", value: low_hz });
    }
    Ok(zero_phase(&sections, x, fs_hz))
}

/// Take out the baseline: second-order Butterworth high-pass, forwards and backwards.
///
/// # Errors
/// [`Error::Parameter`] for a rate or a cut-off out of bounds.
pub fn remove_baseline<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    cutoff_hz: f64,
) -> Result<Vec<S>, Error> {
    Ok(zero_phase(&butterworth(2, cutoff_hz, fs_hz, Pass::High)?, x, fs_hz))
}

/// Design by the bilinear transform with the cut-off pre-warped.
fn butterworth(
    order: usize,
    cutoff_hz: f64,
    fs_hz: f64,
    pass: Pass,
) -> Result<Vec<Section>, Error> {
    require_rate("fs_hz", fs_hz)?;
    if !(0.01..0.499 * fs_hz).contains(&cutoff_hz) {
        let must = "in 0.01 Hz to half the sampling rate";
        return Err(Error::Parameter { name: "cut-off", must, value: cutoff_hz });
    }
    if !(1..=8).contains(&order) {
        return Err(Error::Parameter { name: "order", must: "in 1 to 8", value: order as f64 });
    }
    let k = (PI * cutoff_hz / fs_hz).tan();
    let angle = |i: usize| (2 * i + 1) as f64 * PI / (2 * order) as f64;
    let mut sections: Vec<Section> =
        (0..order / 2).map(|i| second_order(k, 2.0 * angle(i).sin(), pass)).collect();
    if order % 2 == 1 {
        sections.push(first_order(k, pass));
    }
    Ok(sections)
}

fn second_order(k: f64, inverse_q: f64, pass: Pass) -> Section {
    let norm = 1.0 / (1.0 + k * inverse_q + k * k);
    let b = match pass {
        Pass::High => [norm, -2.0 * norm, norm],
        Pass::Low => [k * k * norm, 2.0 * k * k * norm, k * k * norm],
    };
    Section { b, a: [2.0 * (k * k - 1.0) * norm, (1.0 - k * inverse_q + k * k) * norm] }
}

fn first_order(k: f64, pass: Pass) -> Section {
    let norm = 1.0 / (k + 1.0);
    let b = match pass {
        Pass::High => [norm, -norm, 0.0],
        Pass::Low => [k * norm, k * norm, 0.0],
    };
    Section { b, a: [(k - 1.0) * norm, 0.0] }
}

fn zero_phase<S: Sample>(sections: &[Section], x: &Leads<S>, fs_hz: f64) -> Vec<S> {
    let samples = x.samples();
    let pad = ((EDGE_S * fs_hz + 0.5) as usize).min(samples - 1);
    let mut out = Vec::with_capacity(x.count() * samples);
    let mut y = Vec::with_capacity(samples + 2 * pad);
    for row in x.rows() {
        odd_reflected(row, pad, &mut y);
        for _ in 0..2 {
            for section in sections {
                section.run(&mut y);
            }
            y.reverse();
        }
        out.extend(y[pad..pad + samples].iter().map(|v| S::from_f64(*v)));
    }
    out
}

/// The lead without its median, with `pad` samples mirrored in a point at both ends.
fn odd_reflected<S: Sample>(row: &[S], pad: usize, y: &mut Vec<f64>) {
    let mut sorted: Vec<f64> = row.iter().map(|v| (*v).into()).collect();
    // An offset of 300 mV would cost the recursion its digits; none of these filters passes DC.
    let median = median_of(&mut sorted);
    let at = |i: usize| -> f64 { row[i].into() - median };
    let last = row.len() - 1;
    y.clear();
    y.extend((1..=pad).rev().map(|i| 2.0 * at(0) - at(i)));
    y.extend((0..=last).map(at));
    y.extend((1..=pad).map(|i| 2.0 * at(last) - at(last - i)));
}

impl Section {
    /// Filter in place, starting in the steady state of the first sample.
    fn run(&self, y: &mut [f64]) {
        let ([b0, b1, b2], [a1, a2]) = (self.b, self.a);
        let gain = (b0 + b1 + b2) / (1.0 + a1 + a2);
        let first = y.first().copied().unwrap_or(0.0);
        let mut s1 = (gain - b0) * first;
        let mut s2 = (b2 - a2 * gain) * first;
        for v in y {
            let x = *v;
            let out = b0 * x + s1;
            s1 = b1 * x - a1 * out + s2;
            s2 = b2 * x - a2 * out;
            *v = out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, offset: f64) -> Vec<f64> {
        (0..5000).map(|i| offset + (2.0 * PI * hz * f64::from(i) / 500.0).sin()).collect()
    }

    fn amplitude(x: &[f64]) -> f64 {
        x[1000..4000].iter().fold(0.0, |most: f64, v| most.max(v.abs()))
    }

    #[test]
    fn passes_the_band_without_delay_and_stops_the_rest() {
        let x = sine(10.0, 0.0);
        let y = bandpass(&Leads::new(&x, 1, 5000).unwrap(), 500.0, 0.5, 40.0, 4).unwrap();
        let worst = x.iter().zip(&y).skip(1000).take(3000).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f64::max) < 0.01);
        for hz in [0.2, 120.0] {
            let x = sine(hz, 0.0);
            let y = bandpass(&Leads::new(&x, 1, 5000).unwrap(), 500.0, 0.5, 40.0, 4).unwrap();
            assert!(amplitude(&y) < 0.05, "{hz} Hz");
        }
    }

    #[test]
    fn an_offset_of_300_mv_changes_nothing() {
        let (x, shifted) = (sine(10.0, 0.0), sine(10.0, 300.0));
        let y = remove_baseline(&Leads::new(&x, 1, 5000).unwrap(), 500.0, 0.05).unwrap();
        let z = remove_baseline(&Leads::new(&shifted, 1, 5000).unwrap(), 500.0, 0.05).unwrap();
        assert!(y.iter().zip(&z).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn hostile_parameters_are_refused_and_one_sample_is_no_panic() {
        let x = [1.0_f64; 4];
        let x4 = Leads::new(&x, 1, 4).unwrap();
        for (low, high, order) in
            [(0.0, 40.0, 4), (40.0, 0.5, 4), (0.5, 250.0, 4), (0.5, f64::NAN, 4), (0.5, 40.0, 0)]
        {
            assert!(bandpass(&x4, 500.0, low, high, order).is_err());
        }
        let one = Leads::new(&x[..1], 1, 1).unwrap();
        assert_eq!(bandpass(&one, 500.0, 0.5, 40.0, 3).unwrap(), [0.0]);
    }
}
