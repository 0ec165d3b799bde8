"""Every engine and precision on a full-size ECG-FM (seeded weights), against plain torch float32.

Speed and error in one process, in turn; then each engine alone in a process of its own, from the
files of a model to ready: how long it takes, and how much memory at most.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.full_size import full_size_model, recorded_segments
from benchmarks.reporting import print_header
from serve_app.decoding import decode_path
from serve_app.engine.comparison import EngineRow, compare_engines
from serve_app.model.conversion import write_model
from serve_app.model.sensitivity import quantize_within
from serve_app.preprocessing import prepare

THREADS, ROUNDS, BATCHES = 2, 9, (1, 2, 8)
MOST_INT8_SHARE = 0.30
REPLICA = """
import json, sys, time
import torch
from serve_app.engine.choosing import make_engine
from serve_app.model.checkpoints import load_model
folder, engine, precision, threads, mapped = sys.argv[1:]
began = time.perf_counter()
loaded = load_model(folder, mapped=mapped == "mapped")
made = make_engine(loaded, engine, precision, threads=int(threads))
del loaded
load_s = time.perf_counter() - began
made.warm()
peak_kb = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(json.dumps({"load_s": load_s, "peak_mb": peak_kb / 1e3}), flush=True)
sys.stdin.read()
"""


def main() -> None:
    print_header(f"Engines on a full-size ECG-FM, {THREADS} threads")
    loaded, segments = full_size_model(), real_segments()
    found = compare_engines(loaded, segments, batches=BATCHES, threads=THREADS, rounds=ROUNDS)
    print(f"{found.parameters / 1e6:.2f} M parameters; errors on {found.segments} real segments")
    print(f"median of {ROUNDS}, in turn; x: times plain torch float32; ±: middle half / median")
    for row in found.rows:
        print(told(row))
    assert found.within_limit
    with tempfile.TemporaryDirectory() as name:
        whole, rounded = Path(name) / "fp32", Path(name) / "int8"
        write_model(loaded, whole)
        quantized = quantize_within(loaded, recorded_segments(), 0.01)
        write_model(quantized.model, rounded)
        share = size(rounded) / size(whole)
        sizes = f"fp32 {size(whole) / 1e6:.1f} MB, int8 {size(rounded) / 1e6:.1f} MB"
        print(f"files: {sizes}, {share:.3f} of it")
        assert share <= MOST_INT8_SHARE
        for row in found.rows:
            folder = rounded if row.precision == "int8" else whole
            print(replica(folder, row))
        print(two_replicas(whole))


def told(row: EngineRow) -> str:
    speeds = "  ".join(
        f"{batch}: {rate:5.1f}/s {row.speed_up[batch]:4.2f} x ±{100 * row.spread[batch]:.0f} %"
        for batch, rate in row.segments_per_s.items()
    )
    return (
        f"{row.engine:>9} {row.precision:4}  {speeds}  "
        f"|Δlogit| {row.max_logit_error:.1e} |Δp| {row.max_probability_error:.4f}  "
        f"{row.weights_mb:.0f} MB"
    )


def replica(folder: Path, row: EngineRow) -> str:
    # As it is served: weights are copied only where the engine keeps them.
    how = "own" if row.engine == "torch" else "mapped"
    with started(folder, row.engine, row.precision, how) as process:
        facts = answer(process)
    return (
        f"alone: {row.engine:>9} {row.precision:4} files to engine {facts['load_s']:.2f} s, "
        f"peak memory {facts['peak_mb']:.0f} MB"
    )


def two_replicas(folder: Path) -> str:
    """What the second of two on one machine costs, its weights copied or mapped."""
    parts = []
    for how in ("own", "mapped"):
        pair = [started(folder, "torch", "fp32", how) for _ in range(2)]
        for process in pair:
            answer(process)
        rollup = Path(f"/proc/{pair[1].pid}/smaps_rollup").read_text()
        pss_kb = next(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
        parts.append(f"{how} weights {pss_kb / 1e3:.0f} MB")
        for process in pair:
            process.communicate()
    return f"PSS of one of two replicas, torch fp32: {', '.join(parts)}"


def started(folder: Path, engine: str, precision: str, how: str) -> subprocess.Popen[str]:
    arguments = (str(folder), engine, precision, str(THREADS), how)
    return subprocess.Popen(
        [sys.executable, "-c", REPLICA, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> dict[str, float]:
    return json.loads(process.stdout.readline())


def real_segments() -> np.ndarray:
    """Of 32 public recordings that nothing was measured on, or else pydicom's own."""
    data = Path(os.environ.get("ECG_TEST_DATA", "../shared/data"))
    paths = sorted((data / "twelve_lead/ptbxl/records500").rglob("*.hea"))[:32]
    if not paths:
        return recorded_segments()
    return np.concatenate([prepare(decode_path(path)).segments for path in paths])


def size(folder: Path) -> int:
    return (folder / "model.safetensors").stat().st_size


if __name__ == "__main__":
    main()
