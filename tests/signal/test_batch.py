"""Batches: order, errors in their places, exact counters, all cores, processes that fork."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from ecg_processor_py import (
    ConfigError,
    ECGAnalysisConfig,
    ECGAnalysisResult,
    ECGAnalyzerFFI,
    InvalidSignalError,
)
from ecg_processor_py.backend import choose

pytestmark = pytest.mark.integration

CONFIG = ECGAnalysisConfig(sampling_rate=360.0)


def _untimed(result):
    return {**result.to_dict(), "processing_time_ms": 0}


@pytest.fixture(scope="module")
def signals(mitdb):
    """40 stretches of different lengths, one and two leads, both float types and integers."""
    found = []
    for i in range(40):
        record = mitdb[i % len(mitdb)].signal_mv
        part = record[: 1 + i % 2, 1000 * i : 1000 * i + 1800 + 90 * i]
        found.append(part.astype([np.float64, np.float32][i % 3 == 1]))
    found[7] = np.round(10 * found[7]).astype(np.int16)
    return found


def test_a_batch_is_the_loop(analyzer, signals):
    looped = [_untimed(analyzer.analyze(x, CONFIG)) for x in signals]
    analyzer.reset_stats()
    batch = analyzer.analyze_batch(signals, CONFIG)
    assert [_untimed(result) for result in batch] == looped
    assert all(result.processing_time_ms > 0 for result in batch)
    stats = analyzer.get_stats()
    assert (stats["total"], stats["errors"]) == (40, 0)
    assert stats["calls"] == {"rust": 0, "python": 0} | {analyzer.backend: 40}
    assert stats["bytes_copied"] == 8 * signals[7].size
    assert stats["mean_ms"] == pytest.approx(np.mean([r.processing_time_ms for r in batch]))


def test_each_error_stands_in_its_place(analyzer, signals):
    bad = {
        3: np.full(4000, np.nan),
        5: np.zeros(3),
        8: "no signal",
        11: np.full(4000, -32768.0),
        12: np.zeros((2, 2, 2)),
        13: None,
    }
    mixed = [bad.get(i, signal) for i, signal in enumerate(signals[:20])]
    results = analyzer.analyze_batch(mixed, CONFIG, on_error="return")
    for i, result in enumerate(results):
        assert isinstance(result, InvalidSignalError if i in bad else ECGAnalysisResult), i
    stats = analyzer.get_stats()
    assert (stats["total"], stats["errors"]) == (20, len(bad))
    with pytest.raises(InvalidSignalError) as caught:
        analyzer.analyze_batch(mixed, CONFIG)
    assert caught.value.batch_index == 3
    assert _untimed(caught.value.batch_results[0]) == _untimed(results[0])
    assert len(caught.value.batch_results) == 20


def test_whatever_can_be_listed_is_a_batch(analyzer, signals):
    x = np.stack([signals[0][0, :1800]] * 3)
    expected = _untimed(analyzer.analyze(x[0], CONFIG))
    for form in (x, tuple(x), (row for row in x), x[:, np.newaxis], x.tolist()):
        assert [_untimed(r) for r in analyzer.analyze_batch(form, CONFIG)] == [expected] * 3
    assert analyzer.analyze_batch([], CONFIG) == []
    for form in (None, 3.0, np.float64(1.0)):
        with pytest.raises(InvalidSignalError, match="sequence of recordings"):
            analyzer.analyze_batch(form, CONFIG)
    with pytest.raises(ConfigError, match="on_error"):
        analyzer.analyze_batch([], CONFIG, on_error="skip")


def test_a_batch_uses_every_core():
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    signals = list(np.random.default_rng(0).standard_normal((40, 4, 20_000)))
    analyzer = ECGAnalyzerFFI(use_ffi=True)
    analyzer.analyze_batch(signals)
    before = {t: _cpu_s(t) for t in _threads()}
    analyzer.analyze_batch(signals)
    workers = [t for t in _threads() if _name(t).startswith("ecg-") or _is_this(t)]
    spent = sorted(_cpu_s(t) - before[t] for t in workers)
    # CPU time, as wall time depends on what else runs here.
    assert len(spent) == len(os.sched_getaffinity(0))
    assert spent[0] > 0.2 * spent[-1]


def _threads():
    return sorted(Path("/proc/self/task").iterdir())


def _name(thread):
    return (thread / "comm").read_text()


def _is_this(thread):
    """Tell the calling thread, which works on a batch as the others do."""
    return int(thread.name) == threading.get_native_id()


def _cpu_s(thread):
    return int((thread / "schedstat").read_text().split()[0]) / 1e9


FORK = """
import os, sys
import numpy as np
from ecg_processor_py import ECGAnalyzerFFI
analyzer = ECGAnalyzerFFI(use_ffi=True)
signals = list(np.random.default_rng(0).standard_normal((8, 2000)))
expected = [len(r.qrs_peaks) for r in analyzer.analyze_batch(signals)]
child = os.fork()
found = [len(r.qrs_peaks) for r in analyzer.analyze_batch(signals)]
if child == 0:
    os._exit(0 if found == expected else 3)
sys.exit(os.waitpid(child, 0)[1] or found != expected)
"""


def test_a_forked_process_has_threads_of_its_own():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], timeout=60)
    assert done.returncode == 0


def test_the_number_of_threads_can_be_set():
    code = (
        FORK.split("child =", maxsplit=1)[0]
        + "print(sum(1 for t in os.listdir('/proc/self/task')))"
    )
    environment = {**os.environ, "RAYON_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert int(done.stdout) == 3, done.stderr


def test_a_number_of_threads_that_is_none_is_refused():
    code = (
        "import numpy as np, ecg_processor_py as ecg\n"
        "analyzer = ecg.ECGAnalyzerFFI(use_ffi=True)\n"
        "try: analyzer.analyze_batch([np.zeros(5000)] * 2)\n"
        "except ecg.ConfigError as error: print(error)"
    )
    environment = {**os.environ, "RAYON_NUM_THREADS": "many"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert "RAYON_NUM_THREADS must be a whole number" in done.stdout, done.stderr


@pytest.mark.parametrize("count", [1, 2, 300])
def test_results_are_told_while_others_are_analysed(use_ffi, count):
    """A `tell` that fails ends the batch, whichever recording it is."""
    kernel, _ = choose(use_ffi)
    signals = [np.zeros((1, 500))] * count
    assert kernel.analyze_batch(signals, CONFIG, lambda raw, ms: ms >= 0.0) == [True] * count
    with pytest.raises(KeyboardInterrupt):
        kernel.analyze_batch(signals, CONFIG, _interrupted)


def _interrupted(raw, ms):
    raise KeyboardInterrupt
