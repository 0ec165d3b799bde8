"""What every benchmark prints: machine, versions, medians, spread, ratio."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("ecg-fm-serve", "ecg-processor-py", "ray", "torch", "numpy")


def print_header(question: str, peers: Sequence[str] = ()) -> None:
    print(question)
    print(f"machine: {_cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("versions: " + ", ".join(f"{name} {version(name)}" for name in (*PACKAGES, *peers)))


def row(name: str, times_ms: Sequence[float]) -> str:
    """Median and spread of times in milliseconds."""
    low, median, high = np.percentile(times_ms, [5, 50, 95])
    return f"{name:<44} n={len(times_ms):<5} p50 {median:8.2f} ms   p5 {low:8.2f}   p95 {high:8.2f}"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
