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

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let found = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ];
    found.iter().filter(|(_, present)| *present).map(|(name, _)| *name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}
