"""Latency, throughput and what the Python face adds, in CPU time: wall time is noisy."""

import json
import subprocess
import sys
import time
from pathlib import Path

import ecg_processor_py as ecg
import numpy as np
import pytest

pytestmark = pytest.mark.benchmark

CONFIG = ecg.ECGAnalysisConfig(sampling_rate=360.0)


def _cpu_us(call, calls, rounds=15):
    """CPU time of one call: the least of several rounds."""
    call()
    best = np.inf
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, time.process_time() - start)
    return 1e6 * best / calls


@pytest.fixture(scope="module")
def lead(mitdb):
    return mitdb[0].signal_mv[0, :5000].copy()


def test_one_lead_in_less_than_5_ms_and_more_than_200_a_second(lead):
    analyzer = ecg.ECGAnalyzerFFI(use_ffi=True)
    assert _cpu_us(lambda: analyzer.analyze(lead, CONFIG), 10) < 2000


def test_rust_is_faster_than_numpy(lead):
    rust, python = (ecg.ECGAnalyzerFFI(use_ffi=use) for use in (True, False))
    fast = _cpu_us(lambda: rust.analyze(lead, CONFIG), 10, 5)
    slow = _cpu_us(lambda: python.analyze(lead, CONFIG), 3, 5)
    assert slow > 3 * fast


def test_the_python_face_adds_less_than_12_us(lead):
    """Everything but the kernel: checks, counters and the result."""
    analyzer = ecg.ECGAnalyzerFFI(use_ffi=True)
    kernel = analyzer._kernel
    raw = kernel.analyze(lead[np.newaxis], CONFIG)

    class Instant:
        @staticmethod
        def analyze(*_):
            return {**raw, "hrv": dict(raw["hrv"])}

    analyzer._kernel = Instant
    assert _cpu_us(lambda: analyzer.analyze(lead, CONFIG), 500) < 12.0


def test_a_binding_call_costs_less_than_10_us():
    """The way into Rust and out of it again, with an error to carry."""
    native = sys.modules["ecg_processor_py._native"]
    short = np.zeros((1, 3))

    def refused():
        try:
            native.detect_r_peaks(short, 500.0)
        except ecg.InvalidSignalError:
            return

    assert _cpu_us(refused, 500) < 10.0


def test_switching_hrv_and_anomalies_off_is_no_slower(lead):
    analyzer = ecg.ECGAnalyzerFFI(use_ffi=True)
    less = ecg.ECGAnalysisConfig(360.0, enable_hrv=False, enable_anomaly_detection=False)
    best = {}
    # In turns, so that both meet the same neighbours.
    for _ in range(40):
        for config in (less, CONFIG):
            us = _cpu_us(lambda config=config: analyzer.analyze(lead, config), 3, 1)
            best[config] = min(us, best.get(config, np.inf))
    assert best[less] < 1.1 * best[CONFIG]


MEMORY = """
import json
import numpy as np
import ecg_processor_py as ecg
def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
signals = list(np.random.default_rng(0).standard_normal((20, 12, 5000)))
analyzer, before = ecg.ECGAnalyzerFFI(use_ffi=True), peak_mb()
for _ in range(50):
    for x in signals:
        analyzer.analyze(x)
print(json.dumps(peak_mb() - before))
"""


@pytest.mark.slow
def test_a_thousand_analyses_in_less_than_50_mb():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True)
    assert json.loads(done.stdout) < 50


@pytest.mark.parametrize("marker", ["slow", "benchmark", "integration"])
def test_every_marker_selects_something(request, marker):
    """In the sources, as collecting again would import everything anew."""
    assert any(line.startswith(f"{marker}:") for line in request.config.getini("markers"))
    tests = Path(__file__).parent.glob("test_*.py")
    assert sum(f"pytest.mark.{marker}" in path.read_text() for path in tests) > 1
