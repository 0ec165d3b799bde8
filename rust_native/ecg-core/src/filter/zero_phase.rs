//! Forwards and backwards over a recording: its leads become lanes, its ends are extended.
//!
//! Up to sixteen leads are the lanes of one group. One to three leads would leave most lanes idle,
//! so each is cut into stretches that run side by side; what a stretch lacks is the response to
//! the states that the one before it ended in, which is linear and added afterwards.

use super::bank::MAX_STATES;
use super::cascade::Cascade;
use super::design::Design;
use super::joints::Joints;
use super::lanes::{LANES, Lanes, Real};
use super::turn::{self, Pieces};
use crate::leads::{Leads, Sample};
use crate::scratch;
use crate::simd::{self, Kernel};

const EDGE_S: f64 = 2.5;
/// Steps that stay in the first-level cache while they are filled, filtered and read out.
pub(super) const BLOCK: usize = 256;
/// Up to so many leads are cut into stretches, and no shorter than this.
const FEW_LEADS: usize = 3;
const LEAST_STRETCH: usize = 64;

/// What becomes of the level that is taken off before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The filter stops DC.
    Dropped,
    /// The filter passes DC: the level is added again.
    Restored,
}

/// Filter `x` into `out` (of the same size) forwards and backwards.
pub(crate) fn zero_phase<S: Sample>(
    design: &Design,
    x: &Leads<S>,
    fs_hz: f64,
    level: Level,
    out: &mut [S],
) {
    let few = x.count() <= FEW_LEADS;
    if S::IS_F32 && design.holds_in_f32 && !few {
        filtered::<S, f32>(design, x, fs_hz, level, out);
    } else {
        filtered::<S, f64>(design, x, fs_hz, level, out);
    }
}

fn filtered<S: Sample, T: Real>(
    design: &Design,
    x: &Leads<S>,
    fs_hz: f64,
    level: Level,
    out: &mut [S],
) {
    let cascade = Cascade::<T>::new(design);
    let samples = x.samples();
    let pad = ((EDGE_S * fs_hz + 0.5) as usize).min(samples - 1);
    let groups = x.data().chunks(LANES * samples).zip(out.chunks_mut(LANES * samples));
    for (rows, out) in groups {
        let leads = rows.len() / samples;
        let plan = Plan::new(leads, samples, pad, cascade.states().is_some());
        // Once for each direction; applied first, so that states stay far from subnormal numbers.
        let gain = T::from_f64(design.gain * design.gain);
        let group = Group { plan, rows, gain, levels: levels(rows, samples) };
        group.run(cascade, level, out);
    }
}

/// How leads lie in lanes: lane `lead * stretches + i` holds stretch `i` of a lead.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    leads: usize,
    samples: usize,
    pad: usize,
    stretches: usize,
    steps: usize,
    /// Steps before the extended lead begins, filled with its first value.
    slack: usize,
}

impl Plan {
    fn new(leads: usize, samples: usize, pad: usize, one_bank: bool) -> Self {
        let whole = samples + 2 * pad;
        let most = if leads <= FEW_LEADS && one_bank { LANES / leads } else { 1 };
        let stretches = most.min(whole / LEAST_STRETCH).max(1);
        let steps = whole.div_ceil(stretches);
        Self { leads, samples, pad, stretches, steps, slack: steps * stretches - whole }
    }

    pub(super) fn lanes(&self) -> usize {
        self.leads * self.stretches
    }

    /// Lead of a lane, and where its first step lies relative to the first sample of the lead.
    fn place(&self, lane: usize) -> (usize, isize) {
        let (lead, stretch) = (lane / self.stretches, lane % self.stretches);
        let before = (self.slack + self.pad).cast_signed();
        (lead, (stretch * self.steps).cast_signed() - before)
    }

    /// The lane that a lane goes on from, if any.
    pub(super) fn before(&self, lane: usize, backwards: bool) -> Option<usize> {
        let stretch = lane % self.stretches;
        match backwards {
            false if stretch > 0 => Some(lane - 1),
            true if stretch + 1 < self.stretches => Some(lane + 1),
            _ => None,
        }
    }
}

