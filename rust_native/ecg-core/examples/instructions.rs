//! Runs one named case a number of times on a made-up ECG, for counting its instructions.
//!
//! `instructions CASE PATH TIMES`, for example `instructions analyze_12x5000 avx2 4`; PATH is
//! `portable`, `avx2` or `avx512`. `python -m benchmarks.instructions` counts.
use ecg_core::filter::{Band, bandpass_into};
use ecg_core::prepare::{prepare_ecg_fm_into, prepared_len};
use ecg_core::resample::{Method, resample_into, resampled_len};
use ecg_core::simd::{Path, force};
use ecg_core::{Leads, Options, analyze};
use std::error::Error;
use std::hint::black_box;

const BEAT_S: f64 = 0.83;
/// (centre in s after the beat's start, width in s, height in mV) of P, Q, R, S and T.
const WAVES: [(f64, f64, f64); 5] = [
    (0.18, 0.025, 0.12),
    (0.31, 0.008, -0.1),
    (0.34, 0.010, 1.1),
    (0.37, 0.009, -0.25),
    (0.60, 0.045, 0.3),
];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [case, path, times] = args.as_slice() else {
        return Err("usage: instructions CASE PATH TIMES".into());
    };
    let wanted = Path::ALL.into_iter().find(|known| known.name() == path);
    force(wanted.ok_or_else(|| format!("no path is called {path}"))?)?;
    run(case, times.parse()?)
}

fn run(case: &str, times: usize) -> Result<(), Box<dyn Error>> {
    let (leads, samples, fs_hz) = match case {
        "analyze_1x5000" => (1, 5000, 500.0),
        "resample_12x10000" => (12, 10_000, 1000.0),
        "analyze_12x5000" | "bandpass_12x5000" | "prepare_12x5000" => (12, 5000, 500.0),
        _ => return Err(format!("no case is called {case}").into()),
    };
    let signal = made_up(leads, samples, fs_hz);
    let x = Leads::new(&signal, leads, samples)?;
    let mut out = vec![0.0; room(case, &x, fs_hz)?];
    for _ in 0..times {
        once(case, black_box(&Leads::new(&signal, leads, samples)?), fs_hz, &mut out)?;
    }
    Ok(())
}

/// Values that a case writes.
fn room(case: &str, x: &Leads<f32>, fs_hz: f64) -> Result<usize, Box<dyn Error>> {
    Ok(match case {
        "resample_12x10000" => x.count() * resampled_len(x.samples(), fs_hz, 500.0)?,
        "prepare_12x5000" => prepared_len(x, fs_hz)?,
        _ => x.count() * x.samples(),
    })
}

fn once(case: &str, x: &Leads<f32>, fs_hz: f64, out: &mut [f32]) -> Result<(), Box<dyn Error>> {
    match case {
        "bandpass_12x5000" => bandpass_into(x, fs_hz, &BAND, out)?,
        "resample_12x10000" => resample_into(x, fs_hz, 500.0, Method::Linear, out)?,
        "prepare_12x5000" => prepare_ecg_fm_into(x, fs_hz, &in_order(), out)?,
        _ => drop(black_box(analyze(x, &options(fs_hz))?)),
    }
    black_box(out);
    Ok(())
}

const BAND: Band = Band { low_hz: 0.5, high_hz: 40.0, order: 4, mains: None };

fn options(fs_hz: f64) -> Options {
    Options {
        fs_hz,
        hrv: true,
        anomalies: true,
        min_heart_rate: 40.0,
        max_heart_rate: 200.0,
        noise_threshold: 0.1,
        min_signal_quality: 0.5,
    }
}

fn in_order() -> [Option<usize>; 12] {
    std::array::from_fn(Some)
}

/// Beats of one form in each lead, with its own height, wander and noise.
fn made_up(leads: usize, samples: usize, fs_hz: f64) -> Vec<f32> {
    let mut noise = 1_u32;
    let mut signal = Vec::with_capacity(leads * samples);
    for lead in 0..leads {
        let height = 1.0 - 0.13 * lead as f64;
        for i in 0..samples {
            let t = i as f64 / fs_hz;
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = 0.02 * (f64::from(noise) / f64::from(u32::MAX) - 0.5);
            let wander = 0.1 * (0.25 * std::f64::consts::TAU * t + lead as f64).sin();
            signal.push((height * beat(t % BEAT_S) + wander + hiss) as f32);
        }
    }
    signal
}

fn beat(t: f64) -> f64 {
    let wave = |(centre, width, height): &(f64, f64, f64)| {
        height * (-0.5 * ((t - centre) / width).powi(2)).exp()
    };
    WAVES.iter().map(wave).sum()
}
