"""Indices of quality: as SciPy measures them, the same in both backends, and what they tell."""

import json

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from ecg_processor_py import ConfigError, InvalidSignalError, QualityIndices, quality_indices

FS = 500.0
T = np.arange(5000) / FS


def tone(hz: float, mv: float) -> np.ndarray:
    return mv * np.sin(2.0 * np.pi * hz * T)


def density(x: np.ndarray, fs_hz: float) -> tuple[np.ndarray, np.ndarray]:
    window = min(len(x), round(4 * fs_hz))
    size = 1 << (window - 1).bit_length()
    return scipy.signal.welch(x, fs_hz, "hann", window, nfft=size, detrend="constant")


def power(x: np.ndarray, fs_hz: float, low_hz: float, high_hz: float) -> float:
    hz, values = density(x, fs_hz)
    return float(values[(hz >= low_hz) & (hz <= high_hz)].sum() * hz[1])


@pytest.mark.parametrize(("start", "samples"), [(0, 3600), (5000, 1440), (9000, 900), (100, 30001)])
def test_moments_and_powers_are_those_of_scipy(mitdb, use_ffi, start, samples):
    for record in mitdb[:3]:
        x, fs_hz = record.signal_mv[:, start : start + samples], record.fs_hz
        for row, found in zip(x, quality_indices(x, fs_hz, use_ffi=use_ffi), strict=True):
            expected = {
                "k_sqi": scipy.stats.kurtosis(row, fisher=False),
                "s_sqi": scipy.stats.skew(row),
                "p_sqi": power(row, fs_hz, 5, 15) / power(row, fs_hz, 5, 40),
                "bas_sqi": 1.0 - power(row, fs_hz, 0, 1) / power(row, fs_hz, 0, 40),
                "high_frequency_mv": np.sqrt(power(row, fs_hz, 40, fs_hz / 2)),
                "mains_ratio": max(power(row, fs_hz, 49, 51), power(row, fs_hz, 59, 61))
                / power(row, fs_hz, 5, 40),
            }
            for name, value in expected.items():
                assert getattr(found, name) == pytest.approx(value, rel=1e-7, abs=1e-9), name


def test_the_baseline_is_what_a_high_pass_takes_off(clean_lead, use_ffi):
    slow = 0.8 * np.sin(2.0 * np.pi * 0.2 * np.arange(3600) / 360.0)
    (before,) = quality_indices(clean_lead, 360.0, use_ffi=use_ffi)
    (after,) = quality_indices(clean_lead + slow, 360.0, use_ffi=use_ffi)
    assert before.baseline_mv < 0.05
    assert after.baseline_mv == pytest.approx(0.8 / np.sqrt(2.0), rel=0.05)
    assert after.bas_sqi < before.bas_sqi


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_are_named(clean_lead, use_ffi, mains_hz):
    mains = 0.3 * np.sin(2.0 * np.pi * mains_hz * np.arange(3600) / 360.0)
    (clean,) = quality_indices(clean_lead, 360.0, use_ffi=use_ffi)
    (found,) = quality_indices(clean_lead + mains, 360.0, use_ffi=use_ffi)
    assert found.mains_hz == mains_hz
    assert found.mains_ratio > 10 * clean.mains_ratio
    assert found.high_frequency_mv == pytest.approx(0.3 / np.sqrt(2.0), rel=0.1)


def test_noise_is_gaussian_and_beats_are_peaked(clean_lead, use_ffi):
    noise = np.random.default_rng(0).standard_normal(3600)
    (heart,) = quality_indices(clean_lead, 360.0, use_ffi=use_ffi)
    (gauss,) = quality_indices(noise, 360.0, use_ffi=use_ffi)
    assert heart.k_sqi > 5.0
    assert gauss.k_sqi == pytest.approx(3.0, abs=0.3)
    assert gauss.p_sqi == pytest.approx(10 / 35, abs=0.1)
    assert heart.p_sqi > gauss.p_sqi
    assert np.isnan(gauss.mains_hz)


def test_gain_changes_millivolts_alone_and_offset_nothing(clean_lead, use_ffi):
    (one,) = quality_indices(clean_lead, 360.0, use_ffi=use_ffi)
    (ten,) = quality_indices(10.0 * clean_lead + 100.0, 360.0, use_ffi=use_ffi)
    for name, value in one.to_dict().items():
        if value is not None:
            gain = 10.0 if name.endswith("_mv") else 1.0
            assert getattr(ten, name) == pytest.approx(gain * value, rel=1e-6), name


def test_what_is_not_defined_is_nan_and_null_in_json(use_ffi):
    (flat,) = quality_indices(np.full(1000, 0.3), FS, use_ffi=use_ffi)
    assert np.isnan([flat.k_sqi, flat.s_sqi, flat.mains_hz]).all()
    assert json.loads(json.dumps(flat.to_dict(), allow_nan=False))["k_sqi"] is None
    (slow,) = quality_indices(np.random.default_rng(0).standard_normal(300), 100.0, use_ffi=use_ffi)
    assert np.isnan(slow.mains_ratio)
    assert slow.p_sqi > 0.0


def test_bad_input_is_refused(use_ffi):
    with pytest.raises(InvalidSignalError):
        quality_indices(np.zeros(100), FS, use_ffi=use_ffi)
    with pytest.raises(InvalidSignalError):
        quality_indices(np.full(1000, np.nan), FS, use_ffi=use_ffi)
    with pytest.raises(ConfigError):
        quality_indices(np.zeros(1000), 99.0, use_ffi=use_ffi)


def test_twins_agree(ludb, cpsc2019, mitdb):
    records = [(r.signal_mv, r.fs_hz) for r in (*ludb[::4], *cpsc2019)]
    records += [(r.signal_mv[:, :100_000].astype(np.float32), r.fs_hz) for r in mitdb[:2]]
    for x, fs_hz in records:
        rust = quality_indices(x, fs_hz, use_ffi=True)
        for a, b in zip(rust, quality_indices(x, fs_hz, use_ffi=False), strict=True):
            same(a, b)


def same(a: QualityIndices, b: QualityIndices) -> None:
    for name, value in a.to_dict().items():
        other = b.to_dict()[name]
        assert value == (other if other is None else pytest.approx(other, rel=1e-6, abs=1e-9)), name
