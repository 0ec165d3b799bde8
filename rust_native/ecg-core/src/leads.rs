//! Borrowed samples of one or more leads, and what no recording can be.

use crate::error::Error;
use crate::simd::dispatch;

/// Beyond this no electrode can be, mV: amplifiers end at some 300 mV of offset and signal.
pub const MAX_ABS_MV: f64 = 1000.0;

/// No heart moves a lead by more than this within [`BLOCK_S`] for most of a recording, mV.
pub const MAX_SWING_MV: f64 = 50.0;

/// Length of the blocks in which the swing is taken, so that one artefact decides nothing.
pub const BLOCK_S: f64 = 2.0;

/// Samples between two looks at whether one of them is impossible.
const STRIDE: usize = 1024;

/// A sample type: `f32` or `f64`.
pub trait Sample:
    Copy + Into<f64> + PartialOrd + std::ops::Sub<Output = Self> + Send + Sync
{
    /// Zero of the type.
    const ZERO: Self;
    /// Whether this is single precision.
    const IS_F32: bool;
    /// Narrow from `f64`.
    fn from_f64(value: f64) -> Self;
    /// Narrow to `f32`.
    fn narrow(self) -> f32;
    /// Whether an electrode can show this; false for NaN.
    fn is_possible(self) -> bool;
}

impl Sample for f32 {
    const ZERO: Self = 0.0;
    const IS_F32: bool = true;
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as Self
    }
    fn narrow(self) -> f32 {
        self
    }
    #[inline(always)]
    fn is_possible(self) -> bool {
        self.abs() <= MAX_ABS_MV as Self
    }
}

impl Sample for f64 {
    const ZERO: Self = 0.0;
    const IS_F32: bool = false;
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    fn narrow(self) -> f32 {
        self as f32
    }
    #[inline(always)]
    fn is_possible(self) -> bool {
        self.abs() <= MAX_ABS_MV
    }
}

/// Samples in mV, lead after lead, borrowed from the caller.
#[derive(Debug, Clone, Copy)]
pub struct Leads<'a, S> {
    data: &'a [S],
    count: usize,
    samples: usize,
}

impl<'a, S: Sample> Leads<'a, S> {
    /// View `data` as `leads` rows of `samples` and check every sample.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`] or [`Error::TooLarge`].
    pub fn new(data: &'a [S], leads: usize, samples: usize) -> Result<Self, Error> {
        if leads == 0 || samples == 0 || leads.checked_mul(samples) != Some(data.len()) {
            return Err(Error::Shape { len: data.len(), leads, samples });
        }
        if dispatch(|| all_possible(data)) {
            return Ok(Self { data, count: leads, samples });
        }
        let at = data.iter().position(|value| !value.is_possible()).unwrap_or(0);
        let (lead, sample, value) = (at / samples, at % samples, data[at].into());
        Err(if value.is_finite() {
            Error::TooLarge { lead, sample, value }
        } else {
            Error::NotFinite { lead, sample }
        })
    }

    /// View rows of `samples` that were checked when they came.
    pub(crate) fn checked(data: &'a [S], samples: usize) -> Self {
        Self { data, count: data.len() / samples.max(1), samples }
    }

    /// Number of leads, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Samples of each lead, at least one.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// All samples, lead after lead.
    #[must_use]
    pub fn data(&self) -> &'a [S] {
        self.data
    }

    /// Refuse an output that does not hold as many samples.
    ///
    /// # Errors
    /// [`Error::OutputSize`].
    pub fn require_same_size<T>(&self, out: &[T]) -> Result<(), Error> {
        require_size(out.len(), self.data.len())
    }

    /// The leads in order.
    pub fn rows(&self) -> impl Iterator<Item = &'a [S]> + use<'a, S> {
        self.data.chunks_exact(self.samples)
    }

    /// One lead.
    ///
    /// # Errors
    /// [`Error::NoSuchLead`].
    pub fn row(&self, lead: usize) -> Result<&'a [S], Error> {
        let missing = Error::NoSuchLead { lead, leads: self.count };
        self.rows().nth(lead).ok_or(missing)
    }

    /// Refuse a recording in which every lead that moves swings further than any heart's: it is in
    /// microvolts or ADU, not in mV.
    ///
    /// # Errors
    /// [`Error::Implausible`].
    pub fn require_plausible(&self, fs_hz: f64) -> Result<(), Error> {
        let block = ((BLOCK_S * fs_hz + 0.5) as usize).max(1);
        let mut wildest: f64 = 0.0;
        for row in self.rows() {
            match dispatch(|| implausible_swing(row, block)) {
                Some(swing) => wildest = wildest.max(swing),
                None if row.iter().all(|v| *v == row[0]) => {}
                None => return Ok(()),
            }
        }
        if wildest > 0.0 {
            return Err(Error::Implausible { swing_mv: wildest, most_mv: MAX_SWING_MV });
        }
        Ok(())
    }

    /// Refuse a recording shorter than `least_s`.
    ///
    /// # Errors
    /// [`Error::TooShort`], or [`Error::Parameter`] for a rate that is not positive.
    pub fn require_duration(&self, fs_hz: f64, least_s: f64) -> Result<(), Error> {
        require_rate("fs_hz", fs_hz)?;
        if (self.samples as f64) < least_s * fs_hz {
            return Err(Error::TooShort { samples: self.samples, fs_hz, least_s });
        }
        Ok(())
    }
}

