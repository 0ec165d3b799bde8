//! Recursive sections over lanes: all of them advance by one sample.
//!
//! The sections of a bank run in one loop with their states in registers, so that the latency of
//! one hides behind the arithmetic of the others.

use super::design::{Design, HighPair, LowPair};
use super::lanes::{LANES, Lanes, Real, add, flushed, mul, sub};
use crate::simd::{self, Kernel};

/// Most states that a [`Bank`] has.
pub(crate) const MAX_STATES: usize = 10;
/// With no more states than this, all lanes of a group fit into the registers of every path.
const FEW_STATES: usize = 2;

/// `H` high-pass pairs, `L` low-pass pairs, `N` notches and `O` first-order high- and low-passes.
#[derive(Clone, Copy)]
pub(crate) struct Bank<T, const H: usize, const L: usize, const N: usize, const O: usize> {
    sections: Sections<T, H, L, N, O>,
    state: State<Lanes<T>, H, L, N, O>,
}

#[derive(Clone, Copy)]
struct Sections<T, const H: usize, const L: usize, const N: usize, const O: usize> {
    high: [[T; 2]; H],
    low: [[T; 2]; L],
    notch: [[T; 3]; N],
    first: [[T; 2]; O],
}

#[derive(Clone, Copy)]
struct State<V, const H: usize, const L: usize, const N: usize, const O: usize> {
    high: [[V; 2]; H],
    low: [[V; 2]; L],
    low_sum: [V; L],
    notch: [[V; 2]; N],
    first: [[V; 2]; O],
}

impl<V: Copy, const H: usize, const L: usize, const N: usize, const O: usize> State<V, H, L, N, O> {
    #[inline(always)]
    fn all(value: V) -> Self {
        Self {
            high: [[value; 2]; H],
            low: [[value; 2]; L],
            low_sum: [value; L],
            notch: [[value; 2]; N],
            first: [[value; 2]; O],
        }
    }
}

impl<T: Copy, const H: usize, const L: usize, const N: usize, const O: usize>
    State<Lanes<T>, H, L, N, O>
{
    /// The states of lanes `part * W` and on.
    #[inline(always)]
    fn part<const W: usize>(&self, part: usize) -> State<[T; W], H, L, N, O> {
        let own = |all: &Lanes<T>| all.as_chunks().0[part];
        let pair = |all: &[Lanes<T>; 2]| [own(&all[0]), own(&all[1])];
        State {
            high: std::array::from_fn(|i| pair(&self.high[i])),
            low: std::array::from_fn(|i| pair(&self.low[i])),
            low_sum: std::array::from_fn(|i| own(&self.low_sum[i])),
            notch: std::array::from_fn(|i| pair(&self.notch[i])),
            first: std::array::from_fn(|i| pair(&self.first[i])),
        }
    }

    /// Put them back.
    #[inline(always)]
    fn put<const W: usize>(&mut self, part: usize, from: &State<[T; W], H, L, N, O>) {
        let put = |all: &mut Lanes<T>, own: [T; W]| all.as_chunks_mut().0[part] = own;
        for k in 0..2 {
            (0..H).for_each(|i| put(&mut self.high[i][k], from.high[i][k]));
            (0..L).for_each(|i| put(&mut self.low[i][k], from.low[i][k]));
            (0..N).for_each(|i| put(&mut self.notch[i][k], from.notch[i][k]));
            (0..O).for_each(|i| put(&mut self.first[i][k], from.first[i][k]));
        }
        (0..L).for_each(|i| put(&mut self.low_sum[i], from.low_sum[i]));
    }
}

