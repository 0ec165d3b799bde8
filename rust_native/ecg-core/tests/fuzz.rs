//! Arbitrary shapes, samples, rates and parameters into every public function: never a panic, and
//! what comes back is well-formed.
//!
//! The cases are the same on every run; `PROPTEST_CASES` sets how many there are.
#![allow(clippy::unwrap_used, missing_docs)]

use ecg_core::gaps::fill_gaps;
use ecg_core::{Leads, Options, Sample, analyze};
use ecg_core::{filter, hrv, order, prepare, quality, resample, rpeaks, segment, standardize};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const CASES: u32 = 128;
const ODD: [f64; 14] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    5e-324,
    f64::MIN_POSITIVE,
    1000.0,
    -1000.0,
    1000.1,
    -32_768.0,
    1e308,
    -1e308,
    f64::EPSILON,
];

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    let cases = cases.unwrap_or(CASES);
    let rng_seed = RngSeed::Fixed(1887);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

/// Samples of some kind: noise, steps between rails, a clipped sine, odd values, a level.
fn samples() -> impl Strategy<Value = Vec<f64>> {
    let odd = proptest::sample::select(ODD.to_vec());
    let mixed = prop_oneof![50 => -5.0..5.0, 1 => odd.clone()];
    let rails = (1_usize..3000, 1_usize..300, 0.0_f64..1000.0).prop_map(|(n, period, mv)| {
        (0..n).map(|i| if (i / period) % 2 == 0 { mv } else { -mv }).collect()
    });
    let clipped = (1_usize..3000, 0.001_f64..3.0, 0.0_f64..2.0).prop_map(|(n, step, limit)| {
        (0..n).map(|i| (2.0 * (i as f64 * step).sin()).clamp(-limit, limit)).collect()
    });
    prop_oneof![
        3 => proptest::collection::vec(-5.0..5.0, 0..3000),
        2 => proptest::collection::vec(mixed, 0..1500),
        1 => proptest::collection::vec(odd, 0..50),
        2 => rails,
        2 => clipped,
        1 => (0_usize..3000, -1000.0..1000.0).prop_map(|(n, level)| vec![level; n]),
        1 => (0_usize..3000).prop_map(|n| (0..n).map(|i| f64::from(u8::from(i == n / 2))).collect()),
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0..1.0, 2 => 1.0..400.0, 2 => proptest::sample::select(ODD.to_vec())]
}

fn rate() -> impl Strategy<Value = f64> {
    prop_oneof![6 => 100.0..2000.0, 2 => 10.0..20_000.0, 1 => number()]
}

/// Leads of equal length from `data`, and now and then a shape that does not fit.
fn view<S: Sample>(data: &[S], leads: usize) -> Option<Leads<'_, S>> {
    Leads::new(data, leads, data.len().checked_div(leads).unwrap_or(0)).ok()
}

fn narrow(data: &[f64]) -> Vec<f32> {
    data.iter().map(|v| *v as f32).collect()
}

fn require_peaks(peaks: &[usize], samples: usize) -> Result<(), TestCaseError> {
    prop_assert!(peaks.windows(2).all(|pair| pair[0] < pair[1]));
    prop_assert!(peaks.iter().all(|peak| *peak < samples));
    Ok(())
}

fn require_finite<S: Sample>(y: &[S]) -> Result<(), TestCaseError> {
    prop_assert!(y.iter().all(|v| Into::<f64>::into(*v).is_finite()));
    Ok(())
}

fn beats_and_quality<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    threshold: f64,
) -> Result<(), TestCaseError> {
    if let Ok(peaks) = rpeaks::detect_r_peaks(x, fs_hz) {
        require_peaks(&peaks, x.samples())?;
    }
    if let Ok(found) = quality::signal_quality(x, fs_hz, threshold) {
        prop_assert_eq!(found.leads.len(), x.count());
        prop_assert!((0.0..=1.0).contains(&found.score));
        prop_assert!(found.leads.iter().all(|lead| (0.0..=1.0).contains(&lead.score)));
    }
    Ok(())
}

