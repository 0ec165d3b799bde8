//! R peaks, after Pan and Tompkins (1985), without a learning phase.
//!
//! The slope energy of the QRS band is compared with the level of its own surroundings on both sides,
//! so that the first and the last beat of a short strip are treated like the others. Several leads
//! add up their energies, each weighed by how far its beats stand out. Everything is linear in time.

use crate::bands::{Bands, averaged, count, width};
use crate::error::Error;
use crate::leads::{Leads, Sample};
use crate::order::{mean, median_of, running_median};

/// Shortest recording in which beats are sought, s.
pub const LEAST_S: f64 = 1.0;
const SLOPE_S: f64 = 0.008;
const ENERGY_S: f64 = 0.120;
const SEPARATION_S: f64 = 0.200;
const REFINE_S: f64 = 0.060;
const BLOCK_S: f64 = 2.0;
const BLOCKS: usize = 5;
const THRESHOLD: f64 = 0.3;
const FLOOR: f64 = 0.02;
const FLOOR_MV: f64 = 1e-6;
const CAP: f64 = 2.0;
const MIRROR: f64 = 0.999;
const T_WAVE_S: f64 = 0.360;
const T_WAVE_RATIO: f64 = 0.5;
const SEARCH_BACK: f64 = 0.5;
const LONG_RR: f64 = 1.5;
const RR_NEIGHBOURS: usize = 8;
const BEFORE_NEXT_S: f64 = 0.250;

/// R peaks as ascending sample indices; several leads are judged together.
///
/// # Errors
/// [`Error::TooShort`] below one second, [`Error::Parameter`] for a rate outside 100 to 2000 Hz.
pub fn detect_r_peaks<S: Sample>(x: &Leads<S>, fs_hz: f64) -> Result<Vec<usize>, Error> {
    require_analysable(x, fs_hz)?;
    Ok(find_peaks(&Bands::split(x, fs_hz)))
}

/// Refuse rates and durations in which no beat can be found.
pub(crate) fn require_analysable<S: Sample>(x: &Leads<S>, fs_hz: f64) -> Result<(), Error> {
    if !(100.0..=2000.0).contains(&fs_hz) {
        return Err(Error::Parameter { name: "fs_hz", must: "in 100 to 2000", value: fs_hz });
    }
    x.require_duration(fs_hz, LEAST_S)
}

/// R peaks from the bands of a recording.
#[must_use]
pub fn find_peaks(bands: &Bands) -> Vec<usize> {
    let (mut energy, mut envelope) = combined(bands);
    for curve in [&mut energy, &mut envelope] {
        let end = bands.pad + bands.samples;
        // A beat near an end would otherwise tie with its own mirror image.
        for v in &mut curve[..bands.pad] {
            *v *= MIRROR;
        }
        for v in &mut curve[end..] {
            *v *= MIRROR;
        }
    }
    let beats = find_beats(&energy, bands.fs_hz);
    refined(&beats, &envelope, bands)
}

fn slope_energy(qrs: &[f64], fs_hz: f64) -> Vec<f64> {
    let lag = count(SLOPE_S, fs_hz);
    let mut squared = vec![0.0; qrs.len()];
    let slopes = qrs.iter().zip(&qrs[2 * lag..]).map(|(before, after)| after - before);
    for (out, slope) in squared[lag..].iter_mut().zip(slopes) {
        *out = slope * slope;
    }
    let mut energy = averaged(&squared, width(ENERGY_S, fs_hz));
    // Rounding in a running sum may leave a mean of squares just below zero.
    for v in &mut energy {
        *v = v.max(0.0).sqrt();
    }
    energy
}

/// Energy that beats are sought in, and the squared envelope whose extremum is the R peak.
fn combined(bands: &Bands) -> (Vec<f64>, Vec<f64>) {
    if let [only] = bands.leads.as_slice() {
        let envelope = only.qrs.iter().map(|v| v * v).collect();
        return (slope_energy(&only.qrs, bands.fs_hz), envelope);
    }
    let length = bands.samples + 2 * bands.pad;
    let (mut total, mut envelope, mut weights) = (vec![0.0; length], vec![0.0; length], 0.0);
    for lead in &bands.leads {
        let energy = slope_energy(&lead.qrs, bands.fs_hz);
        let level = median_of(&mut block_maxima(&energy, bands.fs_hz));
        if level < FLOOR_MV {
            continue;
        }
        let weight = (1.0 - mean(&energy) / level).max(0.0).powi(2);
        for (sum, v) in total.iter_mut().zip(&energy) {
            *sum += weight * (v / level).min(CAP);
        }
        for (sum, v) in envelope.iter_mut().zip(&lead.qrs) {
            *sum += weight * (v / level).powi(2);
        }
        weights += weight;
    }
    if weights > 0.0 {
        for v in &mut total {
            *v /= weights;
        }
    }
    (total, envelope)
}

