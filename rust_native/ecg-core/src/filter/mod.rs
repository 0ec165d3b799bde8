//! Zero-phase filters: band, mains, baseline.
//!
//! Each of them writes into memory of the caller and, after a warm-up, allocates none itself.

mod bank;
mod baseline;
mod cascade;
mod design;
mod joints;
mod lanes;
mod machine;
mod turn;
mod zero_phase;

use crate::error::Error;
use crate::leads::{Leads, Sample};
use design::Design;
pub use design::MAX_ORDER;
use zero_phase::{Level, zero_phase};

/// A band to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// Cut-off of the high-pass, Hz (-6 dB, as it is applied twice).
    pub low_hz: f64,
    /// Cut-off of the low-pass, Hz.
    pub high_hz: f64,
    /// Order of each of the two, 1 to 8.
    pub order: usize,
    /// Mains to take out on the way, if any.
    pub mains: Option<Mains>,
}

/// A mains frequency to take out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mains {
    /// Its frequency, Hz.
    pub hz: f64,
    /// Frequency over bandwidth (-3 dB, one way), 1 to 200.
    pub q: f64,
}

/// How a baseline is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Baseline {
    /// What a second-order Butterworth high-pass of this cut-off in Hz stops.
    HighPass(f64),
    /// Running medians over 200 ms and 600 ms (de Chazal 2004).
    Median,
}

/// Keep `band`: Butterworth high-pass and low-pass, forwards and backwards.
///
/// # Errors
/// [`Error::Parameter`] for rates, cut-offs or an order out of bounds, [`Error::OutputSize`].
pub fn bandpass_into<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    band: &Band,
    out: &mut [S],
) -> Result<(), Error> {
    let mut design = Design::band(fs_hz, band.low_hz, band.high_hz, band.order)?;
    if let Some(mains) = band.mains {
        design.add_notch(fs_hz, mains.hz, mains.q)?;
    }
    x.require_same_size(out)?;
    zero_phase(&design, x, fs_hz, Level::Dropped, out);
    Ok(())
}

/// Take out the mains with a second-order notch, forwards and backwards.
///
/// # Errors
/// [`Error::Parameter`] for a rate, a frequency or a quality out of bounds, [`Error::OutputSize`].
pub fn notch_into<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    mains: Mains,
    out: &mut [S],
) -> Result<(), Error> {
    let mut design = Design::new();
    design.add_notch(fs_hz, mains.hz, mains.q)?;
    x.require_same_size(out)?;
    zero_phase(&design, x, fs_hz, Level::Restored, out);
    Ok(())
}

/// Take out the baseline.
///
/// # Errors
/// [`Error::Parameter`] for a rate or a cut-off out of bounds, [`Error::OutputSize`].
pub fn remove_baseline_into<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    baseline: Baseline,
    out: &mut [S],
) -> Result<(), Error> {
    x.require_same_size(out)?;
    match baseline {
        Baseline::HighPass(cutoff_hz) => {
            zero_phase(&Design::highpass(fs_hz, cutoff_hz)?, x, fs_hz, Level::Dropped, out);
        }
        Baseline::Median => {
            crate::leads::require_rate("fs_hz", fs_hz)?;
            for (row, out) in x.rows().zip(out.chunks_exact_mut(x.samples())) {
                baseline::subtract_medians(row, fs_hz, out);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
