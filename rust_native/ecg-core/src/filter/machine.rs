//! The vectors of each set of instructions, said outright: left to itself, the compiler turns the
//! recursion of `bank.rs` into shuffles at its whim (three times slower).

use super::lanes::Lanes;
use crate::simd;
#[cfg(not(target_arch = "x86_64"))]
use std::ops::{Add, Mul, Sub};

/// Vectors of `T` and the arithmetic on them.
pub(crate) trait Machine<T>: Copy {
    type Vector: Copy;
    /// The same with a whole step as its vector.
    type Whole: Machine<T>;
    /// Vectors of a step.
    const PARTS: usize;
    /// Registers that hold a vector each.
    const REGISTERS: usize;
    fn whole(self) -> Self::Whole;
    /// The steps as vectors.
    fn vectors(steps: &mut [Lanes<T>]) -> &mut [Self::Vector];
    fn splat(self, value: T) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
}

/// What runs on any machine.
pub(crate) trait Task<T> {
    /// Must be `#[inline(always)]`.
    fn call<M: Machine<T>>(self, machine: M);
}

/// Run `task` on the machine of the path in use, which [`simd::force`] has seen to be there.
pub(crate) trait Runs: Sized {
    fn run<W: Task<Self>>(task: W);
}

/// Four values: for processors of which nothing is known.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy)]
struct Portable;

#[cfg(not(target_arch = "x86_64"))]
impl<T: Copy + Add<Output = T> + Sub<Output = T> + Mul<Output = T>> Machine<T> for Portable {
    type Vector = [T; 4];
    type Whole = Several<Self, 4>;
    const PARTS: usize = 4;
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn whole(self) -> Self::Whole {
        Several(self)
    }

    #[inline(always)]
    fn vectors(steps: &mut [Lanes<T>]) -> &mut [[T; 4]] {
        steps.as_flattened_mut().as_chunks_mut().0
    }

    #[inline(always)]
    fn splat(self, value: T) -> [T; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn add(self, a: [T; 4], b: [T; 4]) -> [T; 4] {
        let mut out = a;
        for i in 0..4 {
            out[i] = a[i] + b[i];
        }
        out
    }

    #[inline(always)]
    fn sub(self, a: [T; 4], b: [T; 4]) -> [T; 4] {
        let mut out = a;
        for i in 0..4 {
            out[i] = a[i] - b[i];
        }
        out
    }

    #[inline(always)]
    fn mul(self, a: [T; 4], b: [T; 4]) -> [T; 4] {
        let mut out = a;
        for i in 0..4 {
            out[i] = a[i] * b[i];
        }
        out
    }
}

/// `N` vectors of a machine side by side.
#[derive(Clone, Copy)]
pub(crate) struct Several<M, const N: usize>(M);

impl<T, M: Machine<T>, const N: usize> Machine<T> for Several<M, N> {
    type Vector = [M::Vector; N];
    type Whole = M::Whole;
    const PARTS: usize = M::PARTS / N;
    const REGISTERS: usize = M::REGISTERS / N;

    #[inline(always)]
    fn whole(self) -> M::Whole {
        self.0.whole()
    }

    #[inline(always)]
    fn vectors(steps: &mut [Lanes<T>]) -> &mut [Self::Vector] {
        M::vectors(steps).as_chunks_mut().0
    }

