//! The one error type of this crate.

use std::fmt;

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
                "lead {lead} is not finite at sample {sample}: \
                 interpolate or cut gaps before analysis"
            ),
            Self::TooLarge { lead, sample, value } => write!(
                f,
                "lead {lead} has {value} mV at sample {sample}: check the units (mV expected)"
            ),
            Self::TooShort { samples, fs_hz, least_s } => write!(
                f,
                "{samples} samples are {:.2} s at {fs_hz} Hz, at least {least_s} s are needed; \
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

impl std::error::Error for Error {}
