"""Signal-to-noise ratio: known noise is measured, the same in both backends."""

import numpy as np
import pytest
from ecg_processor_py import (
    ConfigError,
    InvalidSignalError,
    detect_r_peaks,
    remove_baseline,
    snr_db,
)

from serve_app.simulation import Scenario, simulate

FS_HZ = 500.0


@pytest.fixture(scope="module")
def clean_mv():
    """(12, 10000) float64, a simulated sinus rhythm without wander, each lead without its mean."""
    signal = simulate(Scenario(), seed=2, duration_s=20, fs_hz=FS_HZ).recording.signal_mv
    level = remove_baseline(signal.astype(np.float64), FS_HZ)
    return level - level.mean(axis=1, keepdims=True)


def noisy(clean_mv, ratio_db, seed=0):
    power = (clean_mv**2).mean(axis=1, keepdims=True)
    white = np.random.default_rng(seed).standard_normal(clean_mv.shape)
    return clean_mv + white * np.sqrt(power / 10 ** (ratio_db / 10))


@pytest.mark.parametrize("ratio_db", [5, 10, 15, 20])
def test_known_noise_is_measured_within_a_decibel(clean_mv, use_ffi, ratio_db):
    found = snr_db(noisy(clean_mv, ratio_db), FS_HZ, use_ffi=use_ffi)
    assert np.abs(found - ratio_db).max() <= 1.0


@pytest.mark.parametrize(("gain", "offset_mv"), [(10.0, 0.0), (-1.0, 0.0), (1.0, 50.0)])
def test_gain_polarity_and_offset_change_nothing(clean_mv, use_ffi, gain, offset_mv):
    x = noisy(clean_mv[:2], 12)
    peaks = detect_r_peaks(x, FS_HZ)
    assert snr_db(gain * x + offset_mv, FS_HZ, peaks, use_ffi=use_ffi) == pytest.approx(
        snr_db(x, FS_HZ, peaks, use_ffi=use_ffi), abs=1e-6
    )


def test_slow_wander_is_no_noise(clean_mv, use_ffi):
    x = noisy(clean_mv[:2], 12)
    peaks = detect_r_peaks(x, FS_HZ)
    wander = 0.3 * np.sin(2 * np.pi * 0.1 * np.arange(x.shape[1]) / FS_HZ)
    before, after = (snr_db(each, FS_HZ, peaks, use_ffi=use_ffi) for each in (x, x + wander))
    assert np.abs(after - before).max() < 0.5


def test_a_few_beats_of_another_shape_change_little(clean_mv, use_ffi):
    x = noisy(clean_mv[:1], 12)
    peaks = detect_r_peaks(x, FS_HZ)
    odd = x.copy()
    for peak in peaks[3:-3:8]:
        odd[0, peak - 40 : peak + 60] *= -1.5
    before, after = (snr_db(each, FS_HZ, peaks, use_ffi=use_ffi) for each in (x, odd))
    assert np.abs(after - before).max() < 1.5


def test_both_backends_agree_on_real_records(mitdb):
    for record in mitdb[:3]:
        x = record.signal_mv[:, :20_000]
        rust, numpy = (snr_db(x, record.fs_hz, use_ffi=use_ffi) for use_ffi in (True, False))
        assert rust == pytest.approx(numpy, abs=1e-6)
        assert np.isfinite(rust).all()


def test_what_cannot_be_told_is_nan(clean_mv, use_ffi):
    assert np.isnan(snr_db(np.full(5000, 0.3), FS_HZ, use_ffi=use_ffi)).all()
    assert np.isnan(snr_db(clean_mv[:, :900], FS_HZ, [300, 700], use_ffi=use_ffi)).all()
    assert np.isnan(snr_db(clean_mv, FS_HZ, [], use_ffi=use_ffi)).all()


@pytest.mark.parametrize("peaks", [[5, 4], [-1, 4], [1, 99999999], [0.5, 1.5], [[1, 2]]])
def test_peaks_that_cannot_be_are_refused(clean_mv, use_ffi, peaks):
    with pytest.raises(InvalidSignalError, match="r_peaks"):
        snr_db(clean_mv, FS_HZ, peaks, use_ffi=use_ffi)


def test_rates_out_of_bounds_are_refused(clean_mv, use_ffi):
    with pytest.raises(ConfigError):
        snr_db(clean_mv, 50.0, use_ffi=use_ffi)
