//! Leads become lanes and lanes leads: the transposition of a block.

use super::lanes::{LANES, Lanes};
use super::zero_phase::BLOCK;
use crate::simd;

/// One block of each lane, a lane after the other.
pub(super) type Pieces<T> = [[T; BLOCK]; LANES];

/// What lies side by side in a step is copied as a whole, where vectors are not turned outright.
const QUAD: usize = 4;

/// A type whose blocks can be turned.
pub(crate) trait Turns: Copy + Default {
    /// The first vectors' worth of steps from their pieces (or the reverse) by the shuffles of a
    /// path: how many steps are done.
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
        let Some(machine) = x86::machine() else { return 0 };
        let tiles = steps.as_chunks_mut::<LANES>().0;
        for (i, tile) in tiles.iter_mut().enumerate() {
            let rows = std::array::from_fn(|lane| &pieces[lane].as_chunks::<LANES>().0[i]);
            x86::turn(machine, rows, |columns, first| {
                for (k, column) in columns.into_iter().enumerate() {
                    tile[first + 4 * k] = pulp::cast(column);
                }
            });
        }
        tiles.len() * LANES
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn turn_out(steps: &[Lanes<f32>], pieces: &mut Pieces<f32>) -> usize {
        let Some(machine) = x86::machine() else { return 0 };
        let tiles = steps.as_chunks::<LANES>().0;
        for (i, tile) in tiles.iter().enumerate() {
            x86::turn(machine, tile.each_ref(), |columns, first| {
                for (k, column) in columns.into_iter().enumerate() {
                    pieces[first + 4 * k].as_chunks_mut::<LANES>().0[i] = pulp::cast(column);
                }
            });
        }
        tiles.len() * LANES
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
mod x86 {
    use super::{LANES, simd};
    use core::arch::x86_64::__m512;
    use pulp::core_arch::x86::Avx512f;
    use pulp::x86::V4;

    #[inline(always)]
    pub(super) fn machine() -> Option<V4> {
        (simd::path() == simd::Path::Avx512).then(V4::try_new).flatten()
    }

    /// Sixteen rows of sixteen as columns. No loops: the vectors stay in registers.
    #[inline(always)]
    pub(super) fn turn(machine: V4, rows: [&[f32; LANES]; LANES], put: impl FnMut([__m512; 4], usize)) {
        let m = machine.avx512f;
        let four = |k: usize| ones(m, [0, 1, 2, 3].map(|i| pulp::cast(*rows[4 * k + i])));
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (four(0), four(1));
        let ([c0, c1, c2, c3], [d0, d1, d2, d3]) = (four(2), four(3));
        let mut put = put;
        put(fours(m, [a0, b0, c0, d0]), 0);
        put(fours(m, [a1, b1, c1, d1]), 1);
        put(fours(m, [a2, b2, c2, d2]), 2);
        put(fours(m, [a3, b3, c3, d3]), 3);
    }

    /// Columns of four rows within each four values: of columns 0, 4, 8 and 12, of 1, 5, …
    #[inline(always)]
    fn ones(m: Avx512f, [a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
        let pair = |a, b| (pulp::cast(a), pulp::cast(b));
        let (ab, cd) = pair(m._mm512_unpacklo_ps(a, b), m._mm512_unpacklo_ps(c, d));
        let (ef, gh) = pair(m._mm512_unpackhi_ps(a, b), m._mm512_unpackhi_ps(c, d));
        [
            pulp::cast(m._mm512_unpacklo_pd(ab, cd)),
            pulp::cast(m._mm512_unpackhi_pd(ab, cd)),
            pulp::cast(m._mm512_unpacklo_pd(ef, gh)),
            pulp::cast(m._mm512_unpackhi_pd(ef, gh)),
        ]
    }

    /// The same with four values in place of one.
    #[inline(always)]
    fn fours(m: Avx512f, [a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
        let (ab, cd) = (m._mm512_shuffle_f32x4::<0x88>(a, b), m._mm512_shuffle_f32x4::<0x88>(c, d));
        let (ef, gh) = (m._mm512_shuffle_f32x4::<0xdd>(a, b), m._mm512_shuffle_f32x4::<0xdd>(c, d));
        [
            m._mm512_shuffle_f32x4::<0x88>(ab, cd),
            m._mm512_shuffle_f32x4::<0x88>(ef, gh),
            m._mm512_shuffle_f32x4::<0xdd>(ab, cd),
            m._mm512_shuffle_f32x4::<0xdd>(ef, gh),
        ]
    }
}
