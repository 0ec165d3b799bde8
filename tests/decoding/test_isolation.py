"""The other process: it may die, hang and be filled, and nobody but its recording suffers."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from serve_app.decoding import Hints, decode, isolation
from serve_app.decoding.isolation import _PROCESS
from serve_app.errors import CorruptedData, ResourceExhausted
from serve_app.recording import STANDARD_LEADS

FS = Hints(fs_hz=500)


def hdf5(**data_sets: object) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.update(data_sets)
    return stream.getvalue()


BODY = hdf5(x=np.ones((12, 600)))


def worker() -> int:
    assert _PROCESS._running is not None
    return _PROCESS._running.pid


def test_the_other_process_may_die() -> None:
    decode(BODY, FS)
    first = worker()
    os.kill(first, signal.SIGSTOP)  # so that it dies over a recording, not before
    threading.Timer(0.2, os.kill, (first, signal.SIGSEGV)).start()
    threading.Timer(0.2, os.kill, (first, signal.SIGCONT)).start()
    with pytest.raises(CorruptedData, match="gave up"):
        decode(BODY, FS)
    assert decode(BODY, FS).leads == STANDARD_LEADS
    second = worker()
    assert second != first
    os.kill(second, signal.SIGKILL)
    os.waitid(os.P_PID, second, os.WEXITED | os.WNOWAIT)
    assert decode(BODY, FS).leads == STANDARD_LEADS


def test_the_other_process_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_DATABASE_URL", "secret")
    _PROCESS.stop()
    decode(BODY, FS)
    environment = Path(f"/proc/{worker()}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"secret" not in environment


def test_the_other_process_ends_with_this_one(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(BODY)
    code = (
        "import sys; from pathlib import Path; from serve_app.decoding import *;"
        "from serve_app.decoding.isolation import _PROCESS;"
        "decode_path(Path(sys.argv[1]), Hints(fs_hz=500));"
        "print(_PROCESS._running.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        inner = int(process.stdout.readline())
        process.kill()  # it cannot tidy up
    deadline = threading.Event()
    for _ in range(100):
        if (
            not Path(f"/proc/{inner}").exists()
            or b"(zombie)" in Path(f"/proc/{inner}/status").read_bytes()
        ):
            break
        deadline.wait(0.05)
    else:
        pytest.fail("the process outlived the one that started it")


@pytest.mark.slow
def test_a_library_that_never_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without our check of heaps, the HDF5 library loops on this; CPU time ends it."""
    unchecked = "from serve_app.decoding import hdf5_file; hdf5_file.check_heaps = len; "
    monkeypatch.setattr(isolation, "_PROGRAM", unchecked + isolation._PROGRAM)
    body = bytearray(hdf5(x=np.zeros((12, 600)), units="mV"))
    free = body.index(b"GCOL") + 16 + 24  # behind the one object, of 2 bytes
    body[free + 8 : free + 16] = bytes(8)
    _PROCESS.stop()
    started_s = time.monotonic()
    with pytest.raises(CorruptedData, match="gave up"):
        decode(bytes(body), FS)
    assert time.monotonic() - started_s > 2
    _PROCESS.stop()


def test_a_process_that_cannot_start_is_not_the_recordings_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _PROCESS.stop()
    monkeypatch.setattr(isolation, "_PROGRAM", "import no_such_module")
    with pytest.raises(ResourceExhausted):
        decode(BODY, FS)
    monkeypatch.undo()
    assert decode(BODY, FS).leads == STANDARD_LEADS


def test_calls_from_many_threads() -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(decode(BODY, FS).leads))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [12] * 8


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_has_one_of_its_own() -> None:
    decode(BODY, FS)
    pid = os.fork()
    if pid == 0:
        try:
            fresh = _PROCESS._running is None
            decode(BODY, FS)
            _PROCESS.stop()
            os._exit(0 if fresh else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert decode(BODY, FS).leads == STANDARD_LEADS
