"""Decoding in a process of its own, for libraries that hostile bytes can hold up or crash.

HDF5's loops for ever over some damaged files, inside one call; pyarrow's ends the process over a
damaged footer, by an exception that its binding does not catch. The process is started with the
first such recording and kept; what ends it, ends it alone, and the next recording starts another.
It has a bound on memory and on CPU time for each recording, and none of this process's
environment.
"""

import atexit
import json
import os
import struct
import subprocess
import sys
import threading
from typing import IO, Any, Final

import numpy as np

from serve_app import errors
from serve_app.decoding.decoded import Decoded
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, EcgServeError, ResourceExhausted

__all__ = ["decode_apart", "receive", "send"]

_SIZES: Final = struct.Struct("<IQ")
# Its CPU time is bounded far below; this is for a process that waits for what never comes.
_WALL_TIME_S: Final = 120
_PROGRAM: Final = "from serve_app.decoding.isolated_worker import main; main()"
_INHERITED: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")


def decode_apart(decoder: str, data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Call one of `isolated_worker`'s decoders in the other process.

    Raises:
        CorruptedData: The recording ended the process, or took too much of its time.
        EcgServeError: As the decoder.
    """
    asked = {"decoder": decoder, "hints": vars(hints), "limits": vars(limits)}
    told, body = _PROCESS.ask(asked, data)
    if "error" in told:
        raise _error(told)
    signal = np.frombuffer(body, told["dtype"]).reshape(told["shape"])
    leads = None if told["leads"] is None else tuple(told["leads"])
    return Decoded(signal, told["fs_hz"], leads, frozenset(told["units"]), told["format"])


def send(stream: IO[bytes], header: dict[str, Any], body: bytes | memoryview) -> None:
    """Write one message."""
    encoded = json.dumps(header).encode()
    stream.write(_SIZES.pack(len(encoded), len(body)) + encoded)
    stream.write(body)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read one message.

    Raises:
        EOFError: The other side is gone.
    """
    header_size, body_size = _SIZES.unpack(_exactly(stream, _SIZES.size))
    header: dict[str, Any] = json.loads(_exactly(stream, header_size))
    return header, _exactly(stream, body_size)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise EOFError
    return content


def _error(told: dict[str, Any]) -> EcgServeError:
    kind = getattr(errors, told["error"], EcgServeError)
    error: EcgServeError = kind(told["detail"], told["hint"], told["extra"])
    return error


class _Process:
    """The other process; one recording at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None

    def ask(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Send a message and wait for the answer.

        Raises:
            CorruptedData: The process ended over it.
            ResourceExhausted: It cannot be started.
        """
        with self._lock:
            running = self._running
            if running is None or running.poll() is not None:
                running = self._running = _start()
            watch = threading.Timer(_WALL_TIME_S, running.kill)
            watch.start()
            try:
                assert running.stdin is not None  # noqa: S101 - both are pipes
                assert running.stdout is not None  # noqa: S101
                send(running.stdin, header, body)
                return receive(running.stdout)
            except (EOFError, OSError):
                self._end()
                raise CorruptedData(
                    "The recording is damaged: the library that reads its format gave up on it."
                ) from None
            finally:
                watch.cancel()

    def stop(self) -> None:
        """End the process, if one runs."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """Leave the process to the one that this was forked from."""
        self._lock, self._running = threading.Lock(), None

    def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.kill()
            running.communicate()


def _start() -> subprocess.Popen[bytes]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    paths = os.pathsep.join(path or str(os.getcwd()) for path in sys.path)  # noqa: PTH109
    try:
        started = subprocess.Popen(  # noqa: S603 - a program of ours
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**inherited, **threads, "PYTHONPATH": paths},
        )
        assert started.stdout is not None  # noqa: S101 - a pipe
        receive(started.stdout)  # it greets, so that a failure to start is told from one over data
    except (EOFError, OSError):
        raise ResourceExhausted("No process can be started to decode the recording.") from None
    return started


_PROCESS: Final = _Process()
atexit.register(_PROCESS.stop)
os.register_at_fork(after_in_child=_PROCESS.forget)
