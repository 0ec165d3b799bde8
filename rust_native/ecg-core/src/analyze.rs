//! One recording: curves, beats, quality, and what follows from the RR intervals.

use crate::curves::Curves;
use crate::error::Error;
use crate::hrv::{Hrv, normal_intervals, of_normal};
use crate::leads::{Leads, Sample};
use crate::order::mean;
use crate::quality::{Quality, Scene, judge};
use crate::rhythm::{self, Anomaly, find_anomalies};
use crate::rpeaks::{Beats, require_analysable};
use crate::scratch::{Buffer, empty};
use crate::shapes::unlike_the_usual;
use crate::voices::Voices;

/// Below this probability of the beats no anomaly is told.
const RHYTHM_CONFIDENCE: f64 = 0.7;
/// A gap this long may be a lead that fell off, s.
const LONG_GAP_S: f64 = 2.0;
/// Part of a gap in which every lead stands still if nothing is connected.
const STILL: f64 = 0.9;

/// How a recording is analysed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Samples per second, 100 to 2000.
    pub fs_hz: f64,
    /// Compute variability.
    pub hrv: bool,
    /// Look for anomalies.
    pub anomalies: bool,
    /// Alarm limit, bpm.
    pub min_heart_rate: f64,
    /// Alarm limit, bpm.
    pub max_heart_rate: f64,
    /// Ratio of noise to QRS amplitude that is too much, above 0 and at most 1.
    pub noise_threshold: f64,
    /// With no lead better than this nothing is told of the beats.
    pub min_signal_quality: f64,
}

/// What a recording says.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Mean rate, bpm; NaN where none can be told.
    pub heart_rate: f64,
    /// Intervals between successive R peaks, ms.
    pub rr_ms: Vec<f64>,
    /// R peaks, sample indices; none where the quality is too low.
    pub r_peaks: Vec<usize>,
    /// Variability of normal intervals, if asked for and the quality allows it.
    pub hrv: Option<Hrv>,
    /// Findings, if asked for and the quality allows it.
    pub anomalies: Vec<Anomaly>,
    /// Quality of the leads.
    pub quality: Quality,
}

/// Analyse a recording; nothing is told that its best lead does not carry.
///
/// # Errors
/// [`Error::TooShort`] below one second, [`Error::Implausible`] for amplitudes no heart has,
/// [`Error::Parameter`] for options out of bounds.
pub fn analyze<S: Sample>(x: &Leads<S>, options: &Options) -> Result<Analysis, Error> {
    let fs_hz = options.fs_hz;
    require_analysable(x, fs_hz)?;
    x.require_plausible(fs_hz)?;
    let curves = Curves::of(x, fs_hz);
    let voices = Voices::of(&curves);
    let beats = Beats::find(x.samples(), &curves, &voices);
    let scene = Scene { curves: &curves, voices: &voices, beats: &beats };
    let quality = judge(x, fs_hz, &scene, options.noise_threshold)?;
    let confidence = beats.confidence();
    if beats.peaks.is_empty() || quality.best() < options.min_signal_quality {
        return Ok(Analysis::silent(quality));
    }
    let r_peaks = beats.peaks.to_vec();
    let rr_ms: Vec<f64> =
        r_peaks.windows(2).map(|p| (p[1] - p[0]) as f64 * (1000.0 / fs_hz)).collect();
    let unlike = unlike_the_usual(&curves, &voices, &beats.places);
    let hrv = options.hrv && !rr_ms.is_empty();
    let hrv = hrv.then(|| of_normal(&rr_ms, &normal_intervals(&rr_ms, Some(&unlike))));
    let anomalies = if options.anomalies && confidence >= RHYTHM_CONFIDENCE {
        anomalies(x, &r_peaks, &unlike, options)
    } else {
        Vec::new()
    };
    let heart_rate = if rr_ms.is_empty() { f64::NAN } else { 60_000.0 / mean(&rr_ms) };
    Ok(Analysis { heart_rate, rr_ms, r_peaks, hrv, anomalies, quality })
}

impl Analysis {
    /// Nothing but the quality can be told.
    fn silent(quality: Quality) -> Self {
        Self {
            heart_rate: f64::NAN,
            rr_ms: Vec::new(),
            r_peaks: Vec::new(),
            hrv: None,
            anomalies: Vec::new(),
            quality,
        }
    }
}

fn anomalies<S: Sample>(
    x: &Leads<S>,
    peaks: &[usize],
    unlike: &[bool],
    options: &Options,
) -> Vec<Anomaly> {
    let mut peaks_s: Buffer<f64> = empty();
    peaks_s.extend(peaks.iter().map(|p| *p as f64 / options.fs_hz));
    find_anomalies(&rhythm::Beats {
        peaks_s: &peaks_s,
        duration_s: x.samples() as f64 / options.fs_hz,
        unlike: Some(unlike),
        measurable: Some(&measurable(x, peaks, options.fs_hz)),
        min_heart_rate: options.min_heart_rate,
        max_heart_rate: options.max_heart_rate,
    })
}

/// Spans between the long gaps in which every lead stands still, s.
fn measurable<S: Sample>(x: &Leads<S>, peaks: &[usize], fs_hz: f64) -> Vec<(f64, f64)> {
    let mut spans = Vec::new();
    let (mut start_s, mut before) = (0.0, 0);
    for end in peaks.iter().copied().chain([x.samples()]) {
        let long = (end - before) as f64 > LONG_GAP_S * fs_hz;
        if long && x.rows().all(|row| stands_still(&row[before..end])) {
            spans.push((start_s, before as f64 / fs_hz));
            start_s = end as f64 / fs_hz;
        }
        before = end;
    }
    spans.push((start_s, x.samples() as f64 / fs_hz));
    spans
}

fn stands_still<S: Sample>(row: &[S]) -> bool {
    let held = row.windows(2).filter(|pair| pair[0] == pair[1]).count();
    held as f64 >= STILL * row.len() as f64
}
