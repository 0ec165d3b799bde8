#!/usr/bin/env bash
# Run the core's tests under ThreadSanitizer: data races end them. Takes minutes; needs once
#   rustup toolchain install nightly --profile minimal --component rust-src
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(rustc +nightly -vV | sed -n 's/^host: //p')
# The standard library is built anew: without, its own synchronisation would not be seen.
RUSTFLAGS="-Zsanitizer=thread" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/thread_sanitizer}" \
    cargo +nightly test -Zbuild-std --locked --target "$target" -p ecg-core --tests "$@"
