//! The joints between the stretches of a lead that are filtered side by side.

use super::bank::MAX_STATES;
use super::cascade::Cascade;
use super::lanes::{LANES, Lanes, Real, add, mul};
use super::zero_phase::{BLOCK, Plan};
use crate::scratch;
use crate::simd::{self, Kernel};

/// What one stretch owes to the one before it.
pub(super) struct Joints<T: Real> {
    /// Response of the output to a unit of each state, by step: lane `k` belongs to state `k`.
    responses: scratch::Buffer<T>,
    /// The states after all steps that a unit of each state becomes, likewise.
    carried: [Lanes<T>; MAX_STATES],
    states: usize,
}

impl<T: Real> Joints<T> {
    pub(super) fn new(mut cascade: Cascade<T>, steps: usize) -> Self {
        let states = cascade.states().unwrap_or(0);
        let mut unit = [[T::ZERO; LANES]; MAX_STATES];
        for (k, state) in unit.iter_mut().enumerate() {
            state[k] = T::from_f64(1.0);
        }
        cascade.load(&unit);
        let mut responses = scratch::zeros::<T>(steps * LANES);
        let (lanes, _) = responses.as_chunks_mut::<LANES>();
        for block in lanes.chunks_mut(BLOCK) {
            cascade.run(block, states, false);
        }
        Self { carried: cascade.save(), responses, states }
    }

    /// Add to each lane the response to the states that the lane before it ended in.
    pub(super) fn add(
        &self,
        plan: &Plan,
        end: &[Lanes<T>; MAX_STATES],
        backwards: bool,
        lanes: &mut [Lanes<T>],
    ) {
        let start = self.starts(plan, end, backwards);
        let start = &start[..self.states];
        let (responses, _) = self.responses.as_chunks::<LANES>();
        simd::vectorize(Respond { start, responses, lanes, backwards });
    }

    /// The states in which each lane should have begun.
    fn starts(
        &self,
        plan: &Plan,
        end: &[Lanes<T>; MAX_STATES],
        backwards: bool,
    ) -> [Lanes<T>; MAX_STATES] {
        let mut start = [[T::ZERO; LANES]; MAX_STATES];
        let lanes = plan.lanes();
        for i in 0..lanes {
            let lane = if backwards { lanes - 1 - i } else { i };
            let Some(before) = plan.before(lane, backwards) else { continue };
            for state in 0..self.states {
                let mut value = end[state][before];
                for (carried, start) in self.carried[state].iter().zip(&start) {
                    value = value + *carried * start[before];
                }
                start[state][lane] = value;
            }
        }
        start
    }
}

struct Respond<'a, T> {
    start: &'a [Lanes<T>],
    responses: &'a [Lanes<T>],
    lanes: &'a mut [Lanes<T>],
    backwards: bool,
}

impl<T: Real> Kernel for Respond<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let last = self.lanes.len() - 1;
        for (i, response) in self.responses.iter().enumerate() {
            let lane = &mut self.lanes[if self.backwards { last - i } else { i }];
            let mut sum = *lane;
            for (state, by) in self.start.iter().zip(response) {
                sum = add(sum, mul(*state, *by));
            }
            *lane = sum;
        }
    }
}
