//! Notes how the module is built, for `build_info()`.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map_or_else(|_| "unknown".into(), |out| out.stdout);
    let version = String::from_utf8_lossy(&version).trim().to_owned();
    println!("cargo::rustc-env=BUILD_RUSTC={version}");
    for name in ["PROFILE", "TARGET"] {
        println!("cargo::rustc-env=BUILD_{name}={}", env::var(name).unwrap_or_default());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
}