fn whole<S: Sample>(x: &Leads<S>, options: &Options) -> Result<(), TestCaseError> {
    let Ok(found) = analyze(x, options) else { return Ok(()) };
    require_peaks(&found.r_peaks, x.samples())?;
    prop_assert_eq!(found.rr_ms.len(), found.r_peaks.len().saturating_sub(1));
    prop_assert!(found.rr_ms.iter().all(|rr| rr.is_finite() && *rr > 0.0));
    prop_assert!(found.heart_rate.is_nan() || found.heart_rate > 0.0);
    prop_assert!((0.0..=1.0).contains(&found.quality.score));
    let duration_s = x.samples() as f64 / options.fs_hz;
    for anomaly in &found.anomalies {
        prop_assert!(0.0 <= anomaly.start_s && anomaly.start_s <= anomaly.end_s);
        prop_assert!(anomaly.end_s <= duration_s);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_view_holds_only_what_is_possible(data in samples(), leads in 0_usize..14, n in 0_usize..4000) {
        if let Ok(x) = Leads::new(&data, leads, n) {
            prop_assert_eq!(x.count() * x.samples(), data.len());
            prop_assert!(data.iter().all(|v| v.abs() <= ecg_core::leads::MAX_ABS_MV));
        }
        prop_assert!(Leads::new(&data, usize::MAX, n).is_err());
    }

    #[test]
    fn beats_and_quality_are_well_formed(
        data in samples(), leads in 1_usize..5, fs_hz in rate(), threshold in number()
    ) {
        if let Some(x) = view(&data, leads) {
            beats_and_quality(&x, fs_hz, threshold)?;
        }
        if let Some(x) = view(&narrow(&data), leads) {
            beats_and_quality(&x, fs_hz, threshold)?;
        }
    }

    #[test]
    fn analyses_are_well_formed(
        data in samples(), leads in 1_usize..5, fs_hz in rate(), switches in any::<(bool, bool)>(),
        limits in (number(), number()), noise_threshold in number(), min_signal_quality in number(),
    ) {
        let options = Options {
            fs_hz,
            hrv: switches.0,
            anomalies: switches.1,
            min_heart_rate: limits.0,
            max_heart_rate: limits.1,
            noise_threshold,
            min_signal_quality,
        };
        if let Some(x) = view(&data, leads) {
            whole(&x, &options)?;
        }
        if let Some(x) = view(&narrow(&data), leads) {
            whole(&x, &options)?;
        }
    }

    #[test]
    fn filtered_signals_keep_their_length_and_stay_finite(
        data in samples(), leads in 1_usize..5, fs_hz in rate(), low in number(), high in number(),
        order in 0_usize..12,
    ) {
        let Some(x) = view(&data, leads) else { return Ok(()) };
        let mains = Some(filter::Mains { hz: high, q: 30.0 });
        let mut y = vec![0.0; data.len()];
        for mains in [None, mains] {
            let band = filter::Band { low_hz: low, high_hz: high, order, mains };
            let _ = filter::bandpass_into(&x, fs_hz, &band, &mut y);
            require_finite(&y)?;
        }
        let _ = filter::notch_into(&x, fs_hz, filter::Mains { hz: low, q: high }, &mut y);
        require_finite(&y)?;
        for baseline in [filter::Baseline::HighPass(low), filter::Baseline::Median] {
            let _ = filter::remove_baseline_into(&x, fs_hz, baseline, &mut y);
            require_finite(&y)?;
        }
    }

    #[test]
    fn resampled_signals_have_the_stated_length(
        data in samples(), leads in 1_usize..5, fs_in in rate(), fs_out in rate()
    ) {
        let Some(x) = view(&data, leads) else { return Ok(()) };
        let Ok(n) = resample::resampled_len(x.samples(), fs_in, fs_out) else { return Ok(()) };
        let mut y = vec![0.0; leads * n];
        resample::resample_into(&x, fs_in, fs_out, resample::Method::Linear, &mut y).unwrap();
        let most = data.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        prop_assert!(y.iter().all(|v| v.abs() <= most * (1.0 + 1e-12)));
        let _ = resample::resample_into(&x, fs_in, fs_out, resample::Method::Polyphase, &mut y);
        require_finite(&y)?;
    }

    #[test]
    fn standardized_signals_are_finite(data in samples(), leads in 1_usize..5) {
        let Some(x) = view(&data, leads) else { return Ok(()) };
        let mut y = vec![0.0; data.len()];
        standardize::standardize_into(&x, &mut y).unwrap();
        require_finite(&y)?;
    }

    #[test]
    fn segments_are_as_many_as_stated(
        data in samples(), leads in 1_usize..5, window in 0_usize..4000, hop in 0_usize..4000
    ) {
        let Some(x) = view(&data, leads) else { return Ok(()) };
        // A hop of a few samples of a long window is a large result, and a slow test.
        prop_assume!(hop == 0 || window / hop < 50);
        let room = segment::segment_count(x.samples(), window, hop) * leads * window;
        let mut y = vec![0.0; room];
        prop_assert_eq!(segment::segment_into(&x, window, hop, &mut y).is_ok(), window > 0 && hop > 0);
    }

    #[test]
    fn model_input_is_whole_segments(
        data in samples(), leads in 1_usize..4, fs_hz in rate(),
        rows in proptest::collection::vec(proptest::option::of(0_usize..5), prepare::LEADS),
    ) {
        let Some(x) = view(&data, leads) else { return Ok(()) };
        let order: [Option<usize>; prepare::LEADS] = rows.try_into().unwrap();
        let Ok(room) = prepare::prepared_len(&x, fs_hz) else { return Ok(()) };
        prop_assert_eq!(room % (prepare::LEADS * prepare::SEGMENT), 0);
        let mut y = vec![0.0; room];
        let _ = prepare::prepare_ecg_fm_into(&x, fs_hz, &order, &mut y);
        for v in y {
            prop_assert!(v.is_finite());
        }
    }

    #[test]
    fn medians_lie_within_and_moments_are_ordered(
        values in proptest::collection::vec(-1e6_f64..1e6, 1..300), size in 0_usize..400
    ) {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let inside = |v: f64| least <= v && v <= most;
        prop_assert!(inside(order::median_of(&mut values.clone())));
        let running = order::running_median(&values, size);
        prop_assert_eq!(running.len(), values.len());
        prop_assert!(size == 0 || running.iter().copied().all(inside));
        prop_assert!((least - 1e-6..=most + 1e-6).contains(&order::mean(&values)));
        let deviation = order::deviation(&values, 0);
        prop_assert!(0.0 <= deviation && deviation <= (most - least) * (1.0 + 1e-9));
    }

    #[test]
    fn order_statistics_of_odd_values_do_not_panic(
        values in proptest::collection::vec(proptest::sample::select(ODD.to_vec()), 0..30),
        size in 0_usize..40, ddof in 0_usize..5,
    ) {
        let _ = order::median_of(&mut values.clone());
        prop_assert_eq!(order::running_median(&values, size).len(), values.len());
        let _ = order::mean(&values);
        let _ = order::deviation(&values, ddof);
    }

    #[test]
    fn variability_of_any_intervals(rr in proptest::collection::vec(prop_oneof![
        8 => 200.0..3000.0, 1 => number()
    ], 0..600)) {
        let found = hrv::hrv(&rr);
        prop_assert!(found.nn_count <= rr.len());
    }

    #[test]
    fn gaps_are_filled_or_refused(
        data in samples(), leads in 1_usize..4, fs_hz in rate(), longest_s in number(),
        marker in proptest::option::of(number()),
    ) {
        let shape = (leads, data.len() / leads);
        let filled = fill_gaps(&data, shape, fs_hz, longest_s, marker);
        if let Ok((y, gaps)) = filled {
            prop_assert_eq!(y.len(), data.len());
            require_finite(&y)?;
            let inside = |g: &ecg_core::gaps::Gap| g.lead < leads && g.start < g.end && g.end <= shape.1;
            prop_assert!(gaps.iter().all(inside));
            let kept = |i: &usize| !gaps.iter().any(|g| {
                g.lead * shape.1 + g.start <= *i && *i < g.lead * shape.1 + g.end
            });
            prop_assert!((0..y.len()).filter(kept).all(|i| y[i] == data[i]));
        }
    }
}