/// A local maximum of the energy.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    at: usize,
    height: f64,
    threshold: f64,
}

fn find_beats(energy: &[f64], fs_hz: f64) -> Vec<usize> {
    let candidates = candidates(energy, fs_hz);
    let mut taken = without_t_waves(&candidates, fs_hz);
    search_back(&candidates, &mut taken, fs_hz);
    let beats = candidates.iter().zip(&taken).filter(|(_, taken)| **taken);
    beats.map(|(candidate, _)| candidate.at).collect()
}

fn candidates(energy: &[f64], fs_hz: f64) -> Vec<Candidate> {
    let mut maxima = block_maxima(energy, fs_hz);
    let blocks = maxima.len();
    let level = running_median(&maxima, BLOCKS);
    maxima.sort_unstable_by(f64::total_cmp);
    let floor = (FLOOR * maxima[(3 * blocks / 4).min(blocks - 1)]).max(FLOOR_MV);
    let highest = sliding_max(energy, count(SEPARATION_S, fs_hz));
    let local = energy.iter().zip(highest).enumerate();
    local
        .filter(|(_, (v, highest))| **v == *highest && **v > 0.0)
        .map(|(at, (&height, _))| {
            let threshold = (THRESHOLD * level[at * blocks / energy.len()]).max(floor);
            Candidate { at, height, threshold }
        })
        .collect()
}

fn block_maxima(energy: &[f64], fs_hz: f64) -> Vec<f64> {
    let n = energy.len();
    let blocks = (n / count(BLOCK_S, fs_hz)).max(1);
    let block = |i: usize| &energy[i * n / blocks..(i + 1) * n / blocks];
    (0..blocks).map(|i| block(i).iter().copied().fold(0.0, f64::max)).collect()
}

/// Maximum over `half` samples on both sides, in linear time (van Herk, 1992).
fn sliding_max(x: &[f64], half: usize) -> Vec<f64> {
    let (size, n) = (2 * half + 1, x.len());
    let mut ahead = vec![f64::NEG_INFINITY; (n + 2 * half).next_multiple_of(size)];
    ahead[half..half + n].copy_from_slice(x);
    let mut behind = ahead.clone();
    for block in ahead.chunks_exact_mut(size) {
        for i in 1..size {
            block[i] = block[i].max(block[i - 1]);
        }
    }
    for block in behind.chunks_exact_mut(size) {
        for i in (1..size).rev() {
            block[i - 1] = block[i - 1].max(block[i]);
        }
    }
    (0..n).map(|i| behind[i].max(ahead[i + size - 1])).collect()
}

/// Candidates above their threshold, without low ones shortly after a high one.
fn without_t_waves(candidates: &[Candidate], fs_hz: f64) -> Vec<bool> {
    let mut last: Option<Candidate> = None;
    let mut take = |c: &Candidate| {
        let t_wave = last.is_some_and(|last| {
            ((c.at - last.at) as f64) < T_WAVE_S * fs_hz && c.height < T_WAVE_RATIO * last.height
        });
        let taken = c.height > c.threshold && !t_wave;
        if taken {
            last = Some(*c);
        }
        taken
    };
    candidates.iter().map(&mut take).collect()
}

/// Take the highest candidate inside each interval that is long among its neighbours.
fn search_back(candidates: &[Candidate], taken: &mut [bool], fs_hz: f64) {
    let beats: Vec<usize> = (0..taken.len()).filter(|&i| taken[i]).collect();
    let rr: Vec<usize> =
        beats.windows(2).map(|b| candidates[b[1]].at - candidates[b[0]].at).collect();
    for j in (0..rr.len()).filter(|&j| is_long(&rr, j)) {
        let (first, last) = (candidates[beats[j]].at, candidates[beats[j + 1]].at);
        let possible = |c: &Candidate| {
            c.height > SEARCH_BACK * c.threshold
                && (c.at - first) as f64 > T_WAVE_S * fs_hz
                && (last - c.at) as f64 > BEFORE_NEXT_S * fs_hz
        };
        let mut best: Option<usize> = None;
        for i in beats[j] + 1..beats[j + 1] {
            let higher = best.is_none_or(|b| candidates[i].height > candidates[b].height);
            if possible(&candidates[i]) && higher {
                best = Some(i);
            }
        }
        if let Some(best) = best {
            taken[best] = true;
        }
    }
}

