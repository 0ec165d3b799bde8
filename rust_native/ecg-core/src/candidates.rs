//! Places where a beat may be, and how sure it is that one is there.
//!
//! Two cheap detectors look at one band: the slope energy of Pan and Tompkins (1985) proposes its
//! local maxima; the matched filter's question, whether the same shape comes back (`likeness`), and
//! the envelope judge them. A logistic model weighs the measurements; its probability is also the
//! quality index, since the two detectors agree where it is near one.

use crate::curves::{Curves, block_maxima, count, highest};
use crate::order::{median_of, running_median};
use crate::scratch::{Buffer, empty, leftover, zeros};
use crate::simd::dispatch;

const BLOCK_S: f64 = 2.0;
const BLOCKS: usize = 5;
const FLOOR: f64 = 0.1;
const FLOOR_MV: f64 = 1e-6;
const CAP: f32 = 2.0;
const APART_S: f64 = 0.140;
const LEAST: f64 = 0.002;
const REFINE_S: f64 = 0.060;
/// Part of the highest squared band that makes an extremum the R peak if it comes first.
const STRONG: f32 = 0.5;
const VOTERS: usize = 4;

/// Points of a beat's shape, and their distance.
pub const POINTS: usize = 16;
const POINT_S: f64 = 0.013;
/// Candidates on each side that a shape is held against, and how many of the best count.
const COMPARED: usize = 12;
const BEST: usize = 3;

const NEIGHBOURS: usize = 6;
const NEAR_S: f64 = 0.4;
const FAR_S: f64 = 1.2;
const VALLEY_S: f64 = 0.25;
const AROUND_S: f64 = 0.6;

/// Number of measurements of a candidate.
pub const FEATURES: usize = 11;
/// Measurements, in the order of [`WEIGHTS`].
pub type Features = [f64; FEATURES];
/// Log-odds for each unit of a measurement; fitted by logistic regression on public records.
pub const WEIGHTS: Features =
    [1.078, 0.56, 3.106, -0.775, -0.448, -0.192, -0.44, -3.808, -3.267, -5.97, -4.936];
/// Log-odds of a candidate whose measurements are all zero.
pub const BIAS: f64 = 2.726;

/// Shape of a beat in one lead: the QRS band around its peak, of unit length.
pub type Shape = [f32; POINTS];

/// How much each lead says, and at which level its beats are.
#[derive(Debug)]
pub struct Voices {
    /// Share in the vote; they add up to one, unless no lead says anything.
    pub weights: Buffer<f64>,
    /// Usual height of the slope energy's maxima.
    pub levels: Buffer<f64>,
    /// The leads whose shapes are compared, best first.
    pub voters: Buffer<usize>,
    /// The leads that say anything, best first.
    heard: Buffer<usize>,
    /// What makes the squared QRS bands of these comparable.
    gains: Buffer<f32>,
}

impl Voices {
    /// Weigh each lead by how far its beats stand out.
    #[must_use]
    pub fn of(curves: &Curves) -> Self {
        let (mut levels, mut averages): (Buffer<f64>, Buffer<f64>) = (empty(), empty());
        for lead in 0..curves.leads {
            levels.push(level_of(curves.energy(lead), curves.fs_hz));
            averages.push(average(curves.energy(lead)));
        }
        Self::weighed(levels, &averages)
    }

    /// Weigh leads by the usual height of their slope energy's maxima and by its mean.
    #[must_use]
    pub fn weighed(levels: Buffer<f64>, averages: &[f64]) -> Self {
        let mut weights: Buffer<f64> = empty();
        weights.extend(levels.iter().zip(averages).map(|(level, average)| {
            let stands_out = (1.0 - average / level.max(FLOOR_MV)).max(0.0);
            let weight = if levels.len() == 1 { 1.0 } else { stands_out * stands_out };
            if *level < FLOOR_MV { 0.0 } else { weight }
        }));
        let total: f64 = weights.iter().sum();
        if total > 0.0 {
            for weight in weights.iter_mut() {
                *weight /= total;
            }
        }
        let (mut heard, mut voters): (Buffer<usize>, Buffer<usize>) = (empty(), empty());
        heard.extend((0..weights.len()).filter(|lead| weights[*lead] > 0.0));
        heard.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
        voters.extend(heard.iter().copied().take(VOTERS));
        let gains = gains_of(&heard, &weights, &levels);
        Self { weights, levels, voters, heard, gains }
    }

