//! ECG signal processing without any dependency: filters, R peaks, signal quality, heart-rate
//! variability, rhythm anomalies and the input of the ECG-FM model.
//!
//! Signals are [`Leads`]: borrowed `f32` or `f64` samples, lead after lead, in millivolts.
//! Nothing here panics on any input: what cannot be used is an [`Error`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod analyze;
pub mod candidates;
pub mod chain;
pub mod curves;
pub mod error;
pub mod evidence;
pub mod filter;
pub mod gaps;
pub mod hrv;
pub mod indices;
pub mod issues;
pub mod leads;
pub mod likeness;
pub mod mains;
pub mod median_beat;
pub mod moving_sum;
pub mod order;
pub mod prepare;
pub mod quality;
pub mod reductions;
pub mod resample;
pub mod reversal;
pub mod rhythm;
pub mod rpeaks;
pub mod scratch;
pub mod segment;
pub mod shapes;
pub mod simd;
pub mod snr;
pub mod standardize;
pub mod stream;
pub mod voices;

pub use analyze::{Analysis, Options, analyze};
pub use error::{Error, ErrorKind};
pub use leads::{Leads, Sample};

/// Version of the algorithms: it changes whenever a result may change.
pub const ALGORITHM_VERSION: &str = "0.3.0";
