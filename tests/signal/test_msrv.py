"""The oldest compiler that Cargo.toml promises does build the library.

Clippy's `incompatible_msrv` refuses functions of the standard library that are newer; only the
compiler itself knows of syntax, and of what the dependencies ask for.
"""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RUST = Path(__file__).parents[2] / "rust_native"
PROMISED = tomllib.loads((RUST / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]


def test_the_oldest_promised_compiler_builds_all_of_it():
    if shutil.which("rustup") is None or not _installed(PROMISED):
        pytest.skip(f"rustup toolchain install {PROMISED} --profile minimal, to try it")
    command = ["cargo", f"+{PROMISED}", "check", "--locked", "--workspace", "--all-targets"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(RUST / "target/msrv")}
    done = subprocess.run(command, cwd=RUST, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_people_are_told_the_same():
    for document in ("README.md", "scripts/build_ffi.sh"):
        assert f"Rust {PROMISED} or newer" in (RUST / document).read_text(), document


def _installed(toolchain: str) -> bool:
    command = ["rustup", "toolchain", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return any(line.startswith(f"{toolchain}-") for line in listed.splitlines())