    /// One lead by itself.
    #[must_use]
    pub fn alone(&self, lead: usize) -> Self {
        let (mut weights, mut levels) = (empty(), empty());
        let (mut heard, mut voters) = (empty(), empty());
        weights.extend((0..self.weights.len()).map(|other| f64::from(u8::from(other == lead))));
        levels.extend_from_slice(&self.levels);
        heard.push(lead);
        voters.push(lead);
        let gains = gains_of(&heard, &weights, &levels);
        Self { weights, levels, voters, heard, gains }
    }
}

fn gains_of(heard: &[usize], weights: &[f64], levels: &[f64]) -> Buffer<f32> {
    let mut gains = empty();
    gains.extend(heard.iter().map(|lead| (weights[*lead] / levels[*lead].powi(2)) as f32));
    gains
}

fn level_of(curve: &[f32], fs_hz: f64) -> f64 {
    median_of(&mut block_maxima(curve, BLOCK_S, fs_hz))
}

fn average(x: &[f32]) -> f64 {
    dispatch(
        #[inline(always)]
        || total(x),
    ) / x.len() as f64
}

/// Sum in `f64`.
#[inline(always)]
fn total(x: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0_f64; LANES];
    let chunks = x.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            sums[i] += f64::from(chunk[i]);
        }
    }
    sums.iter().sum::<f64>() + tail.iter().map(|v| f64::from(*v)).sum::<f64>()
}

/// Slope energy and envelope of several leads together.
#[derive(Debug)]
struct Vote {
    energy: Buffer<f32>,
    envelope: Buffer<f32>,
}

impl Vote {
    fn of(curves: &Curves, voices: &Voices) -> Self {
        let mut sum = Self { energy: zeros(curves.samples), envelope: zeros(curves.samples) };
        for (lead, weight) in voices.weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            let envelope = curves.envelope(lead);
            let envelope_level = level_of(envelope, curves.fs_hz).max(FLOOR_MV);
            vote(&mut sum.energy, curves.energy(lead), *weight, voices.levels[lead]);
            vote(&mut sum.envelope, envelope, *weight, envelope_level);
        }
        sum
    }

    fn pair(&self) -> Pair<'_> {
        Pair { energy: &self.energy, envelope: &self.envelope, ratio: 1.0 }
    }
}

/// Slope energy and envelope that beats are sought in.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    energy: &'a [f32],
    envelope: &'a [f32],
    /// Usual height of the energy's maxima over that of the envelope's.
    ratio: f64,
}

impl<'a> Pair<'a> {
    /// Those of one lead.
    #[must_use]
    pub fn of_lead(curves: &'a Curves, voices: &Voices, lead: usize) -> Self {
        let (energy, envelope) = (curves.energy(lead), curves.envelope(lead));
        let envelope_level = level_of(envelope, curves.fs_hz).max(FLOOR_MV);
        Self { energy, envelope, ratio: voices.levels[lead].max(FLOOR_MV) / envelope_level }
    }

    /// Where the slope energy is highest near each place.
    #[must_use]
    pub fn nearest_maxima(&self, places: &[usize], fs_hz: f64) -> Buffer<usize> {
        let reach = count(REFINE_S, fs_hz);
        let mut at = empty();
        at.extend(places.iter().map(|place| {
            let start = place.saturating_sub(reach);
            let end = (place + reach + 1).min(self.energy.len());
            start + first_highest(&self.energy[start..end])
        }));
        at
    }
}

/// Add a lead's curve, at most twice its usual height: one lead's artefact must not outvote all.
fn vote(sum: &mut [f32], curve: &[f32], weight: f64, level: f64) {
    let (weight, share) = (weight as f32, (1.0 / level) as f32);
    dispatch(
        #[inline(always)]
        || {
            for (sum, v) in sum.iter_mut().zip(curve) {
                let height = v * share;
                *sum += weight * if height > CAP { CAP } else { height };
            }
        },
    );
}

/// Places where a beat may be, ascending.
#[derive(Debug)]
pub struct Candidates {
    /// Where the vote of the slope energies has its maximum.
    pub at: Buffer<usize>,
    /// Where the QRS band has its extremum nearby.
    pub peak: Buffer<usize>,
    /// Log-odds that it is a beat.
    pub odds: Buffer<f64>,
}

