"""What needs a process of its own: forced vector paths, one or two cores, resident memory."""

import json
import os
import subprocess
import sys

import numpy as np

from benchmarks.speed_timing import line

PATHS = ("portable", "avx2", "avx512")
TIMES = 5

ANALYZE = """
import json, sys, ecg_processor_py as ecg
from benchmarks.speed_inputs import recording_500_hz
from benchmarks.speed_timing import interleaved_ms
x, analyzer = recording_500_hz(), ecg.ECGAnalyzerFFI()
times = interleaved_ms({
    "analyze 12 x 5000 f32": lambda: analyzer.analyze(x),
    "bandpass 12 x 5000 f32": lambda: ecg.bandpass(x, 500.0),
}, 40)
json.dump([ecg.build_info(), {name: t.tolist() for name, t in times.items()}], sys.stdout)
"""

BATCH = """
import json, os, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
import ecg_processor_py as ecg
from benchmarks.speed_inputs import recording_500_hz
signals, analyzer = [recording_500_hz().copy() for _ in range(100)], ecg.ECGAnalyzerFFI()
analyzer.analyze_batch(signals)
times = []
for _ in range(15):
    started = time.perf_counter()
    analyzer.analyze_batch(signals)
    times.append((time.perf_counter() - started) * 1e3)
json.dump(times, sys.stdout)
"""

# The benchmark of the library's own documentation, then a thousand analyses for the memory.
SNIPPET = """
import json, sys, time, numpy as np
def resident_mb(name):
    line = next(l for l in open("/proc/self/status") if l.startswith(name))
    return int(line.split()[1]) / 1024
before = resident_mb("VmRSS")
from ecg_processor_py import ECGAnalyzerFFI
analyzer = ECGAnalyzerFFI(use_ffi=sys.argv[1] == "rust")
signal = np.random.default_rng(5).standard_normal(5000)
for _ in range(10):
    analyzer.analyze(signal)
times = []
for _ in range(100):
    started = time.perf_counter()
    result = analyzer.analyze(signal)
    times.append((time.perf_counter() - started) * 1e3)
for _ in range(900):
    analyzer.analyze(signal)
json.dump([result.processing_backend, times, resident_mb("VmHWM") - before], sys.stdout)
"""


def main() -> None:
    print_paths()
    print_batch()
    print_snippet()


def print_paths() -> None:
    """Time each path of vector instructions where the library can be told which to take."""
    print("\n== paths of vector instructions, forced by ECG_SIMD; ratios to the first")
    first: dict[str, np.ndarray] = {}
    for path in PATHS:
        info, times = _answer(ANALYZE, env={"ECG_SIMD": path})
        if path not in _strings(info, "simd"):
            print(f"{path}: cannot be forced here")
            continue
        for name, values in times.items():
            print(line(f"{path}: {name}", np.array(values), first.setdefault(name, values)))


def print_batch() -> None:
    """Time a batch on one core and on two, by the wall, turn by turn."""
    print("\n== analyze_batch of 100 strips of 12 x 5000, wall time")
    rows: dict[int, list[float]] = {1: [], 2: []}
    for cores in (1, 2) * 5:
        rows[cores] += _answer(BATCH, str(cores))
    one, two = (np.array(rows[cores]) for cores in (1, 2))
    print(line("1 core", one))
    print(line("2 cores", two))
    best = one.min() / two.min()
    print(f"speed-up: {np.median(one) / np.median(two):.2f} (best of each: {best:.2f})")


def print_snippet() -> None:
    """Run 10 warm-ups and 100 analyses of 5000 samples of noise, in either backend."""
    print("\n== 10 warm-ups, 100 analyses of 5000 samples of noise (wall), added memory after 1000")
    medians = {}
    for backend in ("rust", "python"):
        rows = [_answer(SNIPPET, backend) for _ in range(TIMES)]
        times = np.concatenate([row[1] for row in rows])
        assert {row[0] for row in rows} == {backend}
        medians[backend] = np.median(times)
        print(
            f"{line(backend, times)}   mean {times.mean():.3f} ms   "
            f"{1e3 / times.mean():.0f}/s   +{np.median([row[2] for row in rows]):.1f} MB"
        )
    print(f"ratio python / rust: {medians['python'] / medians['rust']:.1f}")


def _strings(info: dict[str, object], part: str) -> list[object]:
    return [value for key, value in info.items() if part in key]


def _answer(program: str, *args: str, env: dict[str, str] | None = None):
    command = [sys.executable, "-c", program, *args]
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout)
