//! The input of ECG-FM: leads in order, 500 Hz, standardised over the recording, cut into 5 s.

use crate::error::Error;
use crate::leads::{Leads, Sample, require_size};
use crate::resample::{Stretch, resampled_len};
use crate::scratch;
use crate::simd;
use crate::standardize::{Scaled, moments};

/// Sampling rate of the model, Hz.
pub const RATE_HZ: f64 = 500.0;
/// Samples of one segment.
pub const SEGMENT: usize = 2500;
/// Leads of one segment.
pub const LEADS: usize = 12;
const LEAST_S: f64 = 5.0;

/// Samples of all segments together.
///
/// # Errors
/// [`Error::TooShort`] below 5 s, or [`Error::Parameter`] for the rate.
pub fn prepared_len<S: Sample>(x: &Leads<S>, fs_hz: f64) -> Result<usize, Error> {
    x.require_duration(fs_hz, LEAST_S)?;
    Ok(resampled_len(x.samples(), fs_hz, RATE_HZ)? / SEGMENT * LEADS * SEGMENT)
}

/// Make `(segments, 12, 2500)` in `f32`. `order` names the row of each standard lead; `None` is a
/// missing lead, which becomes zeros.
///
/// # Errors
/// [`Error::TooShort`] below 5 s, [`Error::NoSuchLead`], [`Error::OutputSize`], or
/// [`Error::Parameter`] for the rate.
pub fn prepare_ecg_fm_into<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    order: &[Option<usize>; LEADS],
    out: &mut [f32],
) -> Result<(), Error> {
    require_size(out.len(), prepared_len(x, fs_hz)?)?;
    let n_out = resampled_len(x.samples(), fs_hz, RATE_HZ)?;
    let stretch = Stretch::new(x.samples(), n_out);
    let mut resampled = scratch::leftover::<f64>(if stretch.is_identity() { 0 } else { n_out });
    for (place, row) in order.iter().enumerate() {
        match row {
            None => each_segment(out, place, |_, target| target.fill(0.0)),
            Some(row) if stretch.is_identity() => standardized(x.row(*row)?, out, place),
            Some(row) => {
                stretch.read(x.row(*row)?, &mut resampled);
                standardized(&resampled, out, place);
            }
        }
    }
    Ok(())
}

fn standardized<S: Sample>(row: &[S], out: &mut [f32], place: usize) {
    let moments = moments(row);
    each_segment(out, place, |i, out| {
        let row = &row[i * SEGMENT..(i + 1) * SEGMENT];
        simd::vectorize(Scaled { row, moments, out });
    });
}

/// One lead of each segment.
fn each_segment(out: &mut [f32], place: usize, mut work: impl FnMut(usize, &mut [f32])) {
    for (i, segment) in out.chunks_exact_mut(LEADS * SEGMENT).enumerate() {
        work(i, &mut segment[place * SEGMENT..(place + 1) * SEGMENT]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Option<usize>; LEADS] = {
        let mut order = [None; LEADS];
        let mut i = 0;
        while i < LEADS {
            order[i] = Some(i);
            i += 1;
        }
        order
    };

    #[test]
    fn ten_seconds_are_two_segments_and_a_missing_lead_is_zeros() {
        let data: Vec<f64> = (0..12 * 4000).map(|i| (f64::from(i) * 0.37).sin()).collect();
        let x = Leads::new(&data, 12, 4000).unwrap();
        let mut order = ALL;
        order[3] = None;
        assert_eq!(prepared_len(&x, 400.0).unwrap(), 2 * LEADS * SEGMENT);
        let mut y = vec![1.0; 2 * LEADS * SEGMENT];
        prepare_ecg_fm_into(&x, 400.0, &order, &mut y).unwrap();
        assert!(y[3 * SEGMENT..4 * SEGMENT].iter().all(|v| *v == 0.0));
        assert!(y[4 * SEGMENT..5 * SEGMENT].iter().any(|v| *v != 0.0));
    }

    #[test]
    fn too_short_and_unknown_rows_are_refused() {
        let data = vec![0.5_f64; 2 * 2499];
        let x = Leads::new(&data, 2, 2499).unwrap();
        assert!(matches!(prepared_len(&x, 500.0), Err(Error::TooShort { .. })));
        let x = Leads::new(&data, 1, 2 * 2499).unwrap();
        let mut y = vec![0.0; LEADS * SEGMENT];
        let error = prepare_ecg_fm_into(&x, 500.0, &ALL, &mut y).unwrap_err();
        assert!(matches!(error, Error::NoSuchLead { .. }));
    }
}
