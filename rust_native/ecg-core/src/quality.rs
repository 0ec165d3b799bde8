//! Signal quality: how sure the beats of a lead are, how much noise lies on them, plain faults.
//!
//! The probability of the beats joins the agreement of two detectors (bSQI; Li, Mark and Clifford,
//! 2008) and the correlation of the beats with one another (Orphanidou et al., 2015): these separate
//! noisy from clean recordings far better than moments of the amplitudes do.

use crate::candidates::Pair;
use crate::curves::{Curves, count};
use crate::error::Error;
use crate::evidence;
use crate::issues::{
    self, Extremes, HELD_PART, Issue, is_clipped, is_flat, is_out_of_range, is_railed,
};
use crate::leads::{Leads, Sample};
use crate::mains::MainsProbe;
use crate::order::{deviation, median_of};
use crate::rpeaks::{Beats, mean_probability, require_analysable};
use crate::scratch::{Buffer, empty};
use crate::simd::dispatch;
use crate::voices::Voices;

const UNSURE: f64 = 0.5;
const QRS_S: f64 = 0.06;
const NOISE_S: f64 = 0.128;
const WANDER_S: f64 = 0.6;
/// Standard deviation of a normal variable whose mean magnitude is one.
const MEAN_TO_DEVIATION: f64 = 1.2533;
/// Noise, in thresholds, and wander, in QRS amplitudes, that halve the score.
const NOISE_HALVES: f64 = 5.0;
const WANDER_HALVES: f64 = 2.0;
const WANDER: f64 = 0.5;
const CLIPPED_FACTOR: f64 = 0.7;

/// Quality of one lead.
#[derive(Debug, Clone, PartialEq)]
pub struct LeadQuality {
    /// 0 (useless) to 1 (clean).
    pub score: f64,
    /// What is wrong.
    pub issues: Vec<Issue>,
}

/// Quality of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Mean of the leads' scores.
    pub score: f64,
    /// Each lead in order.
    pub leads: Vec<LeadQuality>,
}

impl Quality {
    /// Score of the best lead.
    #[must_use]
    pub fn best(&self) -> f64 {
        self.leads.iter().map(|lead| lead.score).fold(0.0, f64::max)
    }
}

/// Judge every lead. `noise_threshold` is the ratio of noise to QRS amplitude that is too much.
///
/// # Errors
/// [`Error::TooShort`] or [`Error::Parameter`].
pub fn signal_quality<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    noise_threshold: f64,
) -> Result<Quality, Error> {
    require_analysable(x, fs_hz)?;
    let curves = Curves::of(x, fs_hz);
    let voices = Voices::of(&curves);
    let beats = Beats::find(x.samples(), &curves, &voices);
    judge(x, fs_hz, &Scene { curves: &curves, voices: &voices, beats: &beats }, noise_threshold)
}

/// What is known of a recording when its leads are judged.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The curves of its leads.
    pub curves: &'a Curves,
    /// What each lead says.
    pub voices: &'a Voices,
    /// The beats of all leads together.
    pub beats: &'a Beats,
}

/// Judge every lead, given the beats of the recording.
///
/// # Errors
/// [`Error::Parameter`] for a threshold outside (0, 1].
pub fn judge<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    scene: &Scene,
    noise_threshold: f64,
) -> Result<Quality, Error> {
    if !(noise_threshold > 0.0 && noise_threshold <= 1.0) {
        let must = "above 0 and at most 1";
        return Err(Error::Parameter { name: "noise_threshold", must, value: noise_threshold });
    }
    let judge = Judge { fs_hz, scene, noise_threshold, mains: MainsProbe::new(fs_hz) };
    let leads: Vec<LeadQuality> =
        x.rows().enumerate().map(|(lead, row)| judge.lead(lead, row)).collect();
    let score = leads.iter().map(|lead| lead.score).sum::<f64>() / leads.len() as f64;
    Ok(Quality { score, leads })
}

struct Judge<'a> {
    fs_hz: f64,
    scene: &'a Scene<'a>,
    noise_threshold: f64,
    mains: MainsProbe,
}

impl Judge<'_> {
    fn lead<S: Sample>(&self, lead: usize, row: &[S]) -> LeadQuality {
        let extremes = Extremes::of(row);
        let held = issues::held_part(row, self.fs_hz);
        if is_flat(&extremes, held) {
            let mut issues = vec![Issue::Flat];
            issues.extend(is_railed(row).then_some(Issue::Disconnected));
            return LeadQuality { score: 0.0, issues };
        }
        let Disturbance { noise, wander, qrs_mv } = Disturbance::of(self.scene, lead);
        let confidence = confidence_of_lead(self.scene, lead);
        let clipped = is_clipped(row, self.fs_hz, &extremes);
        let disconnected = held >= HELD_PART;
        let mut score = confidence
            / (1.0 + (noise / (NOISE_HALVES * self.noise_threshold)).powi(2))
            / (1.0 + (wander / WANDER_HALVES).powi(2));
        if clipped {
            score *= CLIPPED_FACTOR;
        }
        if disconnected {
            score *= 1.0 - held;
        }
        let found = [
            (Issue::Clipped, clipped),
            (Issue::Noise, noise > self.noise_threshold || confidence < UNSURE),
            (Issue::Baseline, wander > WANDER),
            (Issue::Disconnected, disconnected),
            (Issue::OutOfRange, is_out_of_range(row, &extremes)),
            (Issue::Powerline, self.mains.mains_hz(row, qrs_mv).is_some()),
        ];
        let issues = found.iter().filter(|(_, is_so)| *is_so).map(|(issue, _)| *issue).collect();
        LeadQuality { score, issues }
    }
}

