//! The banks of sections that a design becomes.

use super::bank::{Bank, MAX_STATES};
use super::design::Design;
use super::lanes::{LANES, Lanes, Real};

/// The banks that there are: a few fixed sizes cover every order.
#[derive(Clone, Copy)]
enum AnyBank<T> {
    Two(Bank<T, 2, 2, 0, 0>),
    TwoAndNotch(Bank<T, 2, 2, 1, 0>),
    One(Bank<T, 1, 1, 0, 0>),
    First(Bank<T, 0, 0, 0, 1>),
    HighOnly(Bank<T, 1, 0, 0, 0>),
    NotchOnly(Bank<T, 0, 0, 1, 0>),
}

macro_rules! with_bank {
    ($any:expr, $bank:ident => $body:expr) => {
        match $any {
            AnyBank::Two($bank) => $body,
            AnyBank::TwoAndNotch($bank) => $body,
            AnyBank::One($bank) => $body,
            AnyBank::First($bank) => $body,
            AnyBank::HighOnly($bank) => $body,
            AnyBank::NotchOnly($bank) => $body,
        }
    };
}

fn states_of<T: Real, const H: usize, const L: usize, const N: usize, const O: usize>(
    _: &Bank<T, H, L, N, O>,
) -> usize {
    Bank::<T, H, L, N, O>::STATES
}

/// The banks of one filter, in order.
#[derive(Clone, Copy)]
pub(crate) struct Cascade<T> {
    banks: [Option<AnyBank<T>>; 3],
}

impl<T: Real> Cascade<T> {
    pub(crate) fn new(design: &Design) -> Self {
        let (high, low) = (&design.high[..design.high_pairs], &design.low[..design.low_pairs]);
        let mut banks = [None; 3];
        let mut places = banks.iter_mut();
        let mut put = |bank| {
            if let Some(place) = places.next() {
                *place = Some(bank);
            }
        };
        let mut notch = design.notch.is_some();
        if low.is_empty() && !high.is_empty() {
            put(AnyBank::HighOnly(Bank::new(high, low, design)));
        }
        for (high, low) in high.chunks(2).zip(low.chunks(2)) {
            put(match high.len() {
                1 => AnyBank::One(Bank::new(high, low, design)),
                _ if std::mem::take(&mut notch) => {
                    AnyBank::TwoAndNotch(Bank::new(high, low, design))
                }
                _ => AnyBank::Two(Bank::new(high, low, design)),
            });
        }
        if design.first_order.is_some() {
            put(AnyBank::First(Bank::new(&[], &[], design)));
        }
        if notch {
            put(AnyBank::NotchOnly(Bank::new(&[], &[], design)));
        }
        Self { banks }
    }

    /// Run every bank over the first `lanes` lanes of `steps` in place.
    pub(crate) fn run(&mut self, steps: &mut [Lanes<T>], lanes: usize, backwards: bool) {
        for any in self.banks.iter_mut().flatten() {
            with_bank!(any, bank => bank.pass(steps, lanes, backwards));
        }
    }

    /// Start in the steady state of a constant input.
    pub(crate) fn settle(&mut self, x: &Lanes<T>) {
        let mut y = *x;
        for any in self.banks.iter_mut().flatten() {
            y = with_bank!(any, bank => bank.settle(&y));
        }
    }

    /// Number of states, if all are in one bank.
    pub(crate) fn states(&self) -> Option<usize> {
        match &self.banks {
            [Some(any), None, None] => Some(with_bank!(any, bank => states_of(bank))),
            _ => None,
        }
    }

    /// The states of the first bank.
    pub(crate) fn save(&self) -> [Lanes<T>; MAX_STATES] {
        let zero = [[T::ZERO; LANES]; MAX_STATES];
        self.banks[0].as_ref().map_or(zero, |any| with_bank!(any, bank => bank.save()))
    }

    /// Replace the states of the first bank.
    pub(crate) fn load(&mut self, saved: &[Lanes<T>; MAX_STATES]) {
        if let Some(any) = &mut self.banks[0] {
            with_bank!(any, bank => bank.load(saved));
        }
    }
}
