//! Cutting a recording into windows.

use crate::error::Error;
use crate::leads::{Leads, Sample};

/// Number of whole windows.
#[must_use]
pub fn segment_count(samples: usize, window: usize, hop: usize) -> usize {
    if window == 0 || hop == 0 || samples < window {
        return 0;
    }
    (samples - window) / hop + 1
}

/// Cut into `(segments, leads, window)`, a window starting every `hop` samples; the rest is dropped.
///
/// # Errors
/// [`Error::Parameter`] for a window or a hop of zero.
pub fn segment<S: Sample>(x: &Leads<S>, window: usize, hop: usize) -> Result<Vec<S>, Error> {
    for (name, value) in [("window", window), ("hop", hop)] {
        if value == 0 {
            return Err(Error::Parameter { name, must: "at least one sample", value: 0.0 });
        }
    }
    let count = segment_count(x.samples(), window, hop);
    let mut out = Vec::with_capacity(count * x.count() * window);
    for i in 0..count {
        for row in x.rows() {
            out.extend_from_slice(&row[i * hop..i * hop + window]);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_overlap_and_the_rest_is_dropped() {
        let x: Vec<f64> = (0..14).map(f64::from).collect();
        let x = Leads::new(&x, 2, 7).unwrap();
        let cut = segment(&x, 3, 2).unwrap();
        assert_eq!(cut.len(), 3 * 2 * 3);
        assert_eq!(cut[..6], [0.0, 1.0, 2.0, 7.0, 8.0, 9.0]);
        assert_eq!(cut[12..], [4.0, 5.0, 6.0, 11.0, 12.0, 13.0]);
        assert!(segment(&x, 8, 8).unwrap().is_empty());
        assert!(segment(&x, 0, 1).is_err() && segment(&x, 1, 0).is_err());
    }
}
