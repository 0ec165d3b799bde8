"""Instructions that the core executes, counted by callgrind: a gate that noise cannot move.

$ python -m benchmarks.instructions [--store]

Each case runs 2 and 6 times in `rust_native/ecg-core/examples/instructions.rs`; a quarter of the
difference is one call after warm-up. The counts kept in `instructions.json` depend on the compiler:
with the `rustc` named there a case may take 3 % more, with another one 15 %, so that the gate is
wider there but never off. `--store` keeps the present counts. Valgrind knows no AVX-512.
"""

import argparse
import json
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
STORE = Path(__file__).with_suffix(".json")
PROGRAM = ROOT / "rust_native/target/release/examples/instructions"
CASES = (
    "analyze_12x5000",
    "analyze_1x5000",
    "bandpass_12x5000",
    "resample_12x10000",
    "prepare_12x5000",
)
PATHS = ("portable", "avx2")
FEW, MANY = 2, 6
MORE_ALLOWED, MORE_WITH_ANOTHER_RUSTC = 0.03, 0.15


def rustc_version() -> str:
    done = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def build() -> None:
    manifest = ROOT / "rust_native/Cargo.toml"
    options = ["--release", "--package", "ecg-core", "--example", "instructions"]
    command = ["cargo", "build", "--quiet", "--manifest-path", str(manifest), *options]
    subprocess.run(command, check=True)


def executed(case: str, path: str, times: int) -> int:
    """Count the instructions of a whole process.

    Raises:
        RuntimeError: the program failed under valgrind.
    """
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [str(PROGRAM), case, path, str(times)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    counted = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not counted:
        raise RuntimeError(f"{case} {path} failed under valgrind: {done.stderr[-500:]}")
    return int(counted[1])


def count(case: str, path: str) -> int:
    """Count the instructions of one call."""
    return (executed(case, path, MANY) - executed(case, path, FEW)) // (MANY - FEW)


def count_all() -> dict[str, int]:
    """Build, then count every case on every path."""
    build()
    return {f"{case} {path}": count(case, path) for case in CASES for path in PATHS}


def load_stored() -> tuple[str, dict[str, int]]:
    stored = json.loads(STORE.read_text())
    return stored["rustc"], stored["counts"]


def store(counts: dict[str, int]) -> None:
    STORE.write_text(json.dumps({"rustc": rustc_version(), "counts": counts}, indent=2) + "\n")


def exceeding(counts: dict[str, int], stored: dict[str, int], allowed: float) -> dict[str, float]:
    """Give the cases that take more than allowed above the stored count, with the ratio."""
    ratios = {name: counts[name] / stored[name] for name in counts}
    return {name: ratio for name, ratio in ratios.items() if ratio > 1 + allowed}


def allowance(stored_rustc: str) -> float:
    """How much more is allowed with the compiler that is here."""
    return MORE_ALLOWED if rustc_version() == stored_rustc else MORE_WITH_ANOTHER_RUSTC


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", action="store_true", help="keep the present counts")
    wanted = parser.parse_args()
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is missing: apt-get install valgrind")
    counts = count_all()
    if wanted.store or not STORE.exists():
        store(counts)
    stored_rustc, stored = load_stored()
    print(f"Instructions of one call, callgrind; {rustc_version()}, stored with {stored_rustc}")
    for name, instructions in counts.items():
        print(
            f"{name:<28} {instructions / 1e6:9.3f} M  {instructions / stored[name]:6.3f} of stored"
        )
    too_many = exceeding(counts, stored, allowance(stored_rustc))
    if too_many:
        raise SystemExit(f"more than stored: {too_many}")


if __name__ == "__main__":
    main()
