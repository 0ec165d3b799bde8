//! Lines on stderr for those who set `RUST_LOG`: shapes and times, never samples.

use std::panic::catch_unwind;
use std::time::Duration;

/// What all lines of this library carry, and what a filter such as `ecg_processor_py=debug` names.
pub(crate) const TARGET: &str = "ecg_processor_py";

/// Start as `RUST_LOG` says; without it nothing is logged.
pub(crate) fn start() {
    if std::env::var_os("RUST_LOG").is_none_or(|filter| filter.is_empty()) {
        return;
    }
    // A malformed filter is told on stderr, and that panics where stderr cannot be written.
    let started = catch_unwind(|| env_logger::Builder::from_default_env().try_init().is_ok());
    if started.unwrap_or(false) {
        let version = env!("CARGO_PKG_VERSION");
        log::info!(target: TARGET, "version {version} loaded, {}", env!("BUILD_RUSTC"));
    }
}

/// Tell of one analysis.
pub(crate) fn analyzed(leads: usize, samples: usize, fs_hz: f64, took: Duration, went_well: bool) {
    let (us, how) = (took.as_micros(), if went_well { "analyzed" } else { "refused" });
    log::debug!(target: TARGET, "{how} leads={leads} samples={samples} fs_hz={fs_hz} us={us}");
}
