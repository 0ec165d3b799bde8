//! The curves that beats are read from: QRS band, slope energy and envelope of each lead.
//!
//! A lead is centred, decimated by plain averages to 110 to 220 Hz and mirrored at both ends.
//! All filters are centred moving averages, summed by doubling: `log2(width)` additions a sample,
//! each along time, so that one lead fills the vector lanes as well as twelve. The tree of additions
//! is the same for every output, so that vector widths and backends give the same bits.

use crate::leads::{Leads, Sample};
use crate::moving_sum::{Levels, moving_sum};
use crate::scratch::{Buffer, empty, leftover};
use crate::simd::dispatch;

const HALVED_FROM_HZ: f64 = 220.0;
const SHORT_S: f64 = 0.016;
const LONG_S: f64 = 0.080;
const SLOPE_S: f64 = 0.008;
const ENERGY_S: f64 = 0.120;
const ENVELOPE_S: f64 = 0.060;
/// Outputs of one block: its intermediate sums stay in a near cache.
const BLOCK: usize = 4096;

/// Samples in `seconds`, rounded half up, at least one.
#[must_use]
pub fn count(seconds: f64, fs_hz: f64) -> usize {
    ((seconds * fs_hz + 0.5) as usize).max(1)
}

/// Recorded samples to a decimated one: the rate is halved until it lies below 220 Hz.
#[must_use]
pub fn step_at(fs_hz: f64) -> usize {
    let mut step = 1;
    while fs_hz / step as f64 >= HALVED_FROM_HZ {
        step *= 2;
    }
    step
}

/// Widths of the moving averages, odd, in decimated samples.
#[derive(Debug, Clone, Copy)]
struct Widths {
    short: usize,
    long: usize,
    slope: usize,
    energy: usize,
    envelope: usize,
}

impl Widths {
    fn at(fs_hz: f64) -> Self {
        let odd = |seconds| count(seconds, fs_hz) | 1;
        Self {
            short: odd(SHORT_S),
            long: odd(LONG_S),
            slope: count(SLOPE_S, fs_hz),
            energy: odd(ENERGY_S),
            envelope: odd(ENVELOPE_S),
        }
    }

    /// Samples before the first output of the QRS band.
    fn band_halo(&self) -> usize {
        self.long - 1
    }

    /// Samples before the first output of the energies.
    fn halo(&self) -> usize {
        self.band_halo() + (self.slope + self.energy / 2).max(self.envelope / 2)
    }
}

/// The curves of all leads, lead after lead.
#[derive(Debug)]
pub struct Curves {
    /// Samples per second after decimation.
    pub fs_hz: f64,
    /// Recorded samples to one decimated sample.
    pub step: usize,
    /// Samples of each curve: the recording's after decimation.
    pub samples: usize,
    /// Number of leads.
    pub leads: usize,
    centres: Buffer<f64>,
    smooth: Buffer<f32>,
    qrs: Buffer<f32>,
    energy: Buffer<f32>,
    envelope: Buffer<f32>,
    rest: Buffer<f32>,
}

impl Curves {
    /// Decimate, extend and filter every lead.
    #[must_use]
    pub fn of<S: Sample>(x: &Leads<S>, fs_hz: f64) -> Self {
        let step = step_at(fs_hz);
        let fs_hz = fs_hz / step as f64;
        let (samples, leads) = (x.samples() / step, x.count());
        let mut curves = Self {
            fs_hz,
            step,
            samples,
            leads,
            centres: empty(),
            smooth: leftover(leads * samples),
            qrs: leftover(leads * samples),
            energy: leftover(leads * samples),
            envelope: leftover(leads * samples),
            rest: leftover(leads * samples),
        };
        let widths = Widths::at(fs_hz);
        let mut extended = leftover(samples + 2 * widths.halo());
        for (lead, row) in x.rows().enumerate() {
            let centre = extend(row, step, samples, &mut extended);
            curves.centres.push(centre);
            dispatch(
                #[inline(always)]
                || curves.fill(lead, &extended, widths),
            );
        }
        curves
    }

    /// Seconds that the curves last.
    #[must_use]
    pub fn duration_s(&self) -> f64 {
        self.samples as f64 / self.fs_hz
    }

    /// What the lead rests on at a decimated sample, in the units it was recorded in.
    #[must_use]
    pub fn baseline(&self, lead: usize, at: usize) -> f64 {
        self.centres[lead] + f64::from(self.smooth(lead)[at] - self.qrs(lead)[at])
    }

