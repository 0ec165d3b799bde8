//! One value for each of sixteen leads (or stretches of a lead), and the arithmetic on them.

use super::machine::Runs;
use super::turn::Turns;
use crate::leads::Sample;
use crate::scratch::Pooled;
use std::ops::{Add, Mul, Sub};

/// Lanes of one group.
pub(crate) const LANES: usize = 16;

/// One value for each lane.
pub(crate) type Lanes<T> = [T; LANES];

/// The type in which the recursion runs.
pub(crate) trait Real:
    Sample
    + Pooled
    + Runs
    + Turns
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
{
    /// States below this become zero, before subnormal numbers slow the processor down.
    const FLOOR: Self;
}

impl Real for f32 {
    const FLOOR: Self = 1e-15;
}

impl Real for f64 {
    const FLOOR: Self = 1e-100;
}

#[inline(always)]
pub(crate) fn add<T: Real, const W: usize>(a: [T; W], b: [T; W]) -> [T; W] {
    let mut out = a;
    for i in 0..W {
        out[i] = a[i] + b[i];
    }
    out
}

#[inline(always)]
pub(crate) fn mul<T: Real, const W: usize>(a: [T; W], by: T) -> [T; W] {
    let mut out = a;
    for i in 0..W {
        out[i] = a[i] * by;
    }
    out
}

#[inline(always)]
pub(crate) fn flush<T: Real>(state: &mut T) {
    let small = *state < T::FLOOR && *state > T::ZERO - T::FLOOR;
    *state = if small { T::ZERO } else { *state };
}
