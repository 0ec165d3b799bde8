"""Filters, resampling and the model's input of 12 leads x 10 s, against SciPy, NumPy and soxr."""

import time
from collections.abc import Callable

import ecg_processor_py as ecg
import numpy as np

from benchmarks.filter_cases import SAMPLES, Case, cases
from benchmarks.reporting import print_header

ROUNDS, PEER_ROUNDS = 200, 20
CALLS = 5


def report(case: Case) -> None:
    """Check, then time every path in turn with the others, so that noise falls on all alike."""
    difference = case.difference()
    assert difference < case.allowed, (case.name, case.peer_name, difference)
    case.peer()
    peer_us = np.median([mean_us(case.peer) for _ in range(PEER_ROUNDS)])
    print(f"\n{case.name}; peer: {case.peer_name}, {peer_us:.0f} us, {difference:.1e} apart")
    for path, times_us in by_path(case).items():
        low, median, high = np.percentile(times_us, [5, 50, 95])
        print(
            f"  {path:<9} p50 {median:8.1f} us   p5 {low:8.1f}   p95 {high:8.1f}"
            f"   peer / ours {peer_us / median:7.1f}"
        )


def by_path(case: Case) -> dict[str, np.ndarray]:
    """Times of a call in us; a sample is the mean of several, after one to warm the path up."""
    times_us: dict[str, list[float]] = {path: [] for path in ecg.available_simd_paths()}
    try:
        for _ in range(ROUNDS):
            for path, times in times_us.items():
                ecg.force_simd_path(path)
                case.ours()
                times.append(mean_us(case.ours))
    finally:
        ecg.force_simd_path("auto")
    return {path: np.array(times) for path, times in times_us.items()}


def mean_us(call: Callable[[], object]) -> float:
    started_ns = time.thread_time_ns()
    for _ in range(CALLS):
        call()
    return (time.thread_time_ns() - started_ns) / CALLS / 1e3


def main() -> None:
    print_header(
        f"12 leads x {SAMPLES} float32 with out=, CPU time, n={ROUNDS} of {CALLS} calls",
        ("scipy", "soxr"),
    )
    for case in cases():
        report(case)


if __name__ == "__main__":
    main()
