//! Power of the intervals in the bands of the Task Force (1996).

use crate::scratch::{self, Buffer};

const FS_HZ: f64 = 4.0;
const STEP_MS: f64 = 1000.0 / FS_HZ;
const WINDOW: usize = 256;
const BIN_HZ: f64 = FS_HZ / WINDOW as f64;
const BANDS_HZ: [(f64, f64); 3] = [(0.0033, 0.04), (0.04, 0.15), (0.15, 0.4)];
/// Bins up to the end of the last band.
const BINS: usize = 26;
/// A stretch that is left out is bridged; a longer one would let the spline swing.
/// A longer interval is no normal one, and would take a spline of any length.
const LONGEST_MS: f64 = 5000.0;

/// VLF, LF and HF power, ms²; NaN below 256 samples at 4 Hz (64 s) or with intervals above 5 s.
///
/// Each interval stands at the time of its second beat; a natural cubic spline is read at 4 Hz;
/// Welch's mean periodogram of 256 samples, periodic Hann window, half overlapping, mean removed,
/// one-sided density; trapezoids over the bins of each half-open band.
#[must_use]
pub fn spectrum(rr_ms: &[f64], normal: &[bool]) -> [f64; 3] {
    let (x, y) = placed(rr_ms, normal);
    let span_ms = if x.len() > 2 { x[x.len() - 1] - x[0] } else { 0.0 };
    let possible = y.iter().all(|interval| *interval <= LONGEST_MS);
    if !possible || span_ms < (WINDOW - 1) as f64 * STEP_MS {
        return [f64::NAN; 3];
    }
    let count = (span_ms / STEP_MS) as usize + 1;
    let density = welch(&spline(&x, &y, count));
    BANDS_HZ.map(|(low, high)| trapezoid(&density, low, high))
}

/// Normal intervals and the times of their second beats, ms.
fn placed(rr_ms: &[f64], normal: &[bool]) -> (Buffer<f64>, Buffer<f64>) {
    let (mut x, mut y) = (scratch::empty(), scratch::empty());
    let (mut time, mut left_out) = (0.0, 0.0_f64);
    for (interval, is_normal) in rr_ms.iter().zip(normal) {
        if *is_normal {
            time += left_out.min(LONGEST_MS) + interval;
            left_out = 0.0;
            x.push(time);
            y.push(*interval);
        } else {
            left_out += interval;
        }
    }
    (x, y)
}

/// Natural cubic spline through at least three points, read `count` times from the first on.
fn spline(x: &[f64], y: &[f64], count: usize) -> Buffer<f64> {
    let m = curvatures(x, y);
    let mut even = scratch::empty();
    let mut i = 0;
    for k in 0..count {
        let at = x[0] + k as f64 * STEP_MS;
        while i + 2 < x.len() && x[i + 1] <= at {
            i += 1;
        }
        let (h, left, right) = (x[i + 1] - x[i], at - x[i], x[i + 1] - at);
        let bend = (m[i] * right.powi(3) + m[i + 1] * left.powi(3)) / (6.0 * h);
        let low = (y[i] / h - m[i] * h / 6.0) * right;
        let high = (y[i + 1] / h - m[i + 1] * h / 6.0) * left;
        even.push(bend + low + high);
    }
    even
}

/// Second derivatives at the points: a tridiagonal system, zero at both ends.
fn curvatures(x: &[f64], y: &[f64]) -> Buffer<f64> {
    let n = x.len();
    let (mut ratio, mut m) = (scratch::zeros::<f64>(n), scratch::zeros::<f64>(n));
    for i in 1..n - 1 {
        let (before, after) = (x[i] - x[i - 1], x[i + 1] - x[i]);
        let wanted = 6.0 * ((y[i + 1] - y[i]) / after - (y[i] - y[i - 1]) / before);
        let pivot = 2.0 * (before + after) - before * ratio[i - 1];
        m[i] = (wanted - before * m[i - 1]) / pivot;
        ratio[i] = after / pivot;
    }
    for i in (1..n - 1).rev() {
        m[i] -= ratio[i] * m[i + 1];
    }
    m
}

/// One-sided density of the bins that count, ms²/Hz.
fn welch(x: &[f64]) -> [f64; BINS] {
    let cosine: [f64; WINDOW] =
        std::array::from_fn(|i| (std::f64::consts::TAU * i as f64 / WINDOW as f64).cos());
    let hann = cosine.map(|c| 0.5 - 0.5 * c);
    let mut power = [0.0; BINS];
    let mut parts = 0;
    for start in (0..=x.len() - WINDOW).step_by(WINDOW / 2) {
        let part = &x[start..start + WINDOW];
        let centre = part.iter().sum::<f64>() / WINDOW as f64;
        let tapered = std::array::from_fn(|i| (part[i] - centre) * hann[i]);
        for (bin, sum) in power.iter_mut().enumerate() {
            *sum += magnitude_squared(&tapered, &cosine, bin);
        }
        parts += 1;
    }
    let weight: f64 = hann.iter().map(|w| w * w).sum();
    power.map(|sum| 2.0 * sum / (f64::from(parts) * FS_HZ * weight))
}

/// One bin of the discrete Fourier transform.
fn magnitude_squared(x: &[f64; WINDOW], cosine: &[f64; WINDOW], bin: usize) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (i, value) in x.iter().enumerate() {
        let turn = bin * i;
        real += value * cosine[turn % WINDOW];
        imaginary += value * cosine[(turn + WINDOW / 4) % WINDOW];
    }
    real * real + imaginary * imaginary
}

fn trapezoid(density: &[f64; BINS], low_hz: f64, high_hz: f64) -> f64 {
    let within = |hz: f64| (hz / BIN_HZ).ceil() as usize;
    let band = &density[within(low_hz)..within(high_hz).min(BINS)];
    let ends = 0.5 * (band[0] + band[band.len() - 1]);
    (band.iter().sum::<f64>() - ends) * BIN_HZ
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spline_keeps_a_straight_line() {
        let (x, y) = ([0.0, 700.0, 1000.0, 2000.0], [0.0, 70.0, 100.0, 200.0]);
        for (k, value) in spline(&x, &y, 9).iter().enumerate() {
            assert!((value - 25.0 * k as f64).abs() < 1e-9);
        }
    }

    #[test]
    fn breathing_is_high_frequency() {
        let mut time = 0.0;
        let breathing = |_| {
            let rr: f64 = 800.0 + 40.0 * (std::f64::consts::TAU * 0.25 * time / 1000.0).sin();
            time += rr;
            rr
        };
        let rr: Vec<f64> = (0..400).map(breathing).collect();
        let [vlf, lf, hf] = spectrum(&rr, &[true; 400]);
        assert!((hf - 800.0).abs() < 80.0 && lf < 0.01 * hf && vlf < 0.01 * hf);
    }

    #[test]
    fn a_minute_is_too_short() {
        assert!(spectrum(&[800.0; 79], &[true; 79])[0].is_nan());
        assert!(spectrum(&[800.0; 81], &[true; 81])[0] < 1e-12);
    }
}
