"""Resident memory over 10 000 calls of everything: it does not grow."""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc"),
]

CALLS = {
    "analyze": "analyzer.analyze(x)",
    "analyze_error": "refused(lambda: analyzer.analyze(bad))",
    "analyze_batch": "analyzer.analyze_batch([x, bad, x], on_error='return')",
    "resample": "ecg.resample(x, 500, 360)",
    "standardize": "ecg.standardize(x)",
    "segment": "ecg.segment(x, 500, 0.5, 0.25)",
    "prepare_ecg_fm": "ecg.prepare_ecg_fm(twelve, 500, names)",
    "bandpass": "ecg.bandpass(x, 500)",
    "remove_baseline": "ecg.remove_baseline(x, 500)",
    "detect_r_peaks": "ecg.detect_r_peaks(x, 500)",
    "signal_quality": "ecg.signal_quality(x, 500)",
    "hrv": "ecg.hrv(rr)",
    "fill_gaps": "ecg.fill_gaps(gappy, 500)",
    "notch": "ecg.notch(x, 500)",
    "normal_intervals": "ecg.normal_intervals(rr)",
    "find_anomalies": "ecg.find_anomalies(np.cumsum(rr) / 1000.0, 300.0)",
    "quality_indices": "ecg.quality_indices(x, 500)",
    "take_json_numbers": "ecg.take_json_numbers(b'[' + b', '.join([b'0.5'] * 50) + b', 1e2]')",
    "snr_db": "ecg.snr_db(x, 500, [300, 600, 900, 1200])",
    "check_lead_reversal": "ecg.check_lead_reversal(twelve, 500, names)",
    "stream": "stream = ecg.StreamingAnalyzer(500); stream.push(x[:500]); stream.flush()",
    "panic": "refused(lambda: native._panic_for_test('boom'))",
}

PROGRAM = """
import gc, importlib, json, sys
import numpy as np
import ecg_processor_py as ecg
native = importlib.import_module("ecg_processor_py._native")
rng = np.random.default_rng(0)
analyzer = ecg.ECGAnalyzerFFI(use_ffi=True)
x = rng.standard_normal(1500).astype(np.float32)
bad = np.full(1500, np.nan)
gappy = np.where(np.arange(1500) % 500 < 3, np.nan, x)
twelve = rng.standard_normal((12, 2500))
names = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
rr = 800.0 + rng.standard_normal(300)

def refused(call):
    try:
        call()
    except ecg.ECGError:
        return
    raise AssertionError("not refused")

def rss_kb():
    gc.collect()
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

def call():
    CALL

for _ in range(2000):
    call()
marks = [rss_kb()]
for _ in range(5):
    for _ in range(2000):
        call()
    marks.append(rss_kb())
print(json.dumps(marks))
"""


@pytest.mark.parametrize("name", CALLS)
def test_memory_does_not_grow(name):
    program = PROGRAM.replace("    CALL", textwrap.indent(CALLS[name], "    "))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    marks_kb = json.loads(done.stdout)
    # 10 000 leaked result objects of 100 bytes would be 1 MB.
    assert marks_kb[-1] - marks_kb[0] < 700, marks_kb


def test_every_function_is_measured():
    import ecg_processor_py as ecg

    assert importlib.util.find_spec("ecg_processor_py._native") is not None
    functions = {name for name in ecg.__all__ if name.islower() and callable(getattr(ecg, name))}
    settings = {"available_simd_paths", "build_info", "force_simd_path", "simd_path"}
    assert functions - settings <= set(CALLS)