/// Whether an interval exceeds most of its neighbours by half.
fn is_long(rr: &[usize], j: usize) -> bool {
    let near = &rr[j.saturating_sub(RR_NEIGHBOURS)..(j + RR_NEIGHBOURS + 1).min(rr.len())];
    let shorter = near.iter().filter(|&&other| LONG_RR * (other as f64) < rr[j] as f64).count();
    2 * shorter > near.len()
}

/// Move each beat to the extremum of the envelope and drop the pre-roll.
fn refined(beats: &[usize], envelope: &[f64], bands: &Bands) -> Vec<usize> {
    let reach = count(REFINE_S, bands.fs_hz);
    let mut peaks: Vec<usize> = beats
        .iter()
        .filter_map(|&beat| {
            let start = beat.saturating_sub(reach);
            let end = (beat + reach + 1).min(envelope.len());
            (start + first_maximum(&envelope[start..end])).checked_sub(bands.pad)
        })
        .filter(|&peak| peak < bands.samples)
        .collect();
    peaks.sort_unstable();
    peaks.dedup();
    peaks
}

fn first_maximum(x: &[f64]) -> usize {
    let mut best = 0;
    for (i, v) in x.iter().enumerate() {
        if *v > x[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beats of 1 mV, 80 ms wide, at the given samples of a 500 Hz lead.
    fn strip(beats: &[usize], samples: usize) -> Vec<f64> {
        let shape = |t: f64| (1.0 - (t / 12.0).powi(2)) * (-0.5 * (t / 12.0).powi(2)).exp();
        let at = |i: usize| beats.iter().map(|b| shape(i as f64 - *b as f64)).sum();
        (0..samples).map(at).collect()
    }

    fn peaks(x: &[f64]) -> Vec<usize> {
        detect_r_peaks(&Leads::new(x, 1, x.len()).unwrap(), 500.0).unwrap()
    }

    #[test]
    fn finds_every_beat_whatever_amplitude_offset_and_polarity() {
        let beats: Vec<usize> = (0..12).map(|i| 60 + i * 420).collect();
        let x = strip(&beats, 5000);
        for (gain, offset) in [(1.0, 0.0), (-1.0, 0.0), (0.001, 0.0), (50.0, 0.0), (1.0, 300.0)] {
            let y: Vec<f64> = x.iter().map(|v| gain * v + offset).collect();
            assert_eq!(peaks(&y), beats, "gain {gain}, offset {offset}");
        }
    }

    #[test]
    fn flat_leads_have_no_beats() {
        assert!(peaks(&vec![0.0; 5000]).is_empty());
        assert!(peaks(&vec![299.7; 5000]).is_empty());
        let both = [vec![1.0; 5000], vec![-2.5; 5000]].concat();
        let both = Leads::new(&both, 2, 5000).unwrap();
        assert!(detect_r_peaks(&both, 500.0).unwrap().is_empty());
    }

    #[test]
    fn a_lead_that_falls_off_keeps_its_beats_and_gains_none() {
        let beats: Vec<usize> = (0..9).map(|i| 100 + i * 420).collect();
        let mut x = strip(&beats, 12_000);
        x[4000..].fill(250.0);
        let found = peaks(&x);
        assert!(found.iter().all(|p| *p <= 4100), "{found:?}");
    }

    #[test]
    fn hostile_signals_do_not_panic() {
        let rails: Vec<f64> = (0..5000).map(|i| if i % 2 == 0 { 1e3 } else { -1e3 }).collect();
        let step: Vec<f64> = (0..5000).map(|i| f64::from(u8::from(i > 2500)) * 1e3).collect();
        let mut spike = vec![0.0; 5000];
        spike[0] = 1e3;
        spike[4999] = -1e3;
        let tiny = vec![f64::MIN_POSITIVE; 5000];
        for x in [&rails, &step, &spike, &tiny] {
            peaks(x);
        }
        for fs in [100.0, 2000.0] {
            let x = strip(&[30, 60, 1999], 2000);
            detect_r_peaks(&Leads::new(&x, 1, 2000).unwrap(), fs).unwrap();
        }
        let x = Leads::new(&rails, 1, 5000).unwrap();
        for fs in [0.0, f64::NAN, 99.0, 2001.0] {
            assert!(matches!(detect_r_peaks(&x, fs), Err(Error::Parameter { .. })));
        }
    }
}
