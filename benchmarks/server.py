"""A real `ecg-serve up` in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket

START_LIMIT_S = 120.0


@contextmanager
def running_server(*options: str) -> Iterator[tuple[str, list[str], float]]:
    """Yields (URL, what `up` reported, seconds until it said ready)."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    started_s = time.perf_counter()
    process = subprocess.Popen(
        [Path(sys.executable).with_name("ecg-serve"), "up", "--port", str(port), *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    try:
        assert process.stderr
        lines = []
        for line in process.stderr:
            lines.append(line.strip())
            if line.startswith("ready"):
                break
        else:
            raise RuntimeError("the server did not start:\n" + "\n".join(lines))
        (named,) = [line.split() for line in lines if line.startswith("RAY_ADDRESS=")]
        with environment(**dict(each.split("=", 1) for each in named)):
            yield url, lines, time.perf_counter() - started_s
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Variables for what is started meanwhile, so that it finds this server and no other."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