impl Candidates {
    /// Propose and judge.
    #[must_use]
    pub fn of(curves: &Curves, voices: &Voices) -> Self {
        if curves.leads == 1 {
            return Self::among(curves, voices, &Pair::of_lead(curves, voices, 0));
        }
        Self::among(curves, voices, &Vote::of(curves, voices).pair())
    }

    fn among(curves: &Curves, voices: &Voices, pair: &Pair) -> Self {
        let at = local_maxima(pair.energy, curves.fs_hz);
        let mut peak: Buffer<usize> = empty();
        peak.extend(at.iter().map(|at| extremum(curves, voices, *at)));
        let odds = judge(curves, voices, pair, &at, &peak);
        Self { at, peak, odds }
    }
}

/// Log-odds of places in the curves of some leads.
#[must_use]
pub fn judge(
    curves: &Curves,
    voices: &Voices,
    pair: &Pair,
    at: &[usize],
    peak: &[usize],
) -> Buffer<f64> {
    let mut odds = empty();
    measure(curves, voices, pair, at, peak, |features| {
        odds.push(BIAS + features.iter().zip(&WEIGHTS).map(|(v, w)| v * w).sum::<f64>());
    });
    odds
}

/// Hand the measurements of each place to `take`.
pub fn measure(
    curves: &Curves,
    voices: &Voices,
    pair: &Pair,
    at: &[usize],
    peak: &[usize],
    mut take: impl FnMut(Features),
) {
    let likeness = likeness(curves, voices, peak);
    let scene = Scene {
        fs_hz: curves.fs_hz,
        pair,
        at,
        energy_levels: Levels::of(pair.energy, curves.fs_hz),
        envelope_levels: Levels::of(pair.envelope, curves.fs_hz),
    };
    dispatch(
        #[inline(always)]
        || {
            for (k, likeness) in likeness.iter().enumerate() {
                take(scene.features(k, *likeness));
            }
        },
    );
}

/// Maxima of a curve that no higher one is near to.
fn local_maxima(curve: &[f32], fs_hz: f64) -> Buffer<usize> {
    let mut maxima: Buffer<usize> = empty();
    let least = (LEAST * level_of(curve, fs_hz)) as f32;
    let last = curve.len() - 1;
    let rises = |i: usize| i == 0 || curve[i] > curve[i - 1];
    let falls = |i: usize| i == last || curve[i] >= curve[i + 1];
    maxima.extend((0..=last).filter(|i| rises(*i) && falls(*i) && curve[*i] > least));
    let apart = count(APART_S, fs_hz);
    let mut kept: Buffer<usize> = empty();
    for (k, at) in maxima.iter().enumerate() {
        let before = maxima[..k].iter().rev().take_while(|other| at - **other <= apart);
        let after = maxima[k + 1..].iter().take_while(|other| **other - at <= apart);
        let mut before_and_after =
            before.map(|i| curve[*i] >= curve[*at]).chain(after.map(|i| curve[*i] > curve[*at]));
        if !before_and_after.any(|higher| higher) {
            kept.push(*at);
        }
    }
    kept
}

/// Where the voters' QRS bands have their highest extremum, near a maximum of the slope energy.
fn extremum(curves: &Curves, voices: &Voices, at: usize) -> usize {
    let (start, heights) = heights(curves, voices, at, voices.voters.len());
    start + first_highest(&heights)
}

/// The R peak: the first extremum of the QRS bands that is about as strong as the highest one.
#[must_use]
pub fn r_peak(curves: &Curves, voices: &Voices, at: usize) -> usize {
    // Of every lead: the best four may change from one stretch to the next, and the peak with them.
    let (start, heights) = heights(curves, voices, at, voices.heard.len());
    let strong = STRONG * heights[first_highest(&heights)];
    let is_top = |i: usize| {
        heights[i] >= strong
            && (i == 0 || heights[i] >= heights[i - 1])
            && (i + 1 == heights.len() || heights[i] > heights[i + 1])
    };
    start + (0..heights.len()).find(|i| is_top(*i)).unwrap_or(0)
}

