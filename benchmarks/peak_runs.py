"""Run detectors over records, each call in a process of its own with a time limit.

What a peer said is kept in `.data/peaks`, under its version and the samples' sha256.
"""

import hashlib
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.databases import AnnotatedRecord
from benchmarks.peers import NamedDetector, find_quietly

CACHE = Path(__file__).parents[1] / ".data" / "peaks"
LIMIT_S = 120.0
WARM_S = 10.0
# Short calls are timed again until this much was spent.
ENOUGH_S, MOST_CALLS = 0.05, 5


@dataclass(frozen=True)
class PeakRun:
    """What a detector said of one record: peaks and CPU time, or why it failed."""

    detector: str
    record: AnnotatedRecord
    peaks: np.ndarray
    cpu_s: float
    failure: str = ""


def run_all(
    detectors: list[NamedDetector], records: list[AnnotatedRecord], jobs: int = 1
) -> Iterator[PeakRun]:
    """Give every detector's run on every record, in order."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.preload"])
    tasks = [(detector, record) for detector in detectors for record in records]
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda task: run_one(*task), tasks)


def run_one(detector: NamedDetector, record: AnnotatedRecord) -> PeakRun:
    """Ask one detector, or what it said before; ours is always asked."""
    kept = CACHE / f"{_key(detector, record)}.npz"
    if not detector.ours and kept.exists():
        with np.load(kept) as told:
            return PeakRun(detector.name, record, told["peaks"], float(told["cpu_s"]))
    signal = record.signal_mv if detector.multi_lead else record.signal_mv[record.reference_lead]
    answer = _limited(detector.name, signal, record.fs_hz)
    if isinstance(answer, str):
        return PeakRun(detector.name, record, np.empty(0, np.int64), float("nan"), answer)
    peaks, cpu_s = answer
    if not detector.ours:
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(kept, peaks=peaks, cpu_s=cpu_s)
    return PeakRun(detector.name, record, peaks, cpu_s)


def _limited(name: str, signal_mv: np.ndarray, fs_hz: float) -> tuple[np.ndarray, float] | str:
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    process = context.Process(target=_answer, args=(there, name, signal_mv, fs_hz), daemon=True)
    process.start()
    there.close()
    try:
        if not here.poll(LIMIT_S):
            return f"over {LIMIT_S:.0f} s"
        return here.recv()
    except EOFError:
        return "died"
    finally:
        process.kill()
        process.join()


def _answer(pipe: Connection, name: str, signal_mv: np.ndarray, fs_hz: float) -> None:
    try:
        pipe.send(_timed(name, signal_mv, fs_hz))
    except Exception as error:  # a peer may fail in any way it likes
        pipe.send(f"{type(error).__name__}: {error}")


def _timed(name: str, signal_mv: np.ndarray, fs_hz: float) -> tuple[np.ndarray, float]:
    """Give the peaks and the median CPU time, after ten seconds of signal to warm up."""
    find_quietly(name, signal_mv[..., : int(WARM_S * fs_hz)].copy(), fs_hz)
    times: list[float] = []
    while len(times) < MOST_CALLS and sum(times) < ENOUGH_S:
        started = time.process_time()
        peaks = find_quietly(name, signal_mv, fs_hz)
        times.append(time.process_time() - started)
    return peaks, float(np.median(times))


def _key(detector: NamedDetector, record: AnnotatedRecord) -> str:
    lead = "all" if detector.multi_lead else record.reference_lead
    text = f"{detector.name} {detector.version} {lead} {record.sha256}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
