//! Working memory that a thread keeps: after a warm-up an analysis allocates next to nothing.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// What one thread keeps at most for each type, bytes.
const KEPT_BYTES: usize = 64 << 20;

/// A type of which a thread keeps buffers.
pub trait Pooled: Copy + Default + 'static {
    /// Do something with this thread's unused buffers.
    fn with_pool<R>(work: impl FnOnce(&mut Vec<Vec<Self>>) -> R) -> R;
}

macro_rules! pooled {
    ($($kind:ty),*) => {$(
        impl Pooled for $kind {
            fn with_pool<R>(work: impl FnOnce(&mut Vec<Vec<Self>>) -> R) -> R {
                thread_local!(static POOL: RefCell<Vec<Vec<$kind>>> = const { RefCell::new(Vec::new()) });
                POOL.with_borrow_mut(work)
            }
        }
    )*};
}
pooled!(bool, f32, f64, i16, i32, i64, usize);

/// A vector that goes back to its thread's pool when dropped.
#[derive(Debug)]
pub struct Buffer<T: Pooled>(Vec<T>);

/// An empty buffer, with whatever capacity is at hand.
#[must_use]
pub fn empty<T: Pooled>() -> Buffer<T> {
    let mut buffer = Buffer(T::with_pool(Vec::pop).unwrap_or_default());
    buffer.clear();
    buffer
}

/// A buffer of `len` zeros.
#[must_use]
pub fn zeros<T: Pooled>(len: usize) -> Buffer<T> {
    let mut buffer = empty();
    buffer.resize(len, T::default());
    buffer
}

/// A buffer of `len` values left over from earlier use, for what is written before it is read.
#[must_use]
pub fn leftover<T: Pooled>(len: usize) -> Buffer<T> {
    let mut buffer = Buffer(T::with_pool(Vec::pop).unwrap_or_default());
    buffer.resize(len, T::default());
    buffer
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T: Pooled> Drop for Buffer<T> {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.0);
        let size = |v: &Vec<T>| v.capacity() * size_of::<T>();
        T::with_pool(|pool| {
            if pool.iter().map(size).sum::<usize>() + size(&memory) <= KEPT_BYTES {
                pool.push(memory);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_empty_and_is_zeroed_anew() {
        let mut first = zeros::<f64>(100);
        first.fill(7.0);
        let place = first.as_ptr();
        drop(first);
        let second = zeros::<f64>(50);
        assert_eq!(second.as_ptr(), place);
        assert!(second.iter().all(|v| *v == 0.0) && second.len() == 50);
    }

    #[test]
    fn a_thread_keeps_no_more_than_its_share() {
        drop(zeros::<i32>(KEPT_BYTES / 4 + 1));
        assert!(i32::with_pool(|pool| pool.is_empty()));
    }
}
