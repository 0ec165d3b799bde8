//! The input of ECG-FM: leads in order, 500 Hz, standardised over the recording, cut into 5 s.

use crate::error::Error;
use crate::leads::{Leads, Sample};
use crate::resample::{interpolated, resampled_len};
use crate::standardize::centre_and_scale;

/// Sampling rate of the model, Hz.
pub const RATE_HZ: f64 = 500.0;
/// Samples of one segment.
pub const SEGMENT: usize = 2500;
/// Leads of one segment.
pub const LEADS: usize = 12;
const LEAST_S: f64 = 5.0;

/// Make `(segments, 12, 2500)` in `f32`. `order` names the row of each standard lead; `None` is a
/// missing lead, which becomes zeros.
///
/// # Errors
/// [`Error::TooShort`] below 5 s, [`Error::NoSuchLead`], or [`Error::Parameter`] for the rate.
pub fn prepare_ecg_fm<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    order: &[Option<usize>; LEADS],
) -> Result<Vec<f32>, Error> {
    x.require_duration(fs_hz, LEAST_S)?;
    let n_out = resampled_len(x.samples(), fs_hz, RATE_HZ)?;
    let segments = n_out / SEGMENT;
    let mut out = vec![0.0_f32; segments * LEADS * SEGMENT];
    let mut wide = Vec::with_capacity(n_out);
    for (place, row) in order.iter().enumerate() {
        let Some(row) = row else { continue };
        wide.clear();
        wide.extend(interpolated(x.row(*row)?, n_out));
        let (centre, scale) = centre_and_scale(&wide);
        for (i, part) in wide.chunks_exact(SEGMENT).enumerate() {
            let start = (i * LEADS + place) * SEGMENT;
            for (target, v) in out[start..start + SEGMENT].iter_mut().zip(part) {
                *target = ((v - centre) * scale) as f32;
            }
        }
    }
    Ok(out)
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
        let y = prepare_ecg_fm(&x, 400.0, &order).unwrap();
        assert_eq!(y.len(), 2 * LEADS * SEGMENT);
        assert!(y[3 * SEGMENT..4 * SEGMENT].iter().all(|v| *v == 0.0));
        assert!(y[4 * SEGMENT..5 * SEGMENT].iter().any(|v| *v != 0.0));
    }

    #[test]
    fn too_short_and_unknown_rows_are_refused() {
        let data = vec![0.5_f64; 2 * 2499];
        let x = Leads::new(&data, 2, 2499).unwrap();
        assert!(matches!(prepare_ecg_fm(&x, 500.0, &ALL), Err(Error::TooShort { .. })));
        let x = Leads::new(&data, 1, 2 * 2499).unwrap();
        assert!(matches!(prepare_ecg_fm(&x, 500.0, &ALL), Err(Error::NoSuchLead { .. })));
    }
}
