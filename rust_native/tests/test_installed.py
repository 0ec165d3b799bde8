"""The installed library, with NumPy alone: run by pytest, or by any Python as a program."""

import asyncio
import json
import math
import os
import pickle
import sys

import ecg_processor_py as ecg
import numpy as np

BACKENDS = (True, False)
WANTED = os.environ.get("ECG_EXPECTED_PROFILE")


def beats(bpm: float = 72.0, seconds: float = 10.0, fs_hz: float = 500.0) -> np.ndarray:
    """QRS complexes of 1 mV with a little noise, in mV."""
    t = np.arange(int(seconds * fs_hz)) / fs_hz
    distance = (t - 0.4) % (60.0 / bpm)
    qrs = np.exp(-0.5 * ((np.minimum(distance, 60.0 / bpm - distance)) / 0.012) ** 2)
    return qrs + 0.01 * np.random.default_rng(0).standard_normal(len(t))


def test_the_build_tells_of_itself() -> None:
    info = ecg.build_info()
    assert info["backend"] == "rust", info
    assert info["rustc"].startswith("rustc "), info
    assert info["profile"] == (WANTED or info["profile"]), info


def test_a_rate_in_both_backends() -> None:
    for use_ffi in BACKENDS:
        result = ecg.ECGAnalyzerFFI(use_ffi).analyze(beats())
        assert abs(result.heart_rate - 72.0) < 1.0
        assert result.processing_backend == ("rust" if use_ffi else "python")
        json.dumps(result.to_dict(), allow_nan=False)
        assert pickle.loads(pickle.dumps(result)).to_dict() == result.to_dict()


def test_batches_and_the_event_loop() -> None:
    signals = [beats(bpm) for bpm in (60, 75, 90)] + [np.full(5000, np.nan)]
    for use_ffi in BACKENDS:
        analyzer = ecg.ECGAnalyzerFFI(use_ffi)
        results = analyzer.analyze_batch(signals, on_error="return")
        assert [round(r.heart_rate) for r in results[:3]] == [60, 75, 90]
        assert isinstance(results[3], ecg.InvalidSignalError)
        assert math.isfinite(asyncio.run(analyzer.analyze_async(signals[0])).heart_rate)
        assert analyzer.get_stats()["total"] == 5


def test_functions_on_arrays() -> None:
    x = np.stack([beats()] * 12)
    names = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    for use_ffi in BACKENDS:
        assert ecg.resample(x, 500, 250, use_ffi=use_ffi).shape == (12, 2500)
        assert ecg.bandpass(x, 500, use_ffi=use_ffi).shape == x.shape
        assert ecg.prepare_ecg_fm(x, 500, names, use_ffi=use_ffi).shape == (2, 12, 2500)
        assert 11 <= len(ecg.detect_r_peaks(x, 500, use_ffi=use_ffi)) <= 13
        gappy = x.astype(np.float32)
        gappy[3, 100:110] = np.nan
        filled, gaps = ecg.fill_gaps(gappy, 500, use_ffi=use_ffi)
        assert np.isfinite(filled).all()
        assert gaps == (ecg.Gap(3, 100, 110),)


def test_bad_input_is_refused() -> None:
    for use_ffi in BACKENDS:
        for bad in ([], [1.0], np.zeros((2, 2, 2)), ["a"] * 600, np.full(5000, 1e5)):
            try:
                ecg.ECGAnalyzerFFI(use_ffi).analyze(bad)
            except ecg.InvalidSignalError:
                continue
            raise AssertionError(f"{bad!r} was taken")


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
    print(f"ok: Python {sys.version.split()[0]}, NumPy {np.__version__}")
