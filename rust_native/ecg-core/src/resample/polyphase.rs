//! A rational resampler: one short filter for each phase of the output.

use crate::error::Error;
use crate::leads::{Leads, Sample};
use crate::scratch::{self, Pooled};
use crate::simd::{self, Kernel};
use std::f64::consts::PI;
use std::ops::{Add, Mul, Sub};

/// Largest integer of a ratio of rates.
const MOST: usize = 20_000;
/// Zero crossings of the sinc on each side, and the shape of its window, as in `scipy`.
const CROSSINGS: usize = 10;
const BETA: f64 = 5.0;
/// Outputs that are summed up side by side, in so many groups of a vector each.
const LANES: usize = 16;
const GROUPS: usize = 4;

trait Real: Sample + Pooled + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {}
impl Real for f32 {}
impl Real for f64 {}

/// Resample every lead, its ends extended by their image in a point.
pub(super) fn resample<S: Sample>(
    x: &Leads<S>,
    fs_in: f64,
    fs_out: f64,
    out: &mut [S],
) -> Result<(), Error> {
    let (up, down) = ratio(fs_in, fs_out)?;
    let rows = x.rows().zip(out.chunks_exact_mut(out.len() / x.count()));
    if up == down {
        rows.for_each(|(row, out)| out.copy_from_slice(row));
    } else if S::IS_F32 {
        let bank = FilterBank::<f32>::new(up, down);
        rows.for_each(|(row, out)| bank.read(row, out));
    } else {
        let bank = FilterBank::<f64>::new(up, down);
        rows.for_each(|(row, out)| bank.read(row, out));
    }
    Ok(())
}

/// `fs_out / fs_in` in lowest terms, by its continued fraction.
fn ratio(fs_in: f64, fs_out: f64) -> Result<(usize, usize), Error> {
    let wanted = fs_out / fs_in;
    let (mut above, mut below) = ((0, 1), (1, 0));
    let mut rest = wanted;
    loop {
        let whole = rest as usize;
        let next =
            (whole.saturating_mul(below.0) + above.0, whole.saturating_mul(below.1) + above.1);
        (above, below) = (below, next);
        let (up, down) = next;
        if up > MOST || down > MOST {
            let must = "a ratio of integers up to 20000 to fs_in for method polyphase";
            return Err(Error::Parameter { name: "fs_out", must, value: fs_out });
        }
        if (up as f64 / down as f64 - wanted).abs() < 1e-12 * wanted {
            return Ok((up, down));
        }
        rest = 1.0 / (rest - whole as f64);
    }
}

/// The low-pass, cut into phases: output `up m + r` is `Σ taps[r][k] x[down m + starts[r] + k]`.
struct FilterBank<T: Pooled> {
    up: usize,
    down: usize,
    /// Samples that the filter reaches beyond a place.
    reach: usize,
    /// `up` rows of `width`.
    taps: scratch::Buffer<T>,
    width: usize,
    /// First sample of each phase, counted from `reach` before the first sample.
    starts: scratch::Buffer<usize>,
}

impl<T: Real> FilterBank<T> {
    fn new(up: usize, down: usize) -> Self {
        let half = CROSSINGS * up.max(down);
        let reach = half / up + 1;
        let width = 2 * half / up + 1;
        let mut bank = Self {
            up,
            down,
            reach,
            taps: scratch::zeros(up * width),
            width,
            starts: scratch::zeros(up),
        };
        let table = lowpass(half, up.max(down));
        let gain = up as f64 / (2.0 * table.iter().sum::<f64>() - table[0]);
        for phase in 0..up {
            // Place of the phase on the axis of the up-sampled signal, and its first sample there.
            let place = phase * down;
            let start = (place + reach * up - half).div_ceil(up);
            bank.starts[phase] = start;
            for k in 0..width {
                let distance = ((start + k) * up).abs_diff(place + reach * up);
                let tap = table.get(distance).copied().unwrap_or(0.0);
                bank.taps[phase * width + k] = T::from_f64(gain * tap);
            }
        }
        bank
    }

    fn read<S: Sample>(&self, row: &[S], out: &mut [S]) {
        let level = row[row.len() / 2];
        let (parts, length) = self.parted(row, level.into(), out.len());
        let (mut taps, mut places) = (scratch::empty(), scratch::empty());
        for phase in 0..self.up {
            self.terms(phase, length, &mut taps, &mut places);
            let out = out.get_mut(phase..).unwrap_or_default();
            let source = Source { parts: &parts, taps: &taps, places: &places };
            simd::vectorize(Weighted { source, level, up: self.up, out });
        }
    }

    /// The taps of a phase and where among the parts the samples for its first output lie. At an
    /// integer ratio the sinc is zero at many samples: these are left out.
    fn terms(&self, phase: usize, length: usize, taps: &mut Vec<T>, places: &mut Vec<usize>) {
        taps.clear();
        places.clear();
        let start = self.starts[phase];
        let row = &self.taps[phase * self.width..(phase + 1) * self.width];
        for (k, tap) in row.iter().enumerate().filter(|(_, tap)| **tap != T::ZERO) {
            taps.push(*tap);
            places.push((start + k) % self.down * length + (start + k) / self.down);
        }
    }

