"""Run every benchmark, one process each, and keep what it prints in `benchmarks/results/`."""

import subprocess
import sys

from benchmarks.reporting import RESULTS

NAMES = (
    "library_import",
    "accuracy",
    "fit_detector",
    "quality_auc",
    "signal_speed",
    "streaming",
    "filters",
    "instructions",
    "decoding",
    "startup",
    "http_latency",
    "request_cost",
    "full_size",
    "engines",
    "batching",
    "live_streams",
    "long_recordings",
)

RESULTS.mkdir(exist_ok=True)
for name in sys.argv[1:] or NAMES:
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(f"== {name}\n{done.stdout}", flush=True)
    (RESULTS / f"{name}.txt").write_text(f"$ python -m benchmarks.{name}\n{done.stdout}")
