//! After a warm-up, functions that write into memory of the caller allocate nothing.
#![allow(missing_docs, clippy::unwrap_used)]

use ecg_core::filter::{Band, Baseline, Mains, bandpass_into, notch_into, remove_baseline_into};
use ecg_core::prepare::{LEADS, prepare_ecg_fm_into, prepared_len};
use ecg_core::resample::{Method, resample_into, resampled_len};
use ecg_core::segment::{segment_into, segmented_len};
use ecg_core::standardize::standardize_into;
use ecg_core::{Leads, Sample};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local!(static COUNT: Cell<usize> = const { Cell::new(0) });

// SAFETY: every call goes to `System` unchanged; counting touches neither the layout nor the
// memory, and a `const` thread-local of a type without a destructor allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BAND: Band = Band { low_hz: 0.5, high_hz: 40.0, order: 4, mains: None };
const MAINS: Mains = Mains { hz: 50.0, q: 30.0 };

/// Allocations of the third call.
fn allocations(mut call: impl FnMut()) -> usize {
    call();
    call();
    let before = COUNT.get();
    call();
    COUNT.get() - before
}

fn wave<S: Sample>(leads: usize) -> Vec<S> {
    (0..leads * 5000).map(|i| S::from_f64(300.0 + (i as f64 * 0.37).sin())).collect()
}

fn filters<S: Sample>(leads: usize) {
    let data = wave::<S>(leads);
    let x = Leads::new(&data, leads, 5000).unwrap();
    let mut out = wave::<S>(leads);
    for order in [1, 2, 3, 4, 8] {
        for mains in [None, Some(MAINS)] {
            let band = Band { order, mains, ..BAND };
            let count = allocations(|| bandpass_into(&x, 500.0, &band, &mut out).unwrap());
            assert_eq!(count, 0, "{leads} leads, {band:?}");
        }
    }
    assert_eq!(allocations(|| notch_into(&x, 500.0, MAINS, &mut out).unwrap()), 0);
    for baseline in [Baseline::HighPass(0.5), Baseline::Median] {
        let count = allocations(|| remove_baseline_into(&x, 500.0, baseline, &mut out).unwrap());
        assert_eq!(count, 0, "{leads} leads, {baseline:?}");
    }
    assert_eq!(allocations(|| standardize_into(&x, &mut out).unwrap()), 0);
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![0_u8; 10]))), 1);
}

#[test]
fn filters_allocate_nothing() {
    for leads in [1, 3, 12, 17] {
        filters::<f32>(leads);
        filters::<f64>(leads);
    }
}

#[test]
fn resampling_and_cutting_allocate_nothing() {
    let data = wave::<f32>(12);
    let x = Leads::new(&data, 12, 5000).unwrap();
    for method in [Method::Linear, Method::Polyphase] {
        for fs_out in [250.0, 360.0, 1000.0] {
            let mut out = vec![0.0_f32; 12 * resampled_len(5000, 500.0, fs_out).unwrap()];
            let call = || resample_into(&x, 500.0, fs_out, method, &mut out).unwrap();
            assert_eq!(allocations(call), 0, "{method:?} to {fs_out} Hz");
        }
    }
    let mut out = vec![0.0_f32; segmented_len(&x, 1000, 500).unwrap()];
    assert_eq!(allocations(|| segment_into(&x, 1000, 500, &mut out).unwrap()), 0);
}

#[test]
fn preparing_allocates_nothing() {
    let data = wave::<f32>(12);
    let x = Leads::new(&data, 12, 5000).unwrap();
    let order: [Option<usize>; LEADS] = std::array::from_fn(Some);
    for fs_hz in [400.0, 500.0] {
        let mut out = vec![0.0_f32; prepared_len(&x, fs_hz).unwrap()];
        let call = || prepare_ecg_fm_into(&x, fs_hz, &order, &mut out).unwrap();
        assert_eq!(allocations(call), 0, "{fs_hz} Hz");
    }
}
