//! Cutting a recording into windows.

use crate::error::Error;
use crate::leads::{Leads, Sample, require_size};

/// Number of whole windows.
#[must_use]
pub fn segment_count(samples: usize, window: usize, hop: usize) -> usize {
    if window == 0 || hop == 0 || samples < window {
        return 0;
    }
    (samples - window) / hop + 1
}

/// Samples of all windows together.
///
/// # Errors
/// [`Error::Parameter`] for a window or a hop of zero.
pub fn segmented_len<S: Sample>(x: &Leads<S>, window: usize, hop: usize) -> Result<usize, Error> {
    for (name, value) in [("window", window), ("hop", hop)] {
        if value == 0 {
            return Err(Error::Parameter { name, must: "at least one sample", value: 0.0 });
        }
    }
    Ok(segment_count(x.samples(), window, hop) * x.count() * window)
}

/// Cut into `(segments, leads, window)`, a window starting every `hop` samples; the rest is dropped.
///
/// # Errors
/// [`Error::Parameter`] for a window or a hop of zero, [`Error::OutputSize`].
pub fn segment_into<S: Sample>(
    x: &Leads<S>,
    window: usize,
    hop: usize,
    out: &mut [S],
) -> Result<(), Error> {
    require_size(out.len(), segmented_len(x, window, hop)?)?;
    for (i, part) in out.chunks_exact_mut(x.count() * window).enumerate() {
        for (target, row) in part.chunks_exact_mut(window).zip(x.rows()) {
            target.copy_from_slice(&row[i * hop..i * hop + window]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_overlap_and_the_rest_is_dropped() {
        let x: Vec<f64> = (0..14).map(f64::from).collect();
        let x = Leads::new(&x, 2, 7).unwrap();
        let mut cut = [0.0; 3 * 2 * 3];
        segment_into(&x, 3, 2, &mut cut).unwrap();
        assert_eq!(cut[..6], [0.0, 1.0, 2.0, 7.0, 8.0, 9.0]);
        assert_eq!(cut[12..], [4.0, 5.0, 6.0, 11.0, 12.0, 13.0]);
        assert_eq!(segmented_len(&x, 8, 8).unwrap(), 0);
        assert!(segment_into(&x, 0, 1, &mut cut).is_err() && segmented_len(&x, 1, 0).is_err());
    }
}
