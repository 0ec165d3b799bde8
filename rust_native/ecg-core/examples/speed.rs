use ecg_core::{Leads, filter::*, simd};
use std::time::Instant;
fn time(name: &str, mut f: impl FnMut()) { for _ in 0..30 { f() } let mut ts: Vec<f64> = (0..300).map(|_| { let s = Instant::now(); f(); s.elapsed().as_secs_f64()*1e6 }).collect(); ts.sort_by(f64::total_cmp); println!("{name}: p10 {:.1} p50 {:.1} us", ts[30], ts[150]); }
fn main() {
    let x32: Vec<f32> = (0..60000).map(|i| (i as f32 * 0.37).sin()).collect();
    let x64: Vec<f64> = x32.iter().map(|v| f64::from(*v)).collect();
    let (mut o32, mut o64) = (vec![0f32; 60000], vec![0f64; 60000]);
    let band = Band { low_hz: 0.5, high_hz: 40.0, order: 4, mains: None };
    let m = Mains { hz: 50.0, q: 30.0 };
    for p in simd::Path::ALL { simd::force(p).unwrap(); println!("{p:?}");
        let l = Leads::new(&x32, 12, 5000).unwrap(); let l64 = Leads::new(&x64, 12, 5000).unwrap(); let l1 = Leads::new(&x32[..5000], 1, 5000).unwrap();
        time(" bandpass f32 12", || bandpass_into(&l, 500.0, &band, &mut o32).unwrap());
        time(" bandpass+notch f32 12", || bandpass_into(&l, 500.0, &Band { mains: Some(m), ..band }, &mut o32).unwrap());
        time(" bandpass f64 12", || bandpass_into(&l64, 500.0, &band, &mut o64).unwrap());
        time(" bandpass f32 1", || bandpass_into(&l1, 500.0, &band, &mut o32[..5000]).unwrap());
        time(" notch f32 12", || notch_into(&l, 500.0, m, &mut o32).unwrap());
        time(" notch f32 1", || notch_into(&l1, 500.0, m, &mut o32[..5000]).unwrap());
        time(" baseline hp f32 12", || remove_baseline_into(&l, 500.0, Baseline::HighPass(0.5), &mut o32).unwrap());
        time(" baseline med f32 12", || remove_baseline_into(&l, 500.0, Baseline::Median, &mut o32).unwrap());
        time(" check f32 12", || { Leads::new(&x32, 12, 5000).unwrap(); });
        time(" copy f32 12", || o32.copy_from_slice(&x32));
    }
}
