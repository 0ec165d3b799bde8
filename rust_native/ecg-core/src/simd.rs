//! Which vector instructions the loops are compiled for: chosen at run time, once.
//!
//! Each hot loop is one plain function over lanes. [`dispatch`] runs it in a copy compiled for the
//! widest instructions that the processor has. No path contracts a multiplication and an addition,
//! and none adds across lanes in an order of its own, so that all of them give equal results.

use crate::error::Error;
/// What [`vectorize`] runs: `call` must be `#[inline(always)]`.
pub use pulp::NullaryFnOnce as Kernel;
use pulp::{Scalar, Simd};
use std::sync::atomic::{AtomicU8, Ordering};

/// A set of vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// What every processor of the target has.
    Portable,
    /// x86-64-v3: AVX2 and FMA.
    Avx2,
    /// x86-64-v4: AVX-512.
    Avx512,
}

impl Path {
    /// All of them, narrowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

const UNSET: u8 = u8::MAX;
static CHOSEN: AtomicU8 = AtomicU8::new(UNSET);

/// The path in use: the widest available one unless [`force`] said otherwise.
#[must_use]
pub fn path() -> Path {
    if let Some(path) = Path::ALL.get(usize::from(CHOSEN.load(Ordering::Relaxed))) {
        return *path;
    }
    let widest = widest();
    CHOSEN.store(widest as u8, Ordering::Relaxed);
    widest
}

/// The widest path that this processor has.
#[must_use]
pub fn widest() -> Path {
    Path::ALL.into_iter().rev().find(|path| path.is_available()).unwrap_or(Path::Portable)
}

/// Use this path from now on, in the whole process.
///
/// # Errors
/// [`Error::NoSuchPath`] where the processor lacks it.
pub fn force(path: Path) -> Result<(), Error> {
    if !path.is_available() {
        return Err(Error::NoSuchPath { name: path.name() });
    }
    CHOSEN.store(path as u8, Ordering::Relaxed);
    Ok(())
}

struct Work<F>(F);

impl<R, F: FnOnce() -> R> Kernel for Work<F> {
    type Output = R;

    #[inline(always)]
    fn call(self) -> R {
        (self.0)()
    }
}

/// Run `work` compiled for the path in use. What it calls must be `#[inline(always)]` to profit.
///
/// The compiler may leave a long closure outside, compiled for [`Path::Portable`]: give such work
/// to [`vectorize`].
#[inline(always)]
pub fn dispatch<R>(work: impl FnOnce() -> R) -> R {
    vectorize(Work(work))
}

/// Run `kernel` compiled for the path in use.
#[inline(always)]
pub fn vectorize<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    match path() {
        Path::Avx512 => {
            if let Some(v4) = pulp::x86::V4::try_new() {
                return v4.vectorize(kernel);
            }
        }
        Path::Avx2 => {
            if let Some(v3) = pulp::x86::V3::try_new() {
                return v3.vectorize(kernel);
            }
        }
        Path::Portable => {}
    }
    Scalar::new().vectorize(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_path_can_be_forced_and_runs() {
        for path_wanted in Path::ALL.into_iter().filter(|p| p.is_available()) {
            force(path_wanted).unwrap();
            assert_eq!(path(), path_wanted);
            assert_eq!(dispatch(|| [1, 2, 3].iter().sum::<i32>()), 6);
        }
    }
}