    /// The extended lead without its level, every `down`-th sample side by side, and the length of
    /// each of these `down` parts.
    fn parted<S: Sample>(
        &self,
        row: &[S],
        level: f64,
        n_out: usize,
    ) -> (scratch::Buffer<T>, usize) {
        let outputs = n_out.div_ceil(self.up).next_multiple_of(GROUPS * LANES);
        let length = outputs + (self.down + self.width + self.reach).div_ceil(self.down) + 1;
        let mut parts = scratch::leftover::<T>(self.down * length);
        for (part, target) in parts.chunks_exact_mut(length).enumerate() {
            // The first of these that is a sample, and which sample it is.
            let inside = self.reach.saturating_sub(part).div_ceil(self.down).min(length);
            let first = (inside * self.down + part).saturating_sub(self.reach).min(row.len());
            let filled = (inside + (row.len() - first).div_ceil(self.down)).min(length);
            simd::vectorize(Picked {
                row: &row[first..],
                every: self.down,
                level,
                out: &mut target[inside..],
            });
            for i in (0..inside).chain(filled..length) {
                target[i] = T::from_f64(extended(row, i * self.down + part, self.reach) - level);
            }
        }
        (parts, length)
    }
}

/// The sample at `place - reach`; beyond the ends the image in a point, and at last its last value.
fn extended<S: Sample>(row: &[S], place: usize, reach: usize) -> f64 {
    let last = row.len() - 1;
    if place < reach {
        let image: f64 = row[(reach - place).min(last)].into();
        return 2.0 * Into::<f64>::into(row[0]) - image;
    }
    let at = place - reach;
    if at <= last {
        return row[at].into();
    }
    let image: f64 = row[last - (at - last).min(last)].into();
    2.0 * Into::<f64>::into(row[last]) - image
}

/// Every so many samples, without a level.
struct Picked<'a, S, T> {
    row: &'a [S],
    every: usize,
    level: f64,
    out: &'a mut [T],
}

impl<S: Sample, T: Real> Kernel for Picked<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { row, every, level, out } = self;
        let level = T::from_f64(level);
        let less = |v: S| T::from_f64(v.into()) - level;
        if every == 2 {
            // The rate of the model is half of a usual one: worth vectors.
            let (pairs, rest) = row.as_chunks::<2>();
            for (target, [v, _]) in out.iter_mut().zip(pairs) {
                *target = less(*v);
            }
            if let (Some(v), Some(target)) = (rest.first(), out.get_mut(pairs.len())) {
                *target = less(*v);
            }
            return;
        }
        for (target, v) in out.iter_mut().zip(row.iter().step_by(every)) {
            *target = less(*v);
        }
    }
}

/// What the outputs of one phase are made of.
struct Source<'a, T> {
    parts: &'a [T],
    taps: &'a [T],
    places: &'a [usize],
}

impl<T: Real> Source<'_, T> {
    /// [`GROUPS`] times [`LANES`] outputs from `first` on.
    #[inline(always)]
    fn sums(&self, first: usize) -> [[T; LANES]; GROUPS] {
        let parts = self.parts.get(first..).unwrap_or_default();
        let zero = [T::ZERO; LANES];
        let (mut a, mut b, mut c, mut d) = (zero, zero, zero, zero);
        for (tap, place) in self.taps.iter().zip(self.places) {
            let Some(values) = parts.get(*place..*place + GROUPS * LANES) else { break };
            let (groups, _) = values.as_chunks::<LANES>();
            let [e, f, g, h] = groups else { break };
            a = plus(a, e, *tap);
            b = plus(b, f, *tap);
            c = plus(c, g, *tap);
            d = plus(d, h, *tap);
        }
        [a, b, c, d]
    }
}

/// All outputs of one phase: every `up`-th of `out`.
struct Weighted<'a, S, T> {
    source: Source<'a, T>,
    level: S,
    up: usize,
    out: &'a mut [S],
}

impl<S: Sample, T: Real> Kernel for Weighted<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let level = self.level.into();
        let frames = self.out.chunks_mut(self.up * GROUPS * LANES);
        for (i, out) in frames.enumerate() {
            let sums = self.source.sums(i * GROUPS * LANES);
            let sums = sums.as_flattened();
            if self.up == 1 {
                for (target, sum) in out.iter_mut().zip(sums) {
                    *target = S::from_f64((*sum).into() + level);
                }
            } else {
                for (target, sum) in out.iter_mut().step_by(self.up).zip(sums) {
                    *target = S::from_f64((*sum).into() + level);
                }
            }
        }
    }
}

#[inline(always)]
fn plus<T: Real>(sum: [T; LANES], values: &[T; LANES], tap: T) -> [T; LANES] {
    let mut out = sum;
    for i in 0..LANES {
        out[i] = sum[i] + values[i] * tap;
    }
    out
}

/// A sinc with zeros every `spacing`, under a Kaiser window of `half` to each side: its right half.
fn lowpass(half: usize, spacing: usize) -> scratch::Buffer<f64> {
    let most = bessel_i0(BETA);
    let mut table = scratch::empty();
    table.extend((0..=half).map(|distance| {
        let along = distance as f64 / half as f64;
        let window = bessel_i0(BETA * (1.0 - along * along).sqrt()) / most;
        let angle = PI * distance as f64 / spacing as f64;
        match distance {
            0 => window,
            _ if distance % spacing == 0 => 0.0,
            _ => window * angle.sin() / angle,
        }
    }));
    table
}

/// Modified Bessel function of order zero, by its series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = 0.25 * x * x;
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= quarter / f64::from(k * k);
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    sum
}
