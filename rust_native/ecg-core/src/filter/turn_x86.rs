//! Blocks turned by shuffles of registers: 16 x 16 values with AVX-512, else 4 x 4.

use super::{LANES, Lanes, Pieces, QUAD};
use crate::simd;
use core::arch::x86_64::__m512;
use pulp::core_arch::x86::Avx512f;
use pulp::x86::{V1, V4};

pub(super) enum Machine {
    Wide(V4),
    Narrow(V1),
}

#[inline(always)]
pub(super) fn machine() -> Option<Machine> {
    match simd::path() {
        simd::Path::Avx512 => V4::try_new().map(Machine::Wide),
        simd::Path::Avx2 | simd::Path::Portable => V1::try_new().map(Machine::Narrow),
    }
}

#[inline(always)]
pub(super) fn wide_in(machine: V4, pieces: &Pieces<f32>, steps: &mut [Lanes<f32>]) -> usize {
    let tiles = steps.as_chunks_mut::<LANES>().0;
    for (i, tile) in tiles.iter_mut().enumerate() {
        let rows = std::array::from_fn(|lane| &pieces[lane].as_chunks::<LANES>().0[i]);
        turn(machine, rows, |columns, first| {
            for (k, column) in columns.into_iter().enumerate() {
                tile[first + 4 * k] = pulp::cast(column);
            }
        });
    }
    tiles.len() * LANES
}

#[inline(always)]
pub(super) fn wide_out(machine: V4, steps: &[Lanes<f32>], pieces: &mut Pieces<f32>) -> usize {
    let tiles = steps.as_chunks::<LANES>().0;
    for (i, tile) in tiles.iter().enumerate() {
        turn(machine, tile.each_ref(), |columns, first| {
            for (k, column) in columns.into_iter().enumerate() {
                pieces[first + 4 * k].as_chunks_mut::<LANES>().0[i] = pulp::cast(column);
            }
        });
    }
    tiles.len() * LANES
}

#[inline(always)]
pub(super) fn narrow_in(machine: V1, pieces: &Pieces<f32>, steps: &mut [Lanes<f32>]) -> usize {
    let tiles = steps.as_chunks_mut::<QUAD>().0;
    for (quad, rows) in pieces.as_chunks::<QUAD>().0.iter().enumerate() {
        let [a, b, c, d] = rows.each_ref().map(|row| row.as_chunks::<QUAD>().0);
        for ((((tile, a), b), c), d) in tiles.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            for (step, column) in tile.iter_mut().zip(turn_quad(machine, [*a, *b, *c, *d])) {
                step.as_chunks_mut().0[quad] = column;
            }
        }
    }
    tiles.len() * QUAD
}

#[inline(always)]
pub(super) fn narrow_out(machine: V1, steps: &[Lanes<f32>], pieces: &mut Pieces<f32>) -> usize {
    let tiles = steps.as_chunks::<QUAD>().0;
    for (quad, rows) in pieces.as_chunks_mut::<QUAD>().0.iter_mut().enumerate() {
        let [a, b, c, d] = rows.each_mut().map(|row| row.as_chunks_mut::<QUAD>().0);
        for ((((tile, a), b), c), d) in tiles.iter().zip(a).zip(b).zip(c).zip(d) {
            let rows = tile.each_ref().map(|step| step.as_chunks::<QUAD>().0[quad]);
            [*a, *b, *c, *d] = turn_quad(machine, rows);
        }
    }
    tiles.len() * QUAD
}

/// Four rows of four as columns.
#[inline(always)]
fn turn_quad(machine: V1, [a, b, c, d]: [[f32; QUAD]; QUAD]) -> [[f32; QUAD]; QUAD] {
    let m = machine.sse;
    let (a, b, c, d) = (pulp::cast(a), pulp::cast(b), pulp::cast(c), pulp::cast(d));
    let (ab, cd) = (m._mm_unpacklo_ps(a, b), m._mm_unpacklo_ps(c, d));
    let (ef, gh) = (m._mm_unpackhi_ps(a, b), m._mm_unpackhi_ps(c, d));
    [
        pulp::cast(m._mm_movelh_ps(ab, cd)),
        pulp::cast(m._mm_movehl_ps(cd, ab)),
        pulp::cast(m._mm_movelh_ps(ef, gh)),
        pulp::cast(m._mm_movehl_ps(gh, ef)),
    ]
}

/// Sixteen rows of sixteen as columns. No loops: the vectors stay in registers.
#[inline(always)]
fn turn(machine: V4, rows: [&[f32; LANES]; LANES], put: impl FnMut([__m512; 4], usize)) {
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
