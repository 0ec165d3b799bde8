//! Leads become lanes and lanes leads: the transposition of a block.

use super::lanes::{LANES, Lanes};
use super::zero_phase::BLOCK;

/// One block of each lane, a lane after the other.
pub(super) type Pieces<T> = [[T; BLOCK]; LANES];

/// What lies side by side in a step is copied as a whole, where vectors are not turned outright.
const QUAD: usize = 4;

/// A type whose blocks can be turned.
pub(crate) trait Turns: Copy + Default {
    /// As many of the steps from their pieces as shuffles of registers can do: how many that is.
    fn turn_in(_pieces: &Pieces<Self>, _steps: &mut [Lanes<Self>]) -> usize {
        0
    }

    /// The reverse.
    fn turn_out(_steps: &[Lanes<Self>], _pieces: &mut Pieces<Self>) -> usize {
        0
    }
}

impl Turns for f64 {}

impl Turns for f32 {
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn turn_in(pieces: &Pieces<f32>, steps: &mut [Lanes<f32>]) -> usize {
        match x86::machine() {
            Some(x86::Machine::Wide(machine)) => x86::wide_in(machine, pieces, steps),
            Some(x86::Machine::Narrow(machine)) => x86::narrow_in(machine, pieces, steps),
            None => 0,
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn turn_out(steps: &[Lanes<f32>], pieces: &mut Pieces<f32>) -> usize {
        match x86::machine() {
            Some(x86::Machine::Wide(machine)) => x86::wide_out(machine, steps, pieces),
            Some(x86::Machine::Narrow(machine)) => x86::narrow_out(machine, steps, pieces),
            None => 0,
        }
    }
}

/// The steps of a block from its pieces, of which only the first `lanes` hold anything.
#[inline(always)]
pub(super) fn to_steps<T: Turns>(pieces: &Pieces<T>, lanes: usize, steps: &mut [Lanes<T>]) {
    let done = T::turn_in(pieces, steps);
    if done == steps.len() {
        return;
    }
    let mut turned = [[T::default(); QUAD]; BLOCK];
    for (quad, rows) in pieces.as_chunks::<QUAD>().0.iter().enumerate() {
        if quad * QUAD < lanes {
            let [a, b, c, d] = rows;
            for ((((to, a), b), c), d) in turned.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *to = [*a, *b, *c, *d];
            }
        } else {
            turned.fill([T::default(); QUAD]);
        }
        for (step, from) in steps[done..].iter_mut().zip(&turned[done..]) {
            step.as_chunks_mut().0[quad] = *from;
        }
    }
}

/// The reverse.
#[inline(always)]
pub(super) fn to_pieces<T: Turns>(steps: &[Lanes<T>], lanes: usize, pieces: &mut Pieces<T>) {
    let done = T::turn_out(steps, pieces);
    if done == steps.len() {
        return;
    }
    let mut turned = [[T::default(); QUAD]; BLOCK];
    for (quad, rows) in pieces.as_chunks_mut::<QUAD>().0.iter_mut().enumerate() {
        if quad * QUAD >= lanes {
            break;
        }
        for (to, step) in turned.iter_mut().zip(steps) {
            *to = step.as_chunks().0[quad];
        }
        let [a, b, c, d] = rows;
        for ((((from, a), b), c), d) in turned.iter().zip(a).zip(b).zip(c).zip(d) {
            [*a, *b, *c, *d] = *from;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[path = "turn_x86.rs"]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_any_length_is_turned_and_turned_back() {
        let value = |lane: usize, step: usize| (lane * BLOCK + step) as f32;
        let pieces: Pieces<f32> =
            std::array::from_fn(|lane| std::array::from_fn(|step| value(lane, step)));
        for len in [0, 1, 3, 4, 15, 16, 17, 250, BLOCK] {
            let mut steps = vec![[0.0; LANES]; len];
            to_steps(&pieces, LANES, &mut steps);
            let mut back = [[0.0; BLOCK]; LANES];
            to_pieces(&steps, LANES, &mut back);
            for lane in 0..LANES {
                assert!((0..len).all(|step| steps[step][lane] == value(lane, step)), "{len}");
                assert_eq!(back[lane][..len], pieces[lane][..len], "{len}");
            }
        }
    }
}