    /// Low-pass of a lead, about 25 Hz, mV.
    #[must_use]
    pub fn smooth(&self, lead: usize) -> &[f32] {
        &self.smooth[lead * self.samples..][..self.samples]
    }

    /// The band of the QRS complex, about 5 to 25 Hz, mV.
    #[must_use]
    pub fn qrs(&self, lead: usize) -> &[f32] {
        &self.qrs[lead * self.samples..][..self.samples]
    }

    /// Root mean square of the slope around each sample.
    #[must_use]
    pub fn energy(&self, lead: usize) -> &[f32] {
        &self.energy[lead * self.samples..][..self.samples]
    }

    /// Mean magnitude of the QRS band around each sample, mV.
    #[must_use]
    pub fn envelope(&self, lead: usize) -> &[f32] {
        &self.envelope[lead * self.samples..][..self.samples]
    }

    /// What lies above the low-pass, mV.
    #[must_use]
    pub fn rest(&self, lead: usize) -> &[f32] {
        &self.rest[lead * self.samples..][..self.samples]
    }

    #[inline(always)]
    fn fill(&mut self, lead: usize, extended: &[f32], widths: Widths) {
        let from = lead * self.samples;
        let mut work = Work::new(BLOCK.min(self.samples), widths);
        let mut at = 0;
        while at < self.samples {
            let n = BLOCK.min(self.samples - at);
            let out = from + at..from + at + n;
            work.run(&extended[at..at + n + 2 * widths.halo()], n, widths);
            let skip = widths.halo() - widths.band_halo();
            self.smooth[out.clone()].copy_from_slice(&work.smooth[skip..skip + n]);
            self.qrs[out.clone()].copy_from_slice(&work.qrs[skip..skip + n]);
            self.rest[out.clone()].copy_from_slice(&work.rest[skip..skip + n]);
            self.energy[out.clone()].copy_from_slice(&work.energy[..n]);
            self.envelope[out].copy_from_slice(&work.envelope[..n]);
            at += n;
        }
    }
}

/// Intermediate curves of one block.
struct Work {
    smooth: Buffer<f32>,
    qrs: Buffer<f32>,
    rest: Buffer<f32>,
    energy: Buffer<f32>,
    envelope: Buffer<f32>,
    long: Buffer<f32>,
    between: Buffer<f32>,
    levels: Levels,
}

impl Work {
    fn new(block: usize, widths: Widths) -> Self {
        let room = || leftover(block + 2 * widths.halo());
        Self {
            smooth: room(),
            qrs: room(),
            rest: room(),
            energy: room(),
            envelope: room(),
            long: room(),
            between: room(),
            levels: std::array::from_fn(|_| room()),
        }
    }

    /// Fill the curves of a block of `n` outputs from its samples and the halo on both sides.
    #[inline(always)]
    fn run(&mut self, x: &[f32], n: usize, w: Widths) {
        let skip = w.halo() - w.band_halo();
        let band = n + 2 * skip;
        self.averages(x, band, w);
        let first = w.band_halo();
        let parts = self.smooth[..band].iter().zip(&self.long[..band]).zip(&x[first..first + band]);
        let outs = self.qrs[..band].iter_mut().zip(&mut self.rest[..band]);
        for ((qrs, rest), ((smooth, long), raw)) in outs.zip(parts) {
            *qrs = smooth - long;
            *rest = raw - smooth;
        }
        self.slopes(n, skip, w);
        self.magnitudes(n, skip, w);
    }

    /// Short and long average, each twice, of the same `band` samples.
    #[inline(always)]
    fn averages(&mut self, x: &[f32], band: usize, w: Widths) {
        let skip = w.long - w.short;
        let near = &x[skip..skip + band + 2 * (w.short - 1)];
        let (between, levels) = (&mut self.between, &mut self.levels);
        let share = 1.0 / (w.short * w.short) as f32;
        moving_sum(near, w.short, between, levels, |sum| sum);
        let once = &between[..band + w.short - 1];
        moving_sum(once, w.short, &mut self.smooth, levels, |sum| sum * share);
        let share = 1.0 / (w.long * w.long) as f32;
        moving_sum(&x[..band + 2 * (w.long - 1)], w.long, between, levels, |sum| sum);
        let once = &between[..band + w.long - 1];
        moving_sum(once, w.long, &mut self.long, levels, |sum| sum * share);
    }

