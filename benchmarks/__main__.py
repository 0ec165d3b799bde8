"""Run every benchmark, one process each."""

import subprocess
import sys

NAMES = ("library_import", "startup", "http_latency", "full_size", "batching")

for name in NAMES:
    print(f"\n== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