/// Mean probability that the recording's beats are beats, in one lead.
fn confidence_of_lead(scene: &Scene, lead: usize) -> f64 {
    let Scene { curves, voices, beats } = scene;
    if curves.leads == 1 {
        return beats.confidence();
    }
    let alone = voices.alone(lead);
    let pair = Pair::of_lead(curves, voices, lead);
    let at = pair.nearest_maxima(&beats.places, curves.fs_hz);
    mean_probability(&evidence::judge(curves, &alone, &pair, &at, &beats.places))
}

/// Noise above 25 Hz and baseline wander, as ratios to the QRS amplitude.
struct Disturbance {
    noise: f64,
    wander: f64,
    /// That amplitude; zero where there is no beat.
    qrs_mv: f64,
}

impl Disturbance {
    fn of(scene: &Scene, lead: usize) -> Self {
        let Scene { curves, beats, .. } = scene;
        let amplitude = qrs_amplitude(curves.smooth(lead), &beats.places, curves.fs_hz);
        // NaN where there is no beat.
        if amplitude.is_nan() || amplitude <= 0.0 {
            return Self { noise: f64::INFINITY, wander: 0.0, qrs_mv: 0.0 };
        }
        let mut noise = block_means(curves.rest(lead), NOISE_S, curves.fs_hz, f32::abs);
        let slow = block_means(curves.smooth(lead), WANDER_S, curves.fs_hz, |v| v);
        Self {
            // Averaging `step` samples took part of the noise: as if it were white.
            noise: MEAN_TO_DEVIATION * (curves.step as f64).sqrt() * median_of(&mut noise)
                / amplitude,
            wander: deviation(&slow, 0) / amplitude,
            qrs_mv: amplitude,
        }
    }
}

/// Median over the beats of their peak-to-peak amplitude, mV; NaN for none.
fn qrs_amplitude(smooth: &[f32], places: &[usize], fs_hz: f64) -> f64 {
    let reach = count(QRS_S, fs_hz);
    let mut ranges: Buffer<f64> = empty();
    ranges.extend(places.iter().map(|place| {
        let near = &smooth[place.saturating_sub(reach)..(place + reach + 1).min(smooth.len())];
        let high = near.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        f64::from(high - near.iter().copied().fold(f32::INFINITY, f32::min))
    }));
    median_of(&mut ranges)
}

/// Means of a curve over blocks of about `seconds`.
fn block_means(curve: &[f32], seconds: f64, fs_hz: f64, of: impl Fn(f32) -> f32) -> Buffer<f64> {
    let size = count(seconds, fs_hz).min(curve.len());
    let mut means = empty();
    let blocks = curve.chunks_exact(size);
    dispatch(
        #[inline(always)]
        || means.extend(blocks.map(|block| f64::from(sum_of(block, &of)) / size as f64)),
    );
    means
}

/// Sum over eight lanes, then from half to half.
#[inline(always)]
fn sum_of(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; 8];
    let chunks = x.chunks_exact(8);
    let tail = chunks.remainder();
    for chunk in chunks {
        for i in 0..8 {
            sums[i] += of(chunk[i]);
        }
    }
    for (sum, v) in sums.iter_mut().zip(tail) {
        *sum += of(*v);
    }
    for half in [4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(x: &[f64]) -> Quality {
        signal_quality(&Leads::new(x, 1, x.len()).unwrap(), 500.0, 0.1).unwrap()
    }

    fn spikes() -> Vec<f64> {
        (0..5000).map(|i| (-0.5 * (f64::from(i % 400 - 200) / 8.0).powi(2)).exp()).collect()
    }

    #[test]
    fn a_flat_lead_scores_nothing() {
        let flat = quality(&vec![0.0; 5000]);
        assert_eq!((flat.score, flat.leads[0].issues.as_slice()), (0.0, &[Issue::Flat][..]));
        let railed = quality(&vec![-5.0; 5000]);
        assert_eq!(railed.leads[0].issues, [Issue::Flat, Issue::Disconnected]);
    }

    #[test]
    fn faults_are_named() {
        let clean = quality(&spikes());
        assert!(clean.score > 0.95 && clean.leads[0].issues.is_empty(), "{clean:?}");
        let clipped: Vec<f64> = spikes().iter().map(|v| v.min(0.6)).collect();
        assert_eq!(quality(&clipped).leads[0].issues, [Issue::Clipped]);
        let mut off = spikes();
        off[3000..].fill(4.0);
        assert!(quality(&off).leads[0].issues.contains(&Issue::Disconnected));
    }

    #[test]
    fn the_threshold_is_checked() {
        let x = spikes();
        let x = Leads::new(&x, 1, 5000).unwrap();
        for bad in [0.0, -1.0, 1.1, f64::NAN] {
            assert!(signal_quality(&x, 500.0, bad).is_err());
        }
    }
}