impl<T: Real, const H: usize, const L: usize, const N: usize, const O: usize>
    Sections<T, H, L, N, O>
{
    /// All but the low-pass pairs.
    #[inline(always)]
    fn enter<const W: usize>(&self, state: &mut State<[T; W], H, L, N, O>, x: [T; W]) -> [T; W] {
        let mut y = x;
        for (&[pull, damping], [slope, level]) in self.high.iter().zip(&mut state.high) {
            let push = mul(sub(y, *level), pull);
            y = sub(push, mul(*slope, damping));
            *level = add(*level, *slope);
            *slope = add(*slope, y);
        }
        for (&[pull, pole], [level, last]) in self.first.iter().zip(&mut state.first) {
            let rest = sub(y, *level);
            *level = add(*level, mul(rest, pull));
            let w = add(rest, mul(*last, pole));
            y = add(w, *last);
            *last = w;
        }
        for (&[a1, a2, b1], [w1, w2]) in self.notch.iter().zip(&mut state.notch) {
            let w = sub(sub(y, mul(*w2, a2)), mul(*w1, a1));
            y = add(add(w, *w2), mul(*w1, b1));
            *w2 = *w1;
            *w1 = w;
        }
        y
    }

    /// The low-pass pairs.
    #[inline(always)]
    fn leave<const W: usize>(&self, state: &mut State<[T; W], H, L, N, O>, x: [T; W]) -> [T; W] {
        let mut y = x;
        let lows = self.low.iter().zip(&mut state.low).zip(&mut state.low_sum);
        for ((&[a1, a2], [w1, w2]), last_sum) in lows {
            let w = sub(sub(y, mul(*w2, a2)), mul(*w1, a1));
            let sum = add(w, *w1);
            y = add(sum, *last_sum);
            *last_sum = sum;
            *w2 = *w1;
            *w1 = w;
        }
        y
    }
}

impl<T: Real, const H: usize, const L: usize, const N: usize, const O: usize> Bank<T, H, L, N, O> {
    const ZERO: Lanes<T> = [T::ZERO; LANES];
    /// Number of states.
    pub(crate) const STATES: usize = 2 * (H + L + N + O);

    pub(crate) fn new(high: &[HighPair], low: &[LowPair], design: &Design) -> Self {
        let notch = design.notch.unwrap_or_default();
        let (pull, pole) = design.first_order.unwrap_or_default();
        let mut sections = Sections {
            high: [[T::ZERO; 2]; H],
            low: [[T::ZERO; 2]; L],
            notch: [[T::from_f64(notch.a1), T::from_f64(notch.a2), T::from_f64(notch.b1)]; N],
            first: [[T::from_f64(pull), T::from_f64(pole)]; O],
        };
        for (target, pair) in sections.high.iter_mut().zip(high) {
            *target = [T::from_f64(pair.pull), T::from_f64(pair.damping)];
        }
        for (target, pair) in sections.low.iter_mut().zip(low) {
            *target = [T::from_f64(pair.a1), T::from_f64(pair.a2)];
        }
        Self { sections, state: State::all(Self::ZERO) }
    }

    /// Run over `steps` in place, from the last to the first if `backwards`, `W` lanes at a time.
    #[inline(always)]
    fn run<const W: usize>(&mut self, steps: &mut [Lanes<T>], lanes: usize, backwards: bool) {
        for part in 0..LANES / W {
            if part * W >= lanes {
                break;
            }
            if backwards {
                self.run_part::<W>(steps.iter_mut().rev(), part);
            } else {
                self.run_part::<W>(steps.iter_mut(), part);
            }
        }
        self.flush();
    }