struct Group<'a, S, T> {
    plan: Plan,
    rows: &'a [S],
    levels: [S; LANES],
    gain: T,
}

impl<S: Sample, T: Real> Group<'_, S, T> {
    fn run(&self, cascade: Cascade<T>, level: Level, out: &mut [S]) {
        let steps = self.plan.steps;
        let mut memory = scratch::leftover::<T>(steps * LANES);
        let (lanes, _) = memory.as_chunks_mut::<LANES>();
        // Lanes that are none stay zero.
        let mut pieces = scratch::zeros::<T>(BLOCK * LANES);
        let Some(pieces) = pieces.as_chunks_mut().0.first_chunk_mut() else { return };
        if self.plan.stretches == 1 {
            self.forwards(cascade, lanes, pieces);
            self.backwards(cascade, lanes, |start, block| {
                self.drain(start, block, pieces, level, out);
            });
        } else {
            let joints = Joints::new(cascade, steps);
            let end = self.forwards(cascade, lanes, pieces);
            joints.add(&self.plan, &end, false, lanes);
            let end = self.backwards(cascade, lanes, |_, _| ());
            joints.add(&self.plan, &end, true, lanes);
            for (i, block) in lanes.chunks_mut(BLOCK).enumerate() {
                self.drain(i * BLOCK, block, pieces, level, out);
            }
        }
    }

    /// Fill and filter; the states at the end.
    fn forwards(
        &self,
        mut cascade: Cascade<T>,
        lanes: &mut [Lanes<T>],
        pieces: &mut Pieces<T>,
    ) -> [Lanes<T>; MAX_STATES] {
        for (i, block) in lanes.chunks_mut(BLOCK).enumerate() {
            simd::vectorize(Fill { group: self, start: i * BLOCK, pieces, block });
            if i == 0 {
                cascade.settle(&self.first_of_each(block, false));
            }
            cascade.run(block, self.plan.lanes(), false);
        }
        cascade.save()
    }

    /// Filter from the end and hand over each block that has samples in it; the states at the end.
    fn backwards(
        &self,
        mut cascade: Cascade<T>,
        lanes: &mut [Lanes<T>],
        mut done: impl FnMut(usize, &mut [Lanes<T>]),
    ) -> [Lanes<T>; MAX_STATES] {
        if let Some(block) = lanes.last_chunk::<1>() {
            cascade.settle(&self.first_of_each(block, true));
        }
        // Nothing before the first sample is wanted from a lane that is a whole lead.
        let needless = if self.plan.stretches == 1 { self.plan.pad / BLOCK } else { 0 };
        for (i, block) in lanes.chunks_mut(BLOCK).enumerate().skip(needless).rev() {
            cascade.run(block, self.plan.lanes(), true);
            done(i * BLOCK, block);
        }
        cascade.save()
    }

    /// The value that each lead begins with in its first lane; zero in the others.
    fn first_of_each(&self, block: &[Lanes<T>], backwards: bool) -> Lanes<T> {
        let mut first = block.first().copied().unwrap_or([T::ZERO; LANES]);
        for (lane, value) in first.iter_mut().enumerate() {
            if lane >= self.plan.lanes() || self.plan.before(lane, backwards).is_some() {
                *value = T::ZERO;
            }
        }
        first
    }

    /// Hand the samples of a block over to the leads they belong to.
    fn drain(
        &self,
        start: usize,
        block: &[Lanes<T>],
        pieces: &mut Pieces<T>,
        level: Level,
        out: &mut [S],
    ) {
        let Plan { samples, pad, stretches, .. } = self.plan;
        if stretches == 1 && start >= pad + samples {
            return;
        }
        simd::vectorize(Drain { group: self, start, block, pieces, level, out });
    }

    /// Samples of one lane from step `start` on, extended at both ends by their image in a point.
    #[inline(always)]
    fn read(&self, lane: usize, start: usize, piece: &mut [T]) {
        let Plan { samples, pad, .. } = self.plan;
        let (lead, place) = self.plan.place(lane);
        let place = place + start.cast_signed();
        let row = &self.rows[lead * samples..(lead + 1) * samples];
        let level = T::from_f64(self.levels[lead].into());
        let value = |v: S| (T::from_f64(v.into()) - level) * self.gain;
        let (first, last) = (value(row[0]), value(row[samples - 1]));
        let outside = (-place).max(0) as usize;
        let (before, piece) = piece.split_at_mut(outside.min(piece.len()));
        let from = place.max(0) as usize;
        let (inside, after) = piece.split_at_mut(samples.saturating_sub(from).min(piece.len()));
        if !before.is_empty() {
            let nearest = outside + 1 - before.len();
            let image = row.get(nearest..=pad).unwrap_or_default();
            let beyond = before.len().saturating_sub(image.len());
            before[..beyond].fill(first + first - value(row[pad]));
            for (target, v) in before[beyond..].iter_mut().rev().zip(image) {
                *target = first + first - value(*v);
            }
        }
        for (target, v) in inside.iter_mut().zip(row.get(from..).unwrap_or_default()) {
            *target = value(*v);
        }
        let image = &row[..(2 * samples - 1).saturating_sub(from.max(samples)).min(samples)];
        for (target, v) in after.iter_mut().zip(image.iter().rev()) {
            *target = last + last - value(*v);
        }
    }

    /// The reverse: the samples among the steps of one lane from `start` on.
    #[inline(always)]
    fn write(&self, lane: usize, start: usize, level: Level, piece: &[T], out: &mut [S]) {
        let samples = self.plan.samples;
        let (lead, place) = self.plan.place(lane);
        let place = place + start.cast_signed();
        let skip = ((-place).max(0) as usize).min(piece.len());
        let from = (place.max(0) as usize).min(samples);
        let len = (piece.len() - skip).min(samples - from);
        let row = &mut out[lead * samples + from..lead * samples + from + len];
        let offset = match level {
            Level::Dropped => T::ZERO,
            Level::Restored => T::from_f64(self.levels[lead].into()),
        };
        for (target, v) in row.iter_mut().zip(&piece[skip..skip + len]) {
            *target = S::from_f64((*v + offset).into());
        }
    }
}