/// Heights around a place of the best so many leads, and where they start.
fn heights(curves: &Curves, voices: &Voices, at: usize, best: usize) -> (usize, Buffer<f32>) {
    let reach = count(REFINE_S, curves.fs_hz);
    let start = at.saturating_sub(reach);
    let end = (at + reach + 1).min(curves.samples);
    let mut heights = zeros(end - start);
    for (lead, gain) in voices.heard.iter().zip(voices.gains.iter()).take(best) {
        for (sum, v) in heights.iter_mut().zip(&curves.qrs(*lead)[start..end]) {
            *sum += gain * (v * v);
        }
    }
    (start, heights)
}

fn first_highest(x: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in x.iter().enumerate() {
        if *v > x[best] {
            best = i;
        }
    }
    best
}

/// Weighted sum of the leads' squared QRS bands.
#[must_use]
pub fn height(curves: &Curves, voices: &Voices, at: usize) -> f32 {
    let mut sum = 0.0;
    for (lead, gain) in voices.heard.iter().zip(voices.gains.iter()) {
        let v = curves.qrs(*lead)[at];
        sum += gain * (v * v);
    }
    sum
}

/// For each place how well its shape agrees with the three most similar ones nearby, -1 to 1.
fn likeness(curves: &Curves, voices: &Voices, peak: &[usize]) -> Buffer<f64> {
    let n = peak.len();
    let mut best: Buffer<f64> = leftover(n * BEST);
    best.fill(f64::NEG_INFINITY);
    let shapes = read_shapes(curves, voices, peak);
    let size = voices.voters.len() * POINTS;
    dispatch(
        #[inline(always)]
        || {
            for (k, one) in shapes.chunks_exact(size.max(1)).enumerate() {
                let others = shapes.chunks_exact(size.max(1)).enumerate();
                for (j, other) in others.skip(k + 1).take(COMPARED) {
                    let alike = dot(one, other).into();
                    keep_best(&mut best[k * BEST..(k + 1) * BEST], alike);
                    keep_best(&mut best[j * BEST..(j + 1) * BEST], alike);
                }
            }
        },
    );
    let mut likeness = empty();
    likeness.extend(best.chunks_exact(BEST).map(mean_of_known));
    likeness
}

/// Shapes of beats in the voters' leads, beat after beat: dot products of two are weighed votes.
#[must_use]
pub fn read_shapes(curves: &Curves, voices: &Voices, peak: &[usize]) -> Buffer<f32> {
    let voters = &voices.voters;
    let share: f64 = voters.iter().map(|lead| voices.weights[*lead]).sum();
    let mut shapes: Buffer<f32> = leftover(peak.len() * voters.len() * POINTS);
    let grid = Grid::at(curves.fs_hz);
    for (k, out) in shapes.chunks_exact_mut(POINTS).enumerate() {
        let lead = voters[k % voters.len()];
        let weight = (voices.weights[lead] / share) as f32;
        grid.read(curves.qrs(lead), peak[k / voters.len()], weight, out);
    }
    shapes
}

/// Where the points of a shape lie around its peak: whole samples, and the part of one beyond them.
struct Grid {
    offsets: [isize; POINTS],
    parts: [f32; POINTS],
}

impl Grid {
    fn at(fs_hz: f64) -> Self {
        let position = |i: usize| (i as f64 - (POINTS - 1) as f64 / 2.0) * POINT_S * fs_hz;
        Self {
            offsets: std::array::from_fn(|i| position(i).floor() as isize),
            parts: std::array::from_fn(|i| (position(i) - position(i).floor()) as f32),
        }
    }

    /// Read a shape by linear interpolation, scaled so that the dot product of two is weighed.
    fn read(&self, qrs: &[f32], peak: usize, weight: f32, out: &mut [f32]) {
        let last = qrs.len() - 2;
        let mut length = 0.0_f32;
        for (out, (offset, part)) in out.iter_mut().zip(self.offsets.iter().zip(&self.parts)) {
            let left = peak.saturating_add_signed(*offset).min(last);
            *out = qrs[left] + (qrs[left + 1] - qrs[left]) * part;
            length += *out * *out;
        }
        let scale = if length > 0.0 { (weight / length).sqrt() } else { 0.0 };
        for out in out {
            *out *= scale;
        }
    }
}