    #[inline(always)]
    fn splat(self, value: T) -> Self::Vector {
        [self.0.splat(value); N]
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        let mut out = a;
        for i in 0..N {
            out[i] = self.0.add(a[i], b[i]);
        }
        out
    }

    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        let mut out = a;
        for i in 0..N {
            out[i] = self.0.sub(a[i], b[i]);
        }
        out
    }

    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        let mut out = a;
        for i in 0..N {
            out[i] = self.0.mul(a[i], b[i]);
        }
        out
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! machine {
    ($machine:ty, $kind:ty, $parts:literal, $registers:literal, $vectors:ident, $of:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident) => {
        impl Machine<$kind> for $machine {
            type Vector = <$machine as pulp::Simd>::$vectors;
            type Whole = Several<Self, $parts>;
            const PARTS: usize = $parts;
            const REGISTERS: usize = $registers;

            #[inline(always)]
            fn whole(self) -> Self::Whole {
                Several(self)
            }

            #[inline(always)]
            fn vectors(steps: &mut [Lanes<$kind>]) -> &mut [Self::Vector] {
                <$machine as pulp::Simd>::$of(steps.as_flattened_mut()).0
            }

            #[inline(always)]
            fn splat(self, value: $kind) -> Self::Vector {
                pulp::Simd::$splat(self, value)
            }

            #[inline(always)]
            fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                pulp::Simd::$add(self, a, b)
            }

            #[inline(always)]
            fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                pulp::Simd::$sub(self, a, b)
            }

            #[inline(always)]
            fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                pulp::Simd::$mul(self, a, b)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! baseline {
    ($kind:ty, $vector:ty, $in_step:literal, $splat:ident, $add:ident, $sub:ident, $mul:ident) => {
        impl Machine<$kind> for V1 {
            type Vector = $vector;
            type Whole = Several<Self, $in_step>;
            const PARTS: usize = $in_step;
            const REGISTERS: usize = 16;

            #[inline(always)]
            fn whole(self) -> Self::Whole {
                Several(self)
            }

            #[inline(always)]
            fn vectors(steps: &mut [Lanes<$kind>]) -> &mut [Self::Vector] {
                pulp::bytemuck::cast_slice_mut(steps)
            }

            #[inline(always)]
            fn splat(self, value: $kind) -> Self::Vector {
                self.$splat(value)
            }

            #[inline(always)]
            fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                self.$add(a, b)
            }

            #[inline(always)]
            fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                self.$sub(a, b)
            }

            #[inline(always)]
            fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                self.$mul(a, b)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Machine, Several};
    pub(super) use pulp::x86::{V1, V3, V4};
    machine!(V3, f32, 2, 16, f32s, as_mut_simd_f32s, splat_f32s, add_f32s, sub_f32s, mul_f32s);
    machine!(V3, f64, 4, 16, f64s, as_mut_simd_f64s, splat_f64s, add_f64s, sub_f64s, mul_f64s);
    machine!(V4, f32, 1, 32, f32s, as_mut_simd_f32s, splat_f32s, add_f32s, sub_f32s, mul_f32s);
    machine!(V4, f64, 2, 32, f64s, as_mut_simd_f64s, splat_f64s, add_f64s, sub_f64s, mul_f64s);
    baseline!(f32, pulp::f32x4, 4, splat_f32x4, add_f32x4, sub_f32x4, mul_f32x4);
    baseline!(f64, pulp::f64x2, 8, splat_f64x2, add_f64x2, sub_f64x2, mul_f64x2);
}

struct On<M, W, T> {
    machine: M,
    task: W,
    kind: std::marker::PhantomData<T>,
}

impl<T, M: Machine<T>, W: Task<T>> simd::Kernel for On<M, W, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.task.call(self.machine);
    }
}

macro_rules! runs {
    ($($kind:ty, $baseline:literal);*) => {$(
        impl Runs for $kind {
            fn run<W: Task<Self>>(task: W) {
                let kind = std::marker::PhantomData::<$kind>;
                #[cfg(target_arch = "x86_64")]
                match simd::path() {
                    simd::Path::Avx512 => {
                        if let Some(machine) = x86::V4::try_new() {
                            machine.vectorize(On { machine, task, kind });
                        }
                    }
                    simd::Path::Avx2 => {
                        if let Some(machine) = x86::V3::try_new() {
                            machine.vectorize(On { machine, task, kind });
                        }
                    }
                    // SSE2, which every x86-64 has.
                    simd::Path::Portable => {
                        if let Some(machine) = x86::V1::try_new() {
                            let machine = Several::<_, $baseline>(machine);
                            simd::vectorize(On { machine, task, kind });
                        }
                    }
                }
                #[cfg(not(target_arch = "x86_64"))]
                simd::vectorize(On { machine: Portable, task, kind });
            }
        }
    )*};
}
// A vector of two alone would wait for itself.
runs!(f32, 1; f64, 2);
