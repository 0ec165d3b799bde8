//! Mains of 50 or 60 Hz that lie on a lead.

use crate::leads::Sample;
use crate::scratch::{Buffer, leftover, zeros};
use crate::simd::{Kernel, vectorize};

/// Least amplitude of mains that are told, mV and as a part of the QRS amplitude.
const MAINS_MV: f64 = 0.05;
const MAINS_PART: f64 = 0.1;
/// How far mains stand out of what lies 5 Hz to both sides.
const MAINS_CONTRAST: f64 = 3.0;
/// Mains at places 1 and 3, and what they are held against.
const PROBED_HZ: [f64; 5] = [45.0, 50.0, 55.0, 60.0, 65.0];
/// Distance to half the sampling rate at which a frequency can be told, Hz.
const MARGIN_HZ: f64 = 2.0;
const LANES: usize = 16;

/// Finds mains: amplitudes at 50 and 60 Hz against those 5 Hz to both sides.
///
/// The samples of a second are folded onto 0.2 s, in which all of these frequencies have whole
/// periods, so that little is left to be multiplied; seconds add up by power, as mains drift.
#[derive(Debug)]
pub struct MainsProbe {
    block: usize,
    folds: usize,
    /// How many of the frequencies this rate can show.
    told: usize,
    /// For each sample of a block, the cosine of each frequency, then the sines.
    waves: Buffer<f32>,
}

impl MainsProbe {
    /// Prepare for leads of this rate.
    #[must_use]
    pub fn new(fs_hz: f64) -> Self {
        let fifth = (0.2 * fs_hz).round();
        let whole = (5.0 * fifth - fs_hz).abs() < 1e-9;
        let (block, folds) = if whole { (fifth, 5) } else { (fs_hz.round(), 1) };
        let told = PROBED_HZ.iter().filter(|hz| **hz + MARGIN_HZ < 0.5 * fs_hz).count();
        let block = block.max(1.0) as usize;
        Self { block, folds, told, waves: waves(fs_hz, block) }
    }

    /// The mains frequency that lies on a lead, Hz: an amplitude of 0.05 mV or more, a tenth of
    /// `qrs_mv` (peak to peak) or more, three times that of the neighbours or more.
    #[must_use]
    pub fn mains_hz<S: Sample>(&self, row: &[S], qrs_mv: f64) -> Option<f64> {
        let amplitude = self.amplitudes_mv(row);
        let louder = if amplitude[3] > amplitude[1] { 3 } else { 1 };
        let beside = amplitude[louder - 1].max(amplitude[louder + 1]);
        let least = MAINS_MV.max(MAINS_PART * qrs_mv).max(MAINS_CONTRAST * beside);
        (amplitude[louder] >= least).then_some(PROBED_HZ[louder])
    }

    /// Amplitudes at 45, 50, 55, 60 and 65 Hz, mV; zero for those that the rate cannot show.
    #[must_use]
    pub fn amplitudes_mv<S: Sample>(&self, row: &[S]) -> [f64; 5] {
        let folds = self.folds.min(row.len() / self.block);
        if folds == 0 {
            return [0.0; 5];
        }
        vectorize(Probe { mains: self, row, folds })
    }
}

/// By turning a pointer: much faster than asking for each sine.
fn waves(fs_hz: f64, block: usize) -> Buffer<f32> {
    let turns = PROBED_HZ.map(|hz| (std::f64::consts::TAU * hz / fs_hz).sin_cos());
    let mut pointers = [(1.0_f64, 0.0_f64); 5];
    let mut waves = zeros(block * LANES);
    for lanes in waves.chunks_exact_mut(LANES) {
        for (k, ((x, y), (sine, cosine))) in pointers.iter_mut().zip(turns).enumerate() {
            (lanes[k], lanes[k + PROBED_HZ.len()]) = (*x as f32, *y as f32);
            (*x, *y) = (*x * cosine - *y * sine, *x * sine + *y * cosine);
        }
    }
    waves
}

struct Probe<'a, S> {
    mains: &'a MainsProbe,
    row: &'a [S],
    folds: usize,
}

impl<S: Sample> Kernel for Probe<'_, S> {
    type Output = [f64; 5];

    #[inline(always)]
    fn call(self) -> [f64; 5] {
        let MainsProbe { block, waves, told, .. } = self.mains;
        let length = block * self.folds;
        let mut power = [0.0; 5];
        let mut folded: Buffer<f32> = leftover(*block);
        for second in self.row.chunks_exact(length) {
            fold_onto(&mut folded, second, self.row[0]);
            let found = transform(&folded, waves);
            for (k, sum) in power.iter_mut().enumerate().take(*told) {
                *sum += f64::from(found[k]).powi(2) + f64::from(found[k + 5]).powi(2);
            }
        }
        let seconds = (self.row.len() / length) as f64;
        power.map(|sum| 2.0 * (sum / seconds).sqrt() / length as f64)
    }
}

