"""The process that `isolation` starts: one recording after the other, each within bounds."""

import contextlib
import importlib
import os
import resource
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.isolation import receive, send
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, EcgServeError, PayloadTooLarge

__all__ = ["main"]

# By format: our module, and the library that it needs.
_DECODERS: Final = {
    "hdf5": ("serve_app.decoding.hdf5_file", "h5py"),
    "matlab": ("serve_app.decoding.hdf5_file", "h5py"),
    "parquet": ("serve_app.decoding.parquet_table", "pyarrow.parquet"),
}
_CPU_S, _BYTES_A_CPU_S = 3, 8 << 20
_ROOM_BYTES: Final = 128 << 20


def main() -> None:
    """Answer messages until there are no more."""
    # Nothing that a library prints may stand among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    send(answers, {"ready": True}, b"")
    while True:
        try:
            asked, data = receive(sys.stdin.buffer)
        except EOFError:
            return
        _answer(answers, asked, data)


def _answer(answers: Any, asked: dict[str, Any], data: bytes) -> None:
    try:
        decoded = _decode(asked, data)
    except EcgServeError as error:
        told: dict[str, Any] = {"error": type(error).__name__, "detail": error.detail}
        send(answers, {**told, "hint": error.hint, "extra": error.extra}, b"")
        return
    signal = np.ascontiguousarray(decoded.signal)
    told = {
        "shape": signal.shape,
        "dtype": signal.dtype.str,
        "fs_hz": decoded.fs_hz,
        "leads": decoded.leads,
        "units": sorted(decoded.units),
        "format": decoded.format,
    }
    send(answers, told, signal.reshape(-1).view(np.uint8).data)


def _decode(asked: dict[str, Any], data: bytes) -> Decoded:
    limits = Limits(**asked["limits"])
    leads = asked["hints"].pop("leads")
    hints = Hints(**asked["hints"], leads=None if leads is None else tuple(leads))
    module_name, library = _DECODERS[asked["decoder"]]
    module = importlib.import_module(module_name)
    with contextlib.suppress(ImportError):  # which the module tells in its own words
        importlib.import_module(library)
    _bound(len(data), limits)
    try:
        decoded: Decoded = module.decode_here(data, hints, limits, asked["decoder"])
        return decoded
    except EcgServeError:
        raise
    except MemoryError:
        raise PayloadTooLarge("The recording needs more memory than a recording may.") from None
    except Exception:  # a library's errors, of many kinds, may quote the file
        raise CorruptedData("The recording is damaged: its content breaks its format.") from None


def _bound(size: int, limits: Limits) -> None:
    """Let this recording have so much memory and CPU time; beyond, the process ends."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    room = 4 * limits.max_unpacked_bytes + _ROOM_BYTES
    _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + room)
    used = resource.getrusage(resource.RUSAGE_SELF)
    used_s = int(used.ru_utime + used.ru_stime) + 1
    _lower(resource.RLIMIT_CPU, used_s + _CPU_S + size // _BYTES_A_CPU_S)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(what: int, bound: int) -> None:
    _, most = resource.getrlimit(what)
    resource.setrlimit(what, (bound if most == resource.RLIM_INFINITY else min(bound, most), most))
