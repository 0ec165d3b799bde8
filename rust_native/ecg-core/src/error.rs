//! The one error type of this crate.

use crate::leads::MAX_ABS_MV;
use std::fmt;

/// What recorders store where a sample is missing.
const MISSING: f64 = -32_768.0;

/// Why a signal or a parameter cannot be used. The texts say what to do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The number of samples is not leads times samples, or one of them is zero.
    Shape {
        /// Samples handed over.
        len: usize,
        /// Leads stated.
        leads: usize,
        /// Samples of each lead stated.
        samples: usize,
    },
    /// A sample is NaN or infinite.
    NotFinite {
        /// Row of the lead.
        lead: usize,
        /// Index of the sample.
        sample: usize,
    },
    /// A sample is beyond anything an electrode can show.
    TooLarge {
        /// Row of the lead.
        lead: usize,
        /// Index of the sample.
        sample: usize,
        /// The value, mV.
        value: f64,
    },
    /// Every lead swings further than a heart can move it.
    Implausible {
        /// Widest swing within a block, mV.
        swing_mv: f64,
        /// What is believed, mV.
        most_mv: f64,
    },
    /// Samples are missing for longer than may be filled.
    Gap {
        /// Row of the lead.
        lead: usize,
        /// Where it starts, s.
        start_s: f64,
        /// Where it ends, s.
        end_s: f64,
        /// What may be filled, s.
        longest_s: f64,
    },
    /// The recording is too short.
    TooShort {
        /// Samples there are.
        samples: usize,
        /// Sampling rate, Hz.
        fs_hz: f64,
        /// Seconds needed.
        least_s: f64,
    },
    /// Too few samples to resample.
    TooFewToResample {
        /// Samples there are.
        samples: usize,
        /// Present rate, Hz.
        fs_in: f64,
        /// Wanted rate, Hz.
        fs_out: f64,
    },
    /// A lead is asked for that the signal does not have.
    NoSuchLead {
        /// Row asked for.
        lead: usize,
        /// Rows there are.
        leads: usize,
    },
    /// The memory for the result has another size.
    OutputSize {
        /// Samples it holds.
        len: usize,
        /// Samples of the result.
        needed: usize,
    },
    /// Vector instructions that this processor lacks.
    NoSuchPath {
        /// Their name.
        name: &'static str,
    },
    /// A parameter is out of bounds.
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it must be.
        must: &'static str,
        /// Its value.
        value: f64,
    },
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The samples.
    Signal,
    /// A parameter.
    Config,
}

impl Error {
    /// Tell whether the samples or a parameter are to blame.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parameter { .. } | Self::OutputSize { .. } | Self::NoSuchPath { .. } => {
                ErrorKind::Config
            }
            _ => ErrorKind::Signal,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { len, leads, samples } => {
                write!(f, "{len} samples cannot be {leads} leads of {samples} samples")
            }
            Self::NotFinite { lead, sample } => write!(
                f,
                "lead {lead} is not finite at sample {sample}: fill short gaps with fill_gaps, \
                 cut the recording at long ones"
            ),
            Self::TooLarge { lead, sample, value } => write!(
                f,
                "lead {lead} has {value} mV at sample {sample}, no electrode shows more than \
                 {MAX_ABS_MV}: {}",
                likely_cause(*value)
            ),
            Self::Implausible { swing_mv, most_mv } => write!(
                f,
                "the leads swing by {swing_mv:.0} mV, no heart moves them by more than {most_mv}: \
                 check the units (mV expected), this looks like microvolts or ADU; divide by \
                 1000 or by the gain"
            ),
            Self::Gap { lead, start_s, end_s, longest_s } => write!(
                f,
                "lead {lead} has no samples from {start_s:.3} s to {end_s:.3} s, and only gaps up \
                 to {longest_s} s are filled: cut there or raise longest_s"
            ),
            Self::TooShort { samples, fs_hz, least_s } => write!(
                f,
                "{samples} samples are {:.3} s at {fs_hz} Hz, at least {least_s} s are needed; \
                 the shape must be (samples,) or (leads, samples)",
                *samples as f64 / fs_hz
            ),
            Self::TooFewToResample { samples, fs_in, fs_out } => {
                write!(f, "{samples} samples at {fs_in} Hz are too few to resample to {fs_out} Hz")
            }
            Self::NoSuchLead { lead, leads } => write!(f, "no lead {lead} among {leads}"),
            Self::OutputSize { len, needed } => {
                write!(f, "out holds {len} samples, the result has {needed}")
            }
            Self::NoSuchPath { name } => {
                write!(f, "this processor has no {name} instructions")
            }
            Self::Parameter { name, must, value } => {
                write!(f, "{name} must be {must}, not {value}")
            }
        }
    }
}

/// What may have happened to a sample that no electrode shows.
fn likely_cause(value: f64) -> &'static str {
    if value == MISSING {
        "-32768 marks a missing sample, fill it with fill_gaps(x, fs_hz, marker=-32768)"
    } else {
        "check the units (mV expected), microvolts and ADU must be divided by 1000 or by the gain"
    }
}

impl std::error::Error for Error {}