    #[inline(always)]
    fn slopes(&mut self, n: usize, skip: usize, w: Widths) {
        let room = n + w.energy - 1;
        let first = skip - w.energy / 2 - w.slope;
        let before = &self.qrs[first..first + room];
        let after = &self.qrs[first + 2 * w.slope..first + 2 * w.slope + room];
        for ((out, a), b) in self.between[..room].iter_mut().zip(before).zip(after) {
            let slope = b - a;
            *out = slope * slope;
        }
        let share = 1.0 / w.energy as f32;
        let root = |sum: f32| (sum * share).sqrt();
        moving_sum(&self.between[..room], w.energy, &mut self.energy, &mut self.levels, root);
    }

    #[inline(always)]
    fn magnitudes(&mut self, n: usize, skip: usize, w: Widths) {
        let room = n + w.envelope - 1;
        let first = skip - w.envelope / 2;
        for (out, v) in self.between[..room].iter_mut().zip(&self.qrs[first..first + room]) {
            *out = v.abs();
        }
        let share = 1.0 / w.envelope as f32;
        let mean = |sum: f32| sum * share;
        moving_sum(&self.between[..room], w.envelope, &mut self.envelope, &mut self.levels, mean);
    }
}

/// Centre a lead between its extremes, average `step` samples, mirror both ends as far as needed;
/// tells the centre.
fn extend<S: Sample>(row: &[S], step: usize, samples: usize, out: &mut [f32]) -> f64 {
    let margin = (out.len() - samples) / 2;
    let centre = dispatch(
        #[inline(always)]
        || decimate(row, step, &mut out[margin..margin + samples]),
    );
    let period = (2 * (samples - 1)).max(1);
    for i in 1..=margin {
        let inside = i % period;
        let inside = if inside < samples { inside } else { period - inside };
        out[margin - i] = out[margin + inside];
        out[margin + samples - 1 + i] = out[margin + samples - 1 - inside];
    }
    centre
}

#[inline(always)]
fn decimate<S: Sample>(row: &[S], step: usize, out: &mut [f32]) -> f64 {
    let centre = middle(row);
    match step {
        1 => average::<S, 1>(row, centre, out),
        2 => average::<S, 2>(row, centre, out),
        4 => average::<S, 4>(row, centre, out),
        8 => average::<S, 8>(row, centre, out),
        _ => average::<S, 16>(row, centre, out),
    }
    centre.into()
}

/// Half way between the lowest and the highest sample.
#[inline(always)]
fn middle<S: Sample>(row: &[S]) -> S {
    const LANES: usize = 32;
    let (mut low, mut high) = ([row[0]; LANES], [row[0]; LANES]);
    let chunks = row.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
            high[i] = if chunk[i] > high[i] { chunk[i] } else { high[i] };
        }
    }
    let least = low.iter().chain(tail).fold(row[0], |a, v| if *v < a { *v } else { a });
    let most = high.iter().chain(tail).fold(row[0], |a, v| if *v > a { *v } else { a });
    S::from_f64(0.5 * (least.into() + most.into()))
}

#[inline(always)]
fn average<S: Sample, const STEP: usize>(row: &[S], centre: S, out: &mut [f32]) {
    let share = 1.0 / STEP as f32;
    for (out, group) in out.iter_mut().zip(row.chunks_exact(STEP)) {
        let mut sum = (group[0] - centre).narrow();
        for v in &group[1..] {
            sum += (*v - centre).narrow();
        }
        *out = sum * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_repeat_as_often_as_needed() {
        let mut out = vec![0.0; 13];
        extend(&[-1.0_f64, 0.0, 1.0], 1, 3, &mut out);
        assert_eq!(out, [0., -1., 0., 1., 0., -1., 0., 1., 0., -1., 0., 1., 0.]);
        let mut out = vec![1.0; 5];
        extend(&[7.0_f32], 1, 1, &mut out);
        assert_eq!(out, [0.0; 5]);
    }

    #[test]
    fn blocks_and_lengths_leave_no_seam() {
        let x: Vec<f64> = (0..5000).map(|i| (f64::from(i) * 0.013).sin()).collect();
        let whole = Curves::of(&Leads::new(&x, 1, 5000).unwrap(), 200.0);
        let part = Curves::of(&Leads::new(&x[..3000], 1, 3000).unwrap(), 200.0);
        for i in 0..2900 {
            assert!((whole.qrs(0)[i] - part.qrs(0)[i]).abs() < 1e-6);
        }
    }
}
