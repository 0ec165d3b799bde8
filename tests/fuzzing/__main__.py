"""`python -m tests.fuzzing --inputs 100000`: what decoding and analysis make of damaged recordings.

Each worker is a process of its own, so that a crash or a hang is told with the input that did it.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from tests.fuzzing.campaign import Campaign, run

_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def main() -> int:
    """Run, report, and fail where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="Number of the first input.")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ECG_TEST_DATA", _DATA)))
    asked = parser.parse_args()
    started_s = time.monotonic()
    data_dir = asked.data if asked.data.is_dir() else None
    report = run(Campaign(data_dir, asked.first, asked.inputs, asked.workers))
    print(report.summary(), f"{time.monotonic() - started_s:.0f} s")  # noqa: T201
    for finding in report.findings:
        print(finding)  # noqa: T201
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
