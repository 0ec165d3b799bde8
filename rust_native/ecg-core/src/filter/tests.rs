//! What holds for every filter.

use super::*;
use crate::simd;
use std::f64::consts::PI;

const BAND: Band = Band { low_hz: 0.5, high_hz: 40.0, order: 4, mains: None };

fn sine(hz: f64, offset: f64) -> Vec<f64> {
    (0..5000).map(|i| offset + (2.0 * PI * hz * f64::from(i) / 500.0).sin()).collect()
}

fn kept(x: &[f64], band: &Band) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    bandpass_into(&Leads::new(x, 1, x.len()).unwrap(), 500.0, band, &mut out).unwrap();
    out
}

fn amplitude(x: &[f64]) -> f64 {
    x[1000..4000].iter().fold(0.0, |most: f64, v| most.max(v.abs()))
}

fn furthest<A: Sample, B: Sample>(a: &[A], b: &[B]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| (Into::<f64>::into(*a) - Into::<f64>::into(*b)).abs()).fold(0.0, f64::max)
}

#[test]
fn passes_the_band_without_delay_and_stops_the_rest() {
    let x = sine(10.0, 0.0);
    assert!(furthest(&x[1000..4000], &kept(&x, &BAND)[1000..4000]) < 0.01);
    for hz in [0.2, 120.0] {
        assert!(amplitude(&kept(&sine(hz, 0.0), &BAND)) < 0.05, "{hz} Hz");
    }
}

#[test]
fn a_notch_takes_out_its_frequency_alone() {
    let mut out = vec![0.0; 5000];
    for (hz, most, least) in [(50.0, 1e-3, 0.0), (40.0, 1.0, 0.97), (5.0, 1.0, 0.99)] {
        let x = sine(hz, 0.0);
        let x = Leads::new(&x, 1, 5000).unwrap();
        notch_into(&x, 500.0, Mains { hz: 50.0, q: 30.0 }, &mut out).unwrap();
        assert!((least..=most).contains(&amplitude(&out)), "{hz} Hz: {}", amplitude(&out));
    }
}

#[test]
fn lanes_stretches_and_precisions_agree() {
    let (rows, samples) = (17, 3000);
    let data: Vec<f64> = (0..rows * samples)
        .map(|i| 300.0 + 3.0 * (i as f64 * 0.002).sin() + (i as f64 * 0.07).cos())
        .collect();
    let narrow: Vec<f32> = data.iter().map(|v| *v as f32).collect();
    let wide: Vec<f64> = narrow.iter().map(|v| f64::from(*v)).collect();
    let mains = Some(Mains { hz: 50.0, q: 30.0 });
    for (order, mains) in [(1, None), (2, None), (3, mains), (4, None), (4, mains), (8, mains)] {
        let band = Band { order, mains, ..BAND };
        let mut together = vec![0.0; data.len()];
        let x = Leads::new(&wide, rows, samples).unwrap();
        bandpass_into(&x, 500.0, &band, &mut together).unwrap();
        for (row, expected) in x.rows().zip(together.chunks_exact(samples)) {
            assert!(furthest(&kept(row, &band), expected) < 1e-9, "order {order}");
        }
        let mut single = vec![0.0_f32; data.len()];
        let x = Leads::new(&narrow, rows, samples).unwrap();
        bandpass_into(&x, 500.0, &band, &mut single).unwrap();
        assert!(furthest(&single, &together) < 5e-4, "order {order}");
    }
}

#[test]
fn every_path_gives_the_same_bits() {
    let data: Vec<f32> = (0..12 * 2000).map(|i| (i as f32 * 0.37).sin()).collect();
    let x = Leads::new(&data, 12, 2000).unwrap();
    let chosen = simd::path();
    let mut results = Vec::new();
    for path in simd::Path::ALL.into_iter().filter(|path| path.is_available()) {
        simd::force(path).unwrap();
        let mut out = vec![0.0; data.len()];
        bandpass_into(&x, 500.0, &BAND, &mut out).unwrap();
        results.push(out);
    }
    simd::force(chosen).unwrap();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn an_offset_of_300_mv_changes_nothing() {
    let (x, shifted) = (sine(10.0, 0.0), sine(10.0, 300.0));
    let band = Band { low_hz: 0.05, ..BAND };
    assert!(furthest(&kept(&x, &band), &kept(&shifted, &band)) < 1e-6);
}

#[test]
fn hostile_parameters_are_refused_and_one_sample_is_no_panic() {
    let x = [1.0_f64; 4];
    let x4 = Leads::new(&x, 1, 4).unwrap();
    let mut out = [0.0; 4];
    for (low_hz, high_hz, order) in
        [(0.0, 40.0, 4), (40.0, 0.5, 4), (0.5, 250.0, 4), (0.5, f64::NAN, 4), (0.5, 40.0, 0)]
    {
        let band = Band { low_hz, high_hz, order, mains: None };
        assert!(bandpass_into(&x4, 500.0, &band, &mut out).is_err());
    }
    for (hz, q) in [(0.0, 30.0), (250.0, 30.0), (50.0, 0.0), (50.0, f64::NAN)] {
        assert!(notch_into(&x4, 500.0, Mains { hz, q }, &mut out).is_err());
    }
    assert!(matches!(
        bandpass_into(&x4, 500.0, &BAND, &mut out[..3]),
        Err(Error::OutputSize { .. })
    ));
    assert_eq!(kept(&x[..1], &BAND), [0.0]);
}