    /// Lanes `part * W` and on. A step enters while the one before it leaves, so that neither
    /// waits for the other.
    #[inline(always)]
    fn run_part<'a, const W: usize>(
        &mut self,
        mut steps: impl Iterator<Item = &'a mut Lanes<T>>,
        part: usize,
    ) {
        let sections = self.sections;
        let mut state = self.state.part::<W>(part);
        if L == 0 {
            for step in steps {
                let own = &mut step.as_chunks_mut().0[part];
                *own = sections.enter(&mut state, *own);
            }
        } else if let Some(first) = steps.next() {
            let mut last = &mut first.as_chunks_mut().0[part];
            let mut between = sections.enter(&mut state, *last);
            for step in steps {
                let own = &mut step.as_chunks_mut().0[part];
                *last = sections.leave(&mut state, between);
                between = sections.enter(&mut state, *own);
                last = own;
            }
            *last = sections.leave(&mut state, between);
        }
        self.state.put(part, &state);
    }

    #[inline(always)]
    fn flush(&mut self) {
        let state = &mut self.state;
        for pairs in [&mut state.high[..], &mut state.low, &mut state.notch, &mut state.first] {
            for [a, b] in pairs {
                (*a, *b) = (flushed(*a), flushed(*b));
            }
        }
        for (sum, [w1, w2]) in state.low_sum.iter_mut().zip(&state.low) {
            *sum = add(*w1, *w2);
        }
    }

    /// Take the steady state of a constant input and give the constant output.
    pub(crate) fn settle(&mut self, x: &Lanes<T>) -> Lanes<T> {
        self.load(&[Self::ZERO; MAX_STATES]);
        let state = &mut self.state;
        if let Some([_, level]) = state.high.first_mut() {
            *level = *x;
            return Self::ZERO;
        }
        if let Some([level, _]) = state.first.first_mut() {
            *level = *x;
            return Self::ZERO;
        }
        let mut y = *x;
        for (coefficients, [w1, w2]) in self.sections.notch.iter().zip(&mut state.notch) {
            let [a1, a2, b1] = coefficients.map(Into::<f64>::into);
            *w1 = mul(y, T::from_f64(1.0 / (1.0 + a1 + a2)));
            *w2 = *w1;
            y = mul(*w1, T::from_f64(2.0 + b1));
        }
        y
    }

    #[inline(always)]
    fn each_state(&mut self, mut work: impl FnMut(&mut Lanes<T>)) {
        let state = &mut self.state;
        let pairs = state.high.iter_mut().chain(&mut state.low);
        let pairs = pairs.chain(&mut state.notch).chain(&mut state.first);
        pairs.flatten().for_each(&mut work);
        for (sum, [w1, w2]) in state.low_sum.iter_mut().zip(&state.low) {
            *sum = add(*w1, *w2);
        }
    }

    pub(crate) fn save(&mut self) -> [Lanes<T>; MAX_STATES] {
        let mut saved = [Self::ZERO; MAX_STATES];
        let mut places = saved.iter_mut();
        self.each_state(|state| {
            if let Some(place) = places.next() {
                *place = *state;
            }
        });
        saved
    }

    pub(crate) fn load(&mut self, saved: &[Lanes<T>; MAX_STATES]) {
        let mut values = saved.iter();
        self.each_state(|state| *state = values.next().copied().unwrap_or(Self::ZERO));
    }

    /// Run with as many lanes at a time as keep all states in registers.
    pub(crate) fn pass(&mut self, steps: &mut [Lanes<T>], lanes: usize, backwards: bool) {
        let few = Self::STATES <= FEW_STATES;
        match simd::path() {
            _ if few => simd::vectorize(Pass::<'_, _, 16, H, L, N, O> {
                bank: self,
                steps,
                lanes,
                backwards,
            }),
            simd::Path::Avx512 => simd::vectorize(Pass::<'_, _, 16, H, L, N, O> {
                bank: self,
                steps,
                lanes,
                backwards,
            }),
            simd::Path::Avx2 if T::IS_F32 => simd::vectorize(Pass::<'_, _, 8, H, L, N, O> {
                bank: self,
                steps,
                lanes,
                backwards,
            }),
            _ => simd::vectorize(Pass::<'_, _, 4, H, L, N, O> {
                bank: self,
                steps,
                lanes,
                backwards,
            }),
        }
    }
}

struct Pass<'a, T, const W: usize, const H: usize, const L: usize, const N: usize, const O: usize> {
    bank: &'a mut Bank<T, H, L, N, O>,
    steps: &'a mut [Lanes<T>],
    lanes: usize,
    backwards: bool,
}

impl<T: Real, const W: usize, const H: usize, const L: usize, const N: usize, const O: usize> Kernel
    for Pass<'_, T, W, H, L, N, O>
{
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.bank.run::<W>(self.steps, self.lanes, self.backwards);
    }
}
