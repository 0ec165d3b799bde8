//! How this module was built.

use pyo3::prelude::*;

#[derive(IntoPyObject)]
pub(crate) struct BuildInfo {
    version: &'static str,
    algorithm_version: &'static str,
    rustc: &'static str,
    profile: &'static str,
    target: &'static str,
    features: Vec<&'static str>,
    cpu_features: Vec<&'static str>,
    simd_path: &'static str,
}

#[pyfunction]
pub(crate) fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        algorithm_version: ecg_core::ALGORITHM_VERSION,
        rustc: env!("BUILD_RUSTC"),
        profile: env!("BUILD_PROFILE"),
        target: env!("BUILD_TARGET"),
        features: vec!["abi3-py310"],
        cpu_features: cpu_features(),
        simd_path: ecg_core::simd::path().name(),
    }
}

/// Name those that this processor has.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! found {
    ($detected:ident: $($name:tt),*) => {
        [$(($name, std::arch::$detected!($name))),*]
            .into_iter()
            .filter_map(|(name, present)| present.then_some(name))
            .collect()
    };
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    found!(is_x86_feature_detected:
        "sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl")
}

#[cfg(target_arch = "aarch64")]
fn cpu_features() -> Vec<&'static str> {
    found!(is_aarch64_feature_detected: "neon", "fp16", "sve")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}
