"""Many damaged recordings through decoding and analysis, watched from outside."""

import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

import psutil

from serve_app.decoding import Hints, Upload, decode
from serve_app.errors import EcgServeError
from serve_app.preprocessing import analyze, check
from tests.fuzzing.mutations import mutate
from tests.fuzzing.seeds import all_seeds

__all__ = ["Campaign", "Report", "damaged_input", "run"]

# Ten times what the largest sound seed takes on a busy machine.
SLOW_S: Final = 5.0
_HUNG_S: Final = 60.0
_MEMORY_BYTES: Final = 6 << 30
# After so many inputs every library is loaded and every pool is filled.
_SETTLED: Final = 0.5
GROWTH_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Campaign:
    """What is tried.

    Attributes:
        data_dir: Public recordings; None: those alone that every installation has.
        first: Number of the first input: the same number is the same input.
        inputs: How many.
        workers: Processes.
    """

    data_dir: Path | None
    first: int
    inputs: int
    workers: int


@dataclass
class Report:
    """What came of it.

    Attributes:
        outcomes: Stable codes of errors, and ``"ok"``, with how often.
        findings: Lines on inputs that did what no input may.
        grown_bytes: The largest growth of a worker's memory over its second half.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    grown_bytes: int = 0

    def summary(self) -> str:
        """A line."""
        outcomes = ", ".join(f"{code} {count}" for code, count in self.outcomes.most_common())
        return (
            f"{self.outcomes.total()} inputs: {outcomes}; memory grew by "
            f"{self.grown_bytes / 2**20:.1f} MiB; {len(self.findings)} findings;"
        )


def damaged_input(seeds: list[tuple[str, Upload]], number: int) -> tuple[str, Upload]:
    """The input of this number, and the name of the recording it was made from."""
    rng = random.Random(number)
    name, upload = seeds[number % len(seeds)]
    other = rng.choice(seeds)[1].files[0][1]
    return name, mutate(upload, rng, other)


def run(campaign: Campaign) -> Report:
    """All inputs, by worker processes that are ended when they hang."""
    report = Report()
    context = multiprocessing.get_context("spawn")
    folder = Path(tempfile.mkdtemp(prefix="fuzzing-"))
    workers = {}
    for part in range(campaign.workers):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(campaign, part, theirs, folder))
        process.start()
        theirs.close()
        workers[ours] = process
    try:
        _watch(workers, report)
        left = [path.name for path in folder.rglob("*") if path.is_file()]
        report.findings += [f"left behind: {name}" for name in left]
    finally:
        shutil.rmtree(folder)
    return report


def _watch(workers: dict[Connection, Any], report: Report) -> None:
    under_way: dict[Connection, str] = dict.fromkeys(workers, "the start")
    while workers:
        for connection in wait(list(workers), timeout=_HUNG_S) or list(workers):
            assert isinstance(connection, Connection)
            try:
                if not connection.poll():
                    raise TimeoutError
                kind, told = connection.recv()
            except (EOFError, TimeoutError) as error:
                how = "hung" if isinstance(error, TimeoutError) else "crashed the process"
                report.findings.append(f"{under_way[connection]} {how}")
                workers.pop(connection).kill()
                continue
            if kind == "begins":
                under_way[connection] = told
            elif kind == "finding":
                report.findings.append(told)
            else:
                outcomes, grown_bytes = told
                report.outcomes += outcomes
                report.grown_bytes = max(report.grown_bytes, grown_bytes)
                workers.pop(connection).join()


def _work(campaign: Campaign, part: int, connection: Connection, folder: Path) -> None:
    tempfile.tempdir = str(folder)
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    seeds = all_seeds(campaign.data_dir)
    numbers = range(campaign.first + part, campaign.first + campaign.inputs, campaign.workers)
    outcomes: Counter[str] = Counter()
    settled_bytes, process = 0, psutil.Process(os.getpid())
    for position, number in enumerate(numbers):
        name, upload = damaged_input(seeds, number)
        connection.send(("begins", f"input {number} (of {name})"))
        # Of this process, whatever else the machine does.
        started_s = time.process_time()
        outcome, trace = _outcome(upload)
        took_s = time.process_time() - started_s
        outcomes[outcome] += 1
        if trace:
            connection.send(("finding", f"input {number} (of {name}): {outcome}\n{trace}"))
        if took_s > SLOW_S:
            connection.send(("finding", f"input {number} (of {name}) took {took_s:.1f} s"))
        if position == int(_SETTLED * len(numbers)):
            settled_bytes = process.memory_info().rss
    connection.send(("end", (outcomes, process.memory_info().rss - settled_bytes)))


def _outcome(upload: Upload) -> tuple[str, str]:
    """The code of what came of it, and a trace where that may not be."""
    try:
        recording = decode(upload, Hints())
        check(recording)
        analyze(recording)
    except EcgServeError as error:
        server_error = error.status >= 500
        return error.code, traceback.format_exc() if server_error else ""
    except Exception as error:
        return type(error).__name__, traceback.format_exc()
    return "ok", ""