/// Dot product, summed over lanes and then from half to half.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; POINTS];
    for (a, b) in a.chunks_exact(POINTS).zip(b.chunks_exact(POINTS)) {
        for i in 0..POINTS {
            sums[i] += a[i] * b[i];
        }
    }
    let mut half = POINTS / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// Keep the highest values, highest first.
#[inline(always)]
fn keep_best(best: &mut [f64], mut value: f64) {
    for slot in best {
        if value > *slot {
            std::mem::swap(slot, &mut value);
        }
    }
}

/// A lone candidate can neither be confirmed nor refuted.
fn mean_of_known(best: &[f64]) -> f64 {
    let known = best.iter().filter(|v| v.is_finite()).count();
    if known == 0 {
        return 0.5;
    }
    best[..known].iter().sum::<f64>() / known as f64
}

/// Usual height of a curve's maxima at each place.
struct Levels {
    medians: Buffer<f64>,
    floor: f64,
    length: usize,
}

impl Levels {
    fn of(curve: &[f32], fs_hz: f64) -> Self {
        let mut maxima = block_maxima(curve, BLOCK_S, fs_hz);
        let medians = running_median(&maxima, BLOCKS);
        maxima.sort_unstable_by(f64::total_cmp);
        let floor = FLOOR * maxima[(3 * maxima.len() / 4).min(maxima.len() - 1)];
        Self { medians, floor, length: curve.len() }
    }

    fn at(&self, place: usize) -> f64 {
        self.medians[place * self.medians.len() / self.length].max(self.floor).max(1e-9)
    }
}

/// What the places are measured in.
struct Scene<'a> {
    fs_hz: f64,
    pair: &'a Pair<'a>,
    at: &'a [usize],
    energy_levels: Levels,
    envelope_levels: Levels,
}

impl Scene<'_> {
    #[inline(always)]
    fn features(&self, k: usize, likeness: f64) -> Features {
        let at = self.at[k];
        let energy = self.pair.energy;
        let height = f64::from(energy[at]).max(1e-12);
        let envelope = highest(window(self.pair.envelope, at, count(REFINE_S, self.fs_hz)));
        let valley = count(VALLEY_S, self.fs_hz);
        let end = (at + valley).min(energy.len());
        let around = window(energy, at, count(AROUND_S, self.fs_hz));
        let others = self.others(k);
        let log = |ratio: f64, low: f64, high: f64| ratio.max(1e-3).ln().clamp(low, high);
        [
            log(height / self.energy_levels.at(at), -3.0, 1.5),
            log(envelope / self.envelope_levels.at(at), -3.0, 1.5),
            likeness,
            log(others[0] / height, -2.0, 2.0),
            log(others[1] / height, -2.0, 2.0),
            log(others[2] / height, -2.0, 2.0),
            log(others[3] / height, -2.0, 2.0),
            (lowest(&energy[at.saturating_sub(valley)..=at]) / height).min(1.0),
            (lowest(&energy[at..end]) / height).min(1.0),
            (total(around) / around.len() as f64 / height).min(1.0),
            log(envelope / height * self.pair.ratio, -2.0, 2.0),
        ]
    }

    /// Heights of the highest places shortly before, shortly after, long before and long after.
    #[inline(always)]
    fn others(&self, k: usize) -> [f64; 4] {
        let mut highest = [0.0_f64; 4];
        let near = self.at.iter().enumerate().skip(k.saturating_sub(NEIGHBOURS));
        for (j, at) in near.take(2 * NEIGHBOURS + 1) {
            let away_s = (*at as f64 - self.at[k] as f64) / self.fs_hz;
            let place = usize::from(away_s >= 0.0) + 2 * usize::from(away_s.abs() > NEAR_S);
            if j != k && away_s.abs() < FAR_S {
                highest[place] = highest[place].max(f64::from(self.pair.energy[*at]));
            }
        }
        highest
    }
}

#[inline(always)]
fn window(x: &[f32], at: usize, reach: usize) -> &[f32] {
    &x[at.saturating_sub(reach)..(at + reach + 1).min(x.len())]
}

#[inline(always)]
fn lowest(x: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut least = [f32::INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            least[i] = if chunk[i] < least[i] { chunk[i] } else { least[i] };
        }
    }
    least.iter().chain(tail).fold(f32::INFINITY, |a, v| if *v < a { *v } else { a }).into()
}
