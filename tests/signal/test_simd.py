"""Every set of vector instructions gives the same bits, and one can be chosen."""

import os
import subprocess
import sys
from collections.abc import Iterator

import ecg_processor_py as ecg
import numpy as np
import pytest

SHOW = "import ecg_processor_py as ecg; print(ecg.simd_path(), ecg.build_info()['simd_path'])"


@pytest.fixture(autouse=True)
def chosen_path() -> Iterator[None]:
    """Put back what was in use."""
    before = ecg.simd_path()
    yield
    ecg.force_simd_path(before)


def _run(**env):
    return subprocess.run(
        [sys.executable, "-c", SHOW],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _results(x, lead_names):
    """What every function makes of `x` `(12, samples)` at 500 Hz."""
    yield ecg.bandpass(x, 500)
    yield ecg.bandpass(x, 500, order=5, notch_hz=50)
    yield ecg.bandpass(x[0], 500, notch_hz=50)
    yield ecg.notch(x, 500)
    yield ecg.notch(x[:2], 500)
    yield ecg.remove_baseline(x, 500)
    yield ecg.remove_baseline(x, 500, method="median")
    yield ecg.resample(x, 360, 500)
    yield ecg.resample(x, 360, 500, method="polyphase")
    yield ecg.resample(x, 1000, 500, method="polyphase")
    yield ecg.standardize(x)
    yield ecg.segment(x, 500, 2)
    yield ecg.prepare_ecg_fm(x, 500, lead_names)
    yield ecg.prepare_ecg_fm(x, 400, lead_names)
    result = ecg.ECGAnalyzerFFI(use_ffi=True).analyze(x).to_dict()
    result.pop("processing_time_ms")
    yield result
    yield ecg.detect_r_peaks(x, 500)
    yield ecg.signal_quality(x, 500)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_path_gives_the_same_bits(ludb, lead_names, dtype):
    x = (ludb[0].signal_mv + 300.0).astype(dtype)
    ecg.force_simd_path("portable")
    expected = list(_results(x, lead_names))
    assert len(ecg.available_simd_paths()) >= 1
    for path in ecg.available_simd_paths():
        ecg.force_simd_path(path)
        assert ecg.simd_path() == ecg.build_info()["simd_path"] == path
        for got, wanted in zip(_results(x, lead_names), expected, strict=True):
            if isinstance(wanted, np.ndarray):
                np.testing.assert_array_equal(got, wanted)
            else:
                assert repr(got) == repr(wanted)


def test_auto_is_the_widest():
    ecg.force_simd_path("portable")
    ecg.force_simd_path("auto")
    assert ecg.simd_path() == ecg.available_simd_paths()[-1]


def test_an_unknown_name_is_refused():
    with pytest.raises(ecg.ConfigError, match="must be one of auto, portable, avx2, avx512"):
        ecg.force_simd_path("mmx")


def test_missing_instructions_are_named():
    missing = {"avx2", "avx512"} - set(ecg.available_simd_paths())
    for path in missing:
        with pytest.raises(ecg.ConfigError, match=f"no {path} instructions"):
            ecg.force_simd_path(path)


def test_the_environment_chooses():
    for path in ecg.available_simd_paths():
        done = _run(ECG_SIMD=path.upper())
        assert done.stdout.split() == [path, path], done.stderr
    assert _run(ECG_SIMD="").stdout.split() == [ecg.available_simd_paths()[-1]] * 2


def test_a_malformed_environment_is_refused():
    for disabled in ("0", "1"):
        done = _run(ECG_SIMD="fast", ECG_DISABLE_FFI=disabled)
        assert done.returncode != 0
        assert "ECG_SIMD: the vector instructions must be one of" in done.stderr


def test_python_ignores_it():
    assert _run(ECG_SIMD="portable", ECG_DISABLE_FFI="1").stdout.split() == ["None", "None"]
