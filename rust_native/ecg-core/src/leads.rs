//! Borrowed samples of one or more leads.

use crate::error::Error;
use crate::simd;

/// Beyond this no electrode can be, mV. It also keeps squares and sums finite.
pub const MAX_ABS_MV: f64 = 1e6;
const BLOCK: usize = 1024;

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
        if let Some(at) = first_impossible(data) {
            let (lead, sample, value) = (at / samples, at % samples, data[at].into());
            return Err(if value.is_finite() {
                Error::TooLarge { lead, sample, value }
            } else {
                Error::NotFinite { lead, sample }
            });
        }
        Ok(Self { data, count: leads, samples })
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

/// Where the first sample is that no electrode shows.
fn first_impossible<S: Sample>(data: &[S]) -> Option<usize> {
    // False for NaN.
    let possible = |value: &S| (*value).into().abs() <= MAX_ABS_MV;
    // Whole blocks without a branch each, so that they are compared several samples at a time.
    let sound =
        |block: &[S]| simd::dispatch(|| block.iter().fold(true, |all, v| all & possible(v)));
    let block = data.chunks(BLOCK).position(|block| !sound(block))?;
    let within = data[block * BLOCK..].iter().position(|value| !possible(value))?;
    Some(block * BLOCK + within)
}

/// Refuse an output of another size than needed.
///
/// # Errors
/// [`Error::OutputSize`].
pub fn require_size(len: usize, needed: usize) -> Result<(), Error> {
    if len == needed { Ok(()) } else { Err(Error::OutputSize { len, needed }) }
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
}
