//! Signal quality: how alike the beats of a lead are, how much noise lies on them, plain faults.
//!
//! Agreement with the average beat separates noisy from clean recordings far better than moments of
//! the amplitudes do (Orphanidou et al., 2015).

use crate::bands::{Band, Bands, averaged, count, width};
use crate::error::Error;
use crate::leads::{Leads, Sample};
use crate::order::{deviation, mean, median_of};
use crate::rpeaks::{find_peaks, require_analysable};

const BASELINE_S: [f64; 2] = [0.6, 0.3];
const BEFORE_S: f64 = 0.15;
const AFTER_S: f64 = 0.25;
const FLAT_MV: f64 = 0.005;
const RAILED_MV: f64 = 1.0;
const HELD_S: f64 = 0.5;
const HELD_FLAT: f64 = 0.9;
const HELD_PART: f64 = 0.1;
const CLIPPED_S: f64 = 0.008;
const CLIPPED_PART: f64 = 0.002;
const UNLIKE: f64 = 0.5;
const LONE_BEAT: f64 = 0.5;
const WANDER: f64 = 0.5;
const CLIPPED_FACTOR: f64 = 0.7;

/// What is wrong with a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// It hardly moves at all.
    Flat,
    /// Its extremes are cut off.
    Clipped,
    /// Noise above the threshold, or beats unlike one another.
    Noise,
    /// The baseline wanders by half a QRS amplitude or more.
    Baseline,
    /// It stands still for part of the time, or at a rail.
    Disconnected,
}

impl Issue {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Clipped => "clipped",
            Self::Noise => "noise",
            Self::Baseline => "baseline",
            Self::Disconnected => "disconnected",
        }
    }
}

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
    let bands = Bands::split(x, fs_hz);
    let peaks = find_peaks(&bands);
    judge(x, &bands, &peaks, noise_threshold)
}

/// Judge every lead, given the beats of the recording.
///
/// # Errors
/// [`Error::Parameter`] for a threshold outside (0, 1].
pub fn judge<S: Sample>(
    x: &Leads<S>,
    bands: &Bands,
    peaks: &[usize],
    noise_threshold: f64,
) -> Result<Quality, Error> {
    if !(noise_threshold > 0.0 && noise_threshold <= 1.0) {
        let must = "above 0 and at most 1";
        return Err(Error::Parameter { name: "noise_threshold", must, value: noise_threshold });
    }
    let rows = x.rows().zip(&bands.leads);
    let leads: Vec<LeadQuality> = rows
        .map(|(row, band)| judge_lead(row, &Scene { bands, band, peaks }, noise_threshold))
        .collect();
    let score = leads.iter().map(|lead| lead.score).sum::<f64>() / leads.len() as f64;
    Ok(Quality { score, leads })
}

/// What is known of a lead when it is judged.
struct Scene<'a> {
    bands: &'a Bands,
    band: &'a Band,
    peaks: &'a [usize],
}

fn judge_lead<S: Sample>(row: &[S], scene: &Scene, noise_threshold: f64) -> LeadQuality {
    let still = Still::of(row, scene.bands.fs_hz);
    if still.range < FLAT_MV || still.held >= HELD_FLAT {
        let railed = row[0].into().abs() >= RAILED_MV;
        let issues =
            if railed { vec![Issue::Flat, Issue::Disconnected] } else { vec![Issue::Flat] };
        return LeadQuality { score: 0.0, issues };
    }
    let beats = BeatStatistics::of(scene);
    let mut score = beats.likeness
        / (1.0 + (beats.noise / (5.0 * noise_threshold)).powi(2))
        / (1.0 + (beats.wander / 2.0).powi(2));
    let mut issues = Vec::new();
    if still.clipped {
        issues.push(Issue::Clipped);
        score *= CLIPPED_FACTOR;
    }
    if beats.noise > noise_threshold || beats.likeness < UNLIKE {
        issues.push(Issue::Noise);
    }
    if beats.wander > WANDER {
        issues.push(Issue::Baseline);
    }
    if still.held >= HELD_PART {
        issues.push(Issue::Disconnected);
        score *= 1.0 - still.held;
    }
    LeadQuality { score, issues }
}