/// Add up the blocks of `second`, less an offset that must not use up the digits of f32.
#[inline(always)]
fn fold_onto<S: Sample>(folded: &mut [f32], second: &[S], offset: S) {
    folded.fill(0.0);
    for block in second.chunks_exact(folded.len()) {
        for (sum, v) in folded.iter_mut().zip(block) {
            *sum += (*v - offset).narrow();
        }
    }
}

/// Sums of products with each wave: a lane for each of them, four samples side by side.
#[inline(always)]
fn transform(folded: &[f32], waves: &[f32]) -> [f32; LANES] {
    let (mut a, mut b) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (mut c, mut d) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (waves, _) = waves.as_chunks::<LANES>();
    let ((fours, rest), (wave_fours, wave_rest)) =
        (folded.as_chunks::<4>(), waves.as_chunks::<4>());
    for (v, w) in fours.iter().zip(wave_fours) {
        for k in 0..LANES {
            a[k] += v[0] * w[0][k];
            b[k] += v[1] * w[1][k];
            c[k] += v[2] * w[2][k];
            d[k] += v[3] * w[3][k];
        }
    }
    for (v, w) in rest.iter().zip(wave_rest) {
        for k in 0..LANES {
            a[k] += v * w[k];
        }
    }
    for k in 0..LANES {
        a[k] = (a[k] + b[k]) + (c[k] + d[k]);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Path, force, widest};

    const FS: f64 = 500.0;

    fn with_beats(row: &[f64]) -> Vec<f64> {
        let beat = |i: usize| (-0.5 * ((i as f64 % 400.0 - 200.0) / 8.0).powi(2)).exp();
        row.iter().enumerate().map(|(i, v)| v + beat(i)).collect()
    }

    fn tone(hz: f64, fs: f64, mv: f64, n: u32) -> Vec<f64> {
        (0..n).map(|i| mv * (std::f64::consts::TAU * hz * f64::from(i) / fs + 0.3).sin()).collect()
    }

    #[test]
    fn mains_are_told_at_every_rate_that_shows_them() {
        for fs in [128.0, 200.0, 250.0, 257.0, 360.0, 500.0, 512.0, 1000.0, 2000.0] {
            let probe = MainsProbe::new(fs);
            for hz in [50.0, 49.9, 60.0, 60.1] {
                let row = tone(hz, fs, 0.11, 10 * fs as u32);
                let row: Vec<f64> = row.iter().map(|v| v + 280.0).collect();
                assert_eq!(probe.mains_hz(&row, 1.0), Some(hz.round()), "{hz} at {fs}");
                assert_eq!(probe.mains_hz(&row, 1.2), None);
            }
            for hz in [20.0, 45.0, 55.0] {
                assert_eq!(probe.mains_hz(&tone(hz, fs, 0.3, 10 * fs as u32), 1.0), None);
            }
        }
        assert_eq!(MainsProbe::new(100.0).mains_hz(&tone(50.0, 100.0, 1.0, 1000), 1.0), None);
        assert_eq!(MainsProbe::new(FS).mains_hz(&[0.0_f32; 60], 1.0), None);
    }

    #[test]
    fn amplitudes_are_those_of_the_tone_beside_beats() {
        let row = with_beats(&tone(60.0, FS, 0.2, 5000));
        let amplitude = MainsProbe::new(FS).amplitudes_mv(&row);
        assert!((amplitude[3] - 0.2).abs() < 0.002, "{amplitude:?}");
        assert_eq!(MainsProbe::new(FS).mains_hz(&row, 1.0), Some(60.0));
    }

    #[test]
    fn every_path_gives_the_same() {
        let noisy = with_beats(&tone(50.0, FS, 0.2, 5000));
        let row: Vec<f32> = noisy.iter().map(|v| *v as f32).collect();
        let seen = || MainsProbe::new(FS).amplitudes_mv(&row);
        let expected = seen();
        for path in Path::ALL.into_iter().filter(|p| p.is_available()) {
            force(path).unwrap();
            assert_eq!(seen(), expected, "{path:?}");
        }
        force(widest()).unwrap();
    }
}
