"""What an operator does beside a running server."""

import subprocess
import sys
import time
from pathlib import Path

CLI = Path(sys.executable).with_name("ecg-serve")


def use(model, *options):
    done = subprocess.run(
        [CLI, "model", "use", str(model), "--json", *options],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def wait_until(condition, limit_s=60):
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about"
        time.sleep(0.2)
