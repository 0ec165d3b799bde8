"""Each format's decoding, checks and all, against the library that people use for it.

A format that is not read by this version is said to be so; its sample stays in the list.
"""

import time
from collections.abc import Callable

import numpy as np

from benchmarks.decoding_cases import Case, cases
from benchmarks.reporting import print_header, row
from serve_app.errors import InvalidFormat, SchemaViolation, UnsupportedMediaType

ROUNDS = 40
# Longer than this, and a format is measured in fewer rounds.
PATIENCE_S = 4.0
JSON_LIMIT_MS = 5.0
# FHIR is JSON of another schema to a version that does not know it.
NOT_READ = (InvalidFormat, SchemaViolation, UnsupportedMediaType)


def report(case: Case) -> None:
    """Check that both read the same, then time them in turn, so that noise falls on both alike."""
    try:
        recording = case.decode()
    except NOT_READ as error:
        print(f"{case.name:<44} not read by this version: {error.code}")
        return
    if case.peer is not None:
        apart_mv = case.farthest_mv()
        assert apart_mv <= case.atol_mv, f"{case.name}: {apart_mv} mV apart"
    times_ms, peers_ms, cpu_ms = timed(case)
    leads, samples = recording.signal_mv.shape
    print(row(f"{case.name}, {leads} x {samples}", times_ms))
    if peers_ms:
        ratio = np.median(peers_ms) / np.median(times_ms)
        print(row(f"  {case.peer_name}", peers_ms) + f"   {ratio:.2f} times ours")
    else:
        print("  no library to compare with")
    if case.name.startswith("JSON"):
        print(f"  CPU time p50 {np.median(cpu_ms):.2f} ms of {JSON_LIMIT_MS:g}")
        assert np.median(cpu_ms) <= JSON_LIMIT_MS


def timed(case: Case) -> tuple[list[float], list[float], list[float]]:
    """Wall times of both, since some libraries work in other threads or processes; ours on CPU."""
    ours_ms, peers_ms, cpu_ms = [], [], []
    deadline_s = time.perf_counter() + PATIENCE_S
    while len(ours_ms) < ROUNDS and (len(ours_ms) < 5 or time.perf_counter() < deadline_s):
        started_ns = time.thread_time_ns()
        ours_ms.append(wall_ms(case.decode))
        cpu_ms.append((time.thread_time_ns() - started_ns) / 1e6)
        if case.peer is not None:
            peers_ms.append(wall_ms(case.peer))
    return ours_ms, peers_ms, cpu_ms


def wall_ms(call: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    call()
    return (time.perf_counter() - started_s) * 1e3


def main() -> None:
    peers = ("wfdb", "pydicom", "edfio", "scipy", "h5py", "sierraecg", "pandas", "pyarrow")
    print_header("One recording from bytes to millivolts, hash and checks included", peers)
    for case in cases():
        report(case)


if __name__ == "__main__":
    main()