/// Refuse an output of another size than needed.
///
/// # Errors
/// [`Error::OutputSize`].
pub fn require_size(len: usize, needed: usize) -> Result<(), Error> {
    if len == needed { Ok(()) } else { Err(Error::OutputSize { len, needed }) }
}

#[inline(always)]
fn all_possible<S: Sample>(data: &[S]) -> bool {
    // Without a way out inside a stride, so that it becomes vector instructions.
    data.chunks(STRIDE).all(|part| part.iter().fold(true, |so_far, v| so_far & v.is_possible()))
}

/// The widest swing of a lead of which most blocks swing too far; None for any other lead.
#[inline(always)]
fn implausible_swing<S: Sample>(row: &[S], block: usize) -> Option<f64> {
    let blocks = row.len().div_ceil(block);
    let (mut calm, mut wildest) = (0, 0.0_f64);
    for part in row.chunks(block) {
        let swing = swing_of(part);
        wildest = wildest.max(swing);
        calm += usize::from(swing <= MAX_SWING_MV);
        if 2 * calm >= blocks {
            return None;
        }
    }
    Some(wildest)
}

/// Peak to peak.
#[inline(always)]
fn swing_of<S: Sample>(part: &[S]) -> f64 {
    let lower = |a: S, b: S| if b < a { b } else { a };
    let higher = |a: S, b: S| if b > a { b } else { a };
    let least = part.iter().copied().reduce(lower).unwrap_or(S::ZERO);
    let most = part.iter().copied().reduce(higher).unwrap_or(S::ZERO);
    most.into() - least.into()
}

/// Refuse a sampling rate that no recorder has.
///
/// # Errors
/// [`Error::Parameter`].
pub fn require_rate(name: &'static str, fs_hz: f64) -> Result<(), Error> {
    if (10.0..=20_000.0).contains(&fs_hz) {
        return Ok(());
    }
    Err(Error::Parameter { name, must: "in 10 to 20000 Hz", value: fs_hz })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_must_fit() {
        for (len, leads, samples) in [(0, 0, 0), (6, 2, 2), (6, 0, 6), (6, usize::MAX, 2)] {
            let data = vec![0.0_f64; len];
            assert_eq!(
                Leads::new(&data, leads, samples).unwrap_err(),
                Error::Shape { len, leads, samples }
            );
        }
    }

    #[test]
    fn what_no_electrode_shows_is_refused_and_located() {
        let mut data = vec![0.0_f32; 20];
        data[13] = f32::NAN;
        let error = Leads::new(&data, 2, 10).unwrap_err();
        assert_eq!(error, Error::NotFinite { lead: 1, sample: 3 });
        data[13] = 1e30;
        assert!(matches!(Leads::new(&data, 2, 10), Err(Error::TooLarge { lead: 1, .. })));
    }

    #[test]
    fn the_first_impossible_sample_is_told_wherever_it_lies() {
        for at in [0, 1023, 1024, 2999] {
            let mut data = vec![0.1_f64; 3000];
            data[at] = -32_768.0;
            let error = Leads::new(&data, 1, 3000).unwrap_err();
            assert_eq!(error, Error::TooLarge { lead: 0, sample: at, value: -32_768.0 });
        }
    }

    #[test]
    fn microvolts_are_told_from_artefacts_and_flat_leads() {
        let beat = |i: usize| if i % 400 < 10 { 1.0 } else { 0.0 };
        let mv: Vec<f64> = (0..4000).map(beat).collect();
        let check = |data: &[f64], leads: usize| {
            Leads::new(data, leads, data.len() / leads).unwrap().require_plausible(500.0)
        };
        let scaled: Vec<f64> = mv.iter().map(|v| v * 200.0).collect();
        assert!(matches!(check(&scaled, 1), Err(Error::Implausible { .. })));
        assert!(check(&mv, 1).is_ok());
        assert!(check(&[scaled.clone(), mv.clone()].concat(), 2).is_ok());
        assert!(check(&[scaled.clone(), vec![300.0; 4000]].concat(), 2).is_err());
        assert!(check(&vec![300.0; 4000], 1).is_ok());
        let mut artefact = mv;
        artefact[..1500].copy_from_slice(&scaled[..1500]);
        assert!(check(&artefact, 1).is_ok());
    }
}
