//! Short gaps in a recording, filled by linear interpolation.

use crate::error::Error;
use crate::leads::{Leads, Sample, require_rate};

/// Longest gap that may ever be filled, s.
const MOST_S: f64 = 10.0;

/// Samples of one lead that were missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Row of the lead.
    pub lead: usize,
    /// Index of the first missing sample.
    pub start: usize,
    /// Index after the last one.
    pub end: usize,
}

/// Fill runs of NaN, and of `marker`, of up to `longest_s`: a straight line between the samples at
/// both sides; at an end of the recording, the nearest sample.
///
/// Gives the filled leads and where they were filled, in order.
///
/// # Errors
/// [`Error::Gap`] for a longer run or a lead without any sample, [`Error::Parameter`] for a rate or
/// a length out of bounds, and those of [`Leads::new`] for what is left.
pub fn fill_gaps<S: Sample>(
    data: &[S],
    shape: (usize, usize),
    fs_hz: f64,
    longest_s: f64,
    marker: Option<f64>,
) -> Result<(Vec<S>, Vec<Gap>), Error> {
    let (leads, samples) = shape;
    require_rate("fs_hz", fs_hz)?;
    if !(0.0..=MOST_S).contains(&longest_s) {
        return Err(Error::Parameter { name: "longest_s", must: "in 0 to 10 s", value: longest_s });
    }
    if leads == 0 || samples == 0 || leads.checked_mul(samples) != Some(data.len()) {
        return Err(Error::Shape { len: data.len(), leads, samples });
    }
    let marker = marker.map(S::from_f64);
    // NaN is the one value that is not equal to itself.
    let is_missing = |v: S| v.partial_cmp(&v).is_none() || Some(v) == marker;
    let (mut filled, mut gaps) = (data.to_vec(), Vec::new());
    for (lead, row) in filled.chunks_exact_mut(samples).enumerate() {
        for (start, end) in runs(row, is_missing) {
            let gap = Gap { lead, start, end };
            require_short(&gap, samples, fs_hz, longest_s)?;
            fill(row, start, end);
            gaps.push(gap);
        }
    }
    Leads::new(&filled, leads, samples)?;
    Ok((filled, gaps))
}

/// Start and end of each run of missing samples.
fn runs<S: Sample>(row: &[S], is_missing: impl Fn(S) -> bool) -> Vec<(usize, usize)> {
    let (mut found, mut start) = (Vec::new(), None);
    for (i, value) in row.iter().enumerate() {
        match (is_missing(*value), start) {
            (true, None) => start = Some(i),
            (false, Some(first)) => {
                found.push((first, i));
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.map(|first| (first, row.len())));
    found
}

fn require_short(gap: &Gap, samples: usize, fs_hz: f64, longest_s: f64) -> Result<(), Error> {
    let missing = gap.end - gap.start;
    if missing < samples && missing as f64 <= longest_s * fs_hz {
        return Ok(());
    }
    let (start_s, end_s) = (gap.start as f64 / fs_hz, gap.end as f64 / fs_hz);
    Err(Error::Gap { lead: gap.lead, start_s, end_s, longest_s })
}

fn fill<S: Sample>(row: &mut [S], start: usize, end: usize) {
    let before = start.checked_sub(1).map(|i| row[i].into());
    let after: Option<f64> = row.get(end).map(|v| (*v).into());
    let (Some(from), Some(to)) = (before.or(after), after.or(before)) else { return };
    let steps = (end - start + 1) as f64;
    for (k, value) in row[start..end].iter_mut().enumerate() {
        *value = S::from_f64(from + (to - from) * ((k + 1) as f64 / steps));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    #[test]
    fn gaps_become_straight_lines_and_are_told() {
        let x = [1.0, NAN, NAN, 4.0, NAN, 7.0, 8.0, -9.0];
        let (y, gaps) = fill_gaps(&x, (2, 4), 10.0, 0.2, Some(-9.0)).unwrap();
        assert_eq!(y, [1.0, 2.0, 3.0, 4.0, 7.0, 7.0, 8.0, 8.0]);
        let spans: Vec<_> = gaps.iter().map(|g| (g.lead, g.start, g.end)).collect();
        assert_eq!(spans, [(0, 1, 3), (1, 0, 1), (1, 3, 4)]);
    }

    #[test]
    fn what_cannot_be_filled_is_refused() {
        let long = [1.0, NAN, NAN, NAN, 4.0];
        let error = fill_gaps(&long, (1, 5), 10.0, 0.2, None).unwrap_err();
        assert_eq!(error, Error::Gap { lead: 0, start_s: 0.1, end_s: 0.4, longest_s: 0.2 });
        assert!(fill_gaps(&[NAN; 2], (1, 2), 10.0, 0.2, None).is_err());
        assert!(fill_gaps(&[1.0, f64::INFINITY], (1, 2), 10.0, 0.2, None).is_err());
        assert!(fill_gaps(&long, (2, 5), 10.0, 0.2, None).is_err());
        assert!(fill_gaps(&long, (1, 5), 10.0, NAN, None).is_err());
    }
}
