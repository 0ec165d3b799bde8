//! Recursive sections over lanes: all of them advance by one sample.
//!
//! The sections of a bank run in one loop with their states in registers. Each takes what the one
//! before it gave a sample ago, so that none waits for another: what bounds the loop is the number
//! of additions, not how long a chain of them takes.

use super::design::{Design, HighPair, LowPair};
use super::lanes::{LANES, Lanes, Real, flush, mul};
use super::machine::{Machine, Task};
use std::cell::Cell;

/// Most sections and most states that a [`Bank`] has.
const MAX_SECTIONS: usize = 5;
pub(crate) const MAX_STATES: usize = 2 * MAX_SECTIONS;

/// `H` high-pass pairs, `O` first-order high- and low-passes, `N` notches and `L` low-pass pairs,
/// in this order.
#[derive(Clone, Copy)]
pub(crate) struct Bank<T, const H: usize, const L: usize, const N: usize, const O: usize> {
    coefficients: [[T; 3]; MAX_SECTIONS],
    /// Two of each section.
    states: [Lanes<T>; MAX_STATES],
}

impl<T: Real, const H: usize, const L: usize, const N: usize, const O: usize> Bank<T, H, L, N, O> {
    const SECTIONS: usize = H + O + N + L;
    /// Number of states.
    pub(crate) const STATES: usize = 2 * Self::SECTIONS;

    pub(crate) fn new(high: &[HighPair], low: &[LowPair], design: &Design) -> Self {
        let notch = design.notch.unwrap_or_default();
        let (pull, pole) = design.first_order.unwrap_or_default();
        let highs = high.iter().map(|pair| [pair.pull, pair.damping, 0.0]);
        let middle = [[pull, pole, 0.0]; O].into_iter().chain([[notch.a1, notch.a2, notch.b1]; N]);
        let lows = low.iter().map(|pair| [pair.a1, pair.a2, 0.0]);
        let mut coefficients = [[T::ZERO; 3]; MAX_SECTIONS];
        for (target, section) in coefficients.iter_mut().zip(highs.chain(middle).chain(lows)) {
            *target = section.map(T::from_f64);
        }
        Self { coefficients, states: [[T::ZERO; LANES]; MAX_STATES] }
    }

    /// Run over the first `lanes` lanes of `steps` in place, from the last to the first if
    /// `backwards`.
    pub(crate) fn pass(&mut self, steps: &mut [Lanes<T>], lanes: usize, backwards: bool) {
        T::run(Pass { bank: self, steps, lanes, backwards });
    }

    /// Take the steady state of a constant input and give the constant output.
    pub(crate) fn settle(&mut self, x: &Lanes<T>) -> Lanes<T> {
        self.states = [[T::ZERO; LANES]; MAX_STATES];
        if H > 0 {
            self.states[1] = *x;
            return [T::ZERO; LANES];
        }
        if O > 0 {
            self.states[0] = *x;
            return [T::ZERO; LANES];
        }
        let [a1, a2, b1] = self.coefficients[0].map(Into::<f64>::into);
        self.states[0] = mul(*x, T::from_f64(1.0 / (1.0 + a1 + a2)));
        self.states[1] = self.states[0];
        mul(self.states[0], T::from_f64(2.0 + b1))
    }

    pub(crate) fn save(&self) -> [Lanes<T>; MAX_STATES] {
        self.states
    }

    pub(crate) fn load(&mut self, saved: &[Lanes<T>; MAX_STATES]) {
        self.states = *saved;
    }
}

struct Pass<'a, T, const H: usize, const L: usize, const N: usize, const O: usize> {
    bank: &'a mut Bank<T, H, L, N, O>,
    steps: &'a mut [Lanes<T>],
    lanes: usize,
    backwards: bool,
}

impl<T: Real, const H: usize, const L: usize, const N: usize, const O: usize> Task<T>
    for Pass<'_, T, H, L, N, O>
{
    #[inline(always)]
    fn call<M: Machine<T>>(mut self, machine: M) {
        self.on_best(machine);
        self.bank.states.as_flattened_mut().iter_mut().for_each(flush);
    }
}

impl<T: Real, const H: usize, const L: usize, const N: usize, const O: usize>
    Pass<'_, T, H, L, N, O>
{
    #[inline(always)]
    fn on_best<M: Machine<T>>(&mut self, machine: M) {
        if H + O + N + L == 1 {
            // One section alone waits for itself: all lanes of it side by side hide that.
            self.on(machine.whole());
        } else {
            self.on(machine);
        }
    }

    #[inline(always)]
    fn on<M: Machine<T>>(&mut self, machine: M) {
        let coefficients = self.bank.coefficients.map(|section| section.map(|c| machine.splat(c)));
        let steps = Cell::from_mut(M::vectors(self.steps)).as_slice_of_cells();
        let states = M::vectors(&mut self.bank.states);
        for part in 0..(self.lanes * M::PARTS).div_ceil(LANES) {
            let state = |k: usize| states[k * M::PARTS + part];
            let mut sections = Sections::<T, M, H, L, N, O>::new(machine, coefficients, state);
            let steps = steps.iter().skip(part).step_by(M::PARTS);
            if self.backwards {
                sections.run(steps.rev());
            } else {
                sections.run(steps);
            }
            for k in 0..Bank::<T, H, L, N, O>::STATES {
                states[k * M::PARTS + part] = sections.states[k / 2][k % 2];
            }
        }
    }
}

/// The sections of a bank with some of its lanes.
struct Sections<T, M: Machine<T>, const H: usize, const L: usize, const N: usize, const O: usize> {
    machine: M,
    coefficients: [[M::Vector; 3]; MAX_SECTIONS],
    states: [[M::Vector; 2]; MAX_SECTIONS],
    /// Sum of the two states of a low-pass, which its last step has added up already.
    sums: [M::Vector; MAX_SECTIONS],
    /// What each section is to take next; at last, what comes out.
    between: [M::Vector; MAX_SECTIONS + 1],
}

