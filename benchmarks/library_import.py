"""What `import ecg_processor_py` adds to Python + NumPy: resident memory and time."""

import subprocess
import sys

import numpy as np

from benchmarks.reporting import print_header

TIMES = 9
LIMIT_MB = 15.0
PROBE = """
import time, numpy
def resident_kb():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS"))
before, started = resident_kb(), time.perf_counter()
{statement}
print(resident_kb() - before, time.perf_counter() - started)
"""


def added(statement: str) -> tuple[float, float]:
    """Median added (MB, ms) over fresh processes."""
    rows = []
    for _ in range(TIMES):
        done = subprocess.run(
            [sys.executable, "-c", PROBE.format(statement=statement)],
            check=True,
            capture_output=True,
            text=True,
        )
        kilobytes, seconds = map(float, done.stdout.split())
        rows.append((kilobytes / 1024, seconds * 1e3))
    megabytes, milliseconds = np.median(rows, axis=0)
    return float(megabytes), float(milliseconds)


def main() -> None:
    print_header(f"Added by an import, above Python + NumPy; median of {TIMES} processes")
    library = added("import ecg_processor_py")
    peer = added("import scipy.signal")
    for name, (megabytes, milliseconds) in {
        "ecg_processor_py": library,
        "scipy.signal (peer)": peer,
    }.items():
        print(f"{name:<24} {megabytes:6.1f} MB  {milliseconds:7.1f} ms")
    print(f"ratio to scipy.signal: {library[0] / peer[0]:.2f} of its memory")
    assert library[0] < LIMIT_MB, f"over {LIMIT_MB} MB"


if __name__ == "__main__":
    main()