/// How much of a lead stands still.
struct Still {
    range: f64,
    held: f64,
    clipped: bool,
}

impl Still {
    fn of<S: Sample>(row: &[S], fs_hz: f64) -> Self {
        let wide = row.iter().map(|v| -> f64 { (*v).into() });
        let (low, high) = wide
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let held_run = count(HELD_S, fs_hz);
        let clipped_run = count(CLIPPED_S, fs_hz).max(3);
        let (mut held, mut cut, mut cuts) = (0, 0, 0);
        for run in row.chunk_by(|a, b| (*a).into() == (*b).into()) {
            let value: f64 = run[0].into();
            if run.len() >= held_run {
                held += run.len();
            }
            if run.len() >= clipped_run && (value == low || value == high) {
                cut += run.len();
                cuts += 1;
            }
        }
        let n = row.len() as f64;
        Self {
            range: high - low,
            held: held as f64 / n,
            clipped: cuts >= 2 && cut as f64 >= CLIPPED_PART * n,
        }
    }
}

/// Likeness of the beats; noise and baseline wander as ratios to the QRS amplitude.
struct BeatStatistics {
    likeness: f64,
    noise: f64,
    wander: f64,
}

impl BeatStatistics {
    fn of(scene: &Scene) -> Self {
        let Scene { bands, band, peaks } = scene;
        let baseline = BASELINE_S
            .iter()
            .fold(band.raw.clone(), |slow, seconds| averaged(&slow, width(*seconds, bands.fs_hz)));
        let clean: Vec<f64> = band.smooth.iter().zip(&baseline).map(|(a, b)| a - b).collect();
        let (before, after) = (count(BEFORE_S, bands.fs_hz), count(AFTER_S, bands.fs_hz));
        let around = |peak: &usize| &clean[peak + bands.pad - before..peak + bands.pad + after];
        let beats: Vec<&[f64]> = peaks.iter().map(around).collect();
        let amplitude = median_of(&mut beats.iter().map(|beat| range(beat)).collect::<Vec<_>>());
        // NaN where there is no beat.
        if amplitude.is_nan() || amplitude <= 0.0 {
            return Self { likeness: 0.0, noise: f64::INFINITY, wander: 0.0 };
        }
        let inside = bands.pad..bands.pad + bands.samples;
        let residual = band.raw[inside.clone()].iter().zip(&band.smooth[inside.clone()]);
        let mut noise: Vec<f64> = residual.map(|(raw, smooth)| (raw - smooth).abs()).collect();
        Self {
            likeness: likeness(&beats),
            noise: 1.4826 * median_of(&mut noise) / amplitude,
            wander: deviation(&baseline[inside], 0) / amplitude,
        }
    }
}

fn range(x: &[f64]) -> f64 {
    let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    high - x.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Correlation of each beat with the average of the others: mean and median, averaged.
fn likeness(beats: &[&[f64]]) -> f64 {
    if beats.len() < 2 {
        return LONE_BEAT;
    }
    let means: Vec<f64> = beats.iter().map(|beat| mean(beat)).collect();
    let mut sum = vec![0.0; beats[0].len()];
    for (beat, centre) in beats.iter().zip(&means) {
        for (total, v) in sum.iter_mut().zip(*beat) {
            *total += v - centre;
        }
    }
    let with_others = |(beat, centre): (&&[f64], &f64)| {
        let (mut product, mut own, mut others) = (0.0, 0.0, 0.0);
        for (v, total) in beat.iter().zip(&sum) {
            let (a, b) = (v - centre, total - (v - centre));
            product += a * b;
            own += a * a;
            others += b * b;
        }
        let norm = (own * others).sqrt();
        if norm > 0.0 { product / norm } else { 0.0 }
    };
    let mut r: Vec<f64> = beats.iter().zip(&means).map(with_others).collect();
    (0.5 * (mean(&r) + median_of(&mut r))).max(0.0)
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