impl<T: Real, M: Machine<T>, const H: usize, const L: usize, const N: usize, const O: usize>
    Sections<T, M, H, L, N, O>
{
    const SECTIONS: usize = H + O + N + L;
    /// How many steps the last section is behind the first: none where registers are too few for
    /// what lies between the sections.
    const BEHIND: usize = if M::REGISTERS < 32 { 0 } else { Self::SECTIONS - 1 };

    #[inline(always)]
    fn new(
        machine: M,
        coefficients: [[M::Vector; 3]; MAX_SECTIONS],
        state: impl Fn(usize) -> M::Vector,
    ) -> Self {
        let states: [_; MAX_SECTIONS] = std::array::from_fn(|k| [state(2 * k), state(2 * k + 1)]);
        let sums = states.map(|[a, b]| machine.add(a, b));
        Self { machine, coefficients, states, sums, between: [states[0][0]; MAX_SECTIONS + 1] }
    }

    /// Each section one step behind the one before it, if there are registers for that.
    #[inline(always)]
    fn run<'a>(&mut self, steps: impl ExactSizeIterator<Item = &'a Cell<M::Vector>> + Clone)
    where
        M::Vector: 'a,
    {
        let count = steps.len();
        let (mut ahead, mut late) = (steps.clone(), steps);
        for tick in 0..Self::BEHIND {
            self.partly(tick, count, &mut ahead, &mut late);
        }
        for (step, place) in ahead.by_ref().zip(late.by_ref()) {
            place.set(self.tick(step.get(), 0, Self::SECTIONS));
        }
        for tick in Self::BEHIND.max(count)..count + Self::BEHIND {
            self.partly(tick, count, &mut ahead, &mut late);
        }
    }

    /// A tick in which some sections have nothing to take, before the first step or after the last.
    #[inline(always)]
    fn partly<'a>(
        &mut self,
        tick: usize,
        count: usize,
        ahead: &mut impl Iterator<Item = &'a Cell<M::Vector>>,
        late: &mut impl Iterator<Item = &'a Cell<M::Vector>>,
    ) where
        M::Vector: 'a,
    {
        let x = ahead.next().map_or(self.between[0], Cell::get);
        let y = self.tick(x, (tick + 1).saturating_sub(count), Self::SECTIONS.min(tick + 1));
        if tick >= Self::BEHIND
            && let Some(place) = late.next()
        {
            place.set(y);
        }
    }

    /// One step of sections `from..to`.
    #[inline(always)]
    fn tick(&mut self, x: M::Vector, from: usize, to: usize) -> M::Vector {
        self.between[0] = x;
        let given = self.between;
        self.advance::<0>(&given, from, to);
        self.advance::<1>(&given, from, to);
        self.advance::<2>(&given, from, to);
        self.advance::<3>(&given, from, to);
        self.advance::<4>(&given, from, to);
        self.between[Self::SECTIONS]
    }

    /// One step of section `K` if it is one of `from..to`. The number is a constant, so that no
    /// state is looked up in memory.
    #[inline(always)]
    fn advance<const K: usize>(
        &mut self,
        given: &[M::Vector; MAX_SECTIONS + 1],
        from: usize,
        to: usize,
    ) {
        if K < Self::SECTIONS && from <= K && K < to {
            let x = if Self::BEHIND > 0 { given[K] } else { self.between[K] };
            self.between[K + 1] = self.section(K, x);
        }
    }

    #[inline(always)]
    fn section(&mut self, k: usize, x: M::Vector) -> M::Vector {
        if k < H {
            self.high(k, x)
        } else if k < H + O {
            self.first_order(k, x)
        } else if k < H + O + N {
            self.notch(k, x)
        } else {
            self.low(k, x)
        }
    }

    #[inline(always)]
    fn high(&mut self, k: usize, x: M::Vector) -> M::Vector {
        let (m, [pull, damping, _], [slope, level]) =
            (self.machine, self.coefficients[k], self.states[k]);
        let push = m.mul(m.sub(x, level), pull);
        let y = m.sub(push, m.mul(slope, damping));
        self.states[k] = [m.add(slope, y), m.add(level, slope)];
        y
    }

    #[inline(always)]
    fn first_order(&mut self, k: usize, x: M::Vector) -> M::Vector {
        let (m, [pull, pole, _], [level, last]) =
            (self.machine, self.coefficients[k], self.states[k]);
        let rest = m.sub(x, level);
        let w = m.add(rest, m.mul(last, pole));
        self.states[k] = [m.add(level, m.mul(rest, pull)), w];
        m.add(w, last)
    }

    #[inline(always)]
    fn notch(&mut self, k: usize, x: M::Vector) -> M::Vector {
        let (m, [a1, a2, b1], [w1, w2]) = (self.machine, self.coefficients[k], self.states[k]);
        let w = m.sub(m.sub(x, m.mul(w2, a2)), m.mul(w1, a1));
        self.states[k] = [w, w1];
        m.add(m.add(w, w2), m.mul(w1, b1))
    }

    #[inline(always)]
    fn low(&mut self, k: usize, x: M::Vector) -> M::Vector {
        let (m, [a1, a2, _], [w1, w2]) = (self.machine, self.coefficients[k], self.states[k]);
        let w = m.sub(m.sub(x, m.mul(w2, a2)), m.mul(w1, a1));
        let sum = m.add(w, w1);
        let y = m.add(sum, self.sums[k]);
        self.sums[k] = sum;
        self.states[k] = [w, w1];
        y
    }
}
