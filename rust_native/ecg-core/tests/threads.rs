//! Threads share nothing but what is made once: each finds what one thread alone finds.
#![allow(clippy::unwrap_used)]

use ecg_core::filter::{Band, bandpass_into};
use ecg_core::quality::Quality;
use ecg_core::{Leads, Options, analyze};
use std::thread;

const FS_HZ: f64 = 250.0;
const SAMPLES: usize = 2500;
const OPTIONS: Options = Options {
    fs_hz: FS_HZ,
    hrv: true,
    anomalies: true,
    min_heart_rate: 40.0,
    max_heart_rate: 200.0,
    noise_threshold: 0.1,
    min_signal_quality: 0.5,
};

/// A beat of 1 mV every `every` samples, in two leads.
fn recording(every: usize) -> Vec<f32> {
    let beat = |i: usize| {
        let t = ((i + every / 2) % every) as f32 - (every / 2) as f32;
        (1.0 - (t / 4.0).powi(2)) * (-0.5 * (t / 4.0).powi(2)).exp()
    };
    (0..2 * SAMPLES).map(|i| beat(i % SAMPLES) * if i < SAMPLES { 1.0 } else { 0.5 }).collect()
}

fn all_of(every: usize) -> (Vec<usize>, Quality, Vec<f32>) {
    let data = recording(every);
    let x = Leads::new(&data, 2, SAMPLES).unwrap();
    let mut filtered = vec![0.0; data.len()];
    let band = Band { low_hz: 0.5, high_hz: 40.0, order: 4, mains: None };
    bandpass_into(&x, FS_HZ, &band, &mut filtered).unwrap();
    let analysis = analyze(&x, &OPTIONS).unwrap();
    (analysis.r_peaks, analysis.quality, filtered)
}

#[test]
fn many_threads_find_what_one_finds() {
    // The threads come first: what is made once is made by several of them at the same time.
    let found: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|i| scope.spawn(move || all_of(180 + i))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (i, one) in found.into_iter().enumerate() {
        assert!(one.0.len() > 5);
        assert!(one == all_of(180 + i), "thread {i} finds something else");
    }
}