/// One block of steps from the rows they come from.
struct Fill<'a, S, T> {
    group: &'a Group<'a, S, T>,
    start: usize,
    pieces: &'a mut Pieces<T>,
    block: &'a mut [Lanes<T>],
}

impl<S: Sample, T: Real> Kernel for Fill<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (lanes, len) = (self.group.plan.lanes(), self.block.len());
        for (lane, piece) in self.pieces.iter_mut().enumerate().take(lanes) {
            self.group.read(lane, self.start, &mut piece[..len]);
        }
        turn::to_steps(self.pieces, lanes, self.block);
    }
}

/// The rows from one block of steps.
struct Drain<'a, S, T> {
    group: &'a Group<'a, S, T>,
    start: usize,
    block: &'a [Lanes<T>],
    pieces: &'a mut Pieces<T>,
    level: Level,
    out: &'a mut [S],
}

impl<S: Sample, T: Real> Kernel for Drain<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (lanes, len) = (self.group.plan.lanes(), self.block.len());
        turn::to_pieces(self.block, lanes, self.pieces);
        for (lane, piece) in self.pieces.iter().enumerate().take(lanes) {
            self.group.write(lane, self.start, self.level, &piece[..len], self.out);
        }
    }
}

/// A sample near the middle of each lead. An offset of 300 mV would cost single precision its
/// digits; which value is taken off does not matter otherwise.
fn levels<S: Sample>(rows: &[S], samples: usize) -> [S; LANES] {
    const PROBES: usize = 15;
    let mut levels = [S::ZERO; LANES];
    for (level, row) in levels.iter_mut().zip(rows.chunks_exact(samples)) {
        let mut probes = [0.0; PROBES];
        for (i, probe) in probes.iter_mut().enumerate() {
            *probe = row[(samples - 1) * i / (PROBES - 1)].into();
        }
        probes.sort_unstable_by(f64::total_cmp);
        *level = S::from_f64(probes[PROBES / 2]);
    }
    levels
}
