"""Filters against SciPy's, and that neither phase nor offset disturbs them."""

import numpy as np
import pytest
from ecg_processor_py import ConfigError, bandpass, remove_baseline
from scipy import signal as sps


def _scipy(x, fs_hz, *sections):
    sos = np.vstack(sections)
    centred = x - np.median(x, axis=-1, keepdims=True)
    padlen = min(x.shape[-1] - 1, int(2.5 * fs_hz + 0.5))
    return sps.sosfiltfilt(sos, centred, padtype="odd", padlen=padlen)


def _edge(order, hz, kind, fs_hz):
    return sps.butter(order, hz, kind, fs=fs_hz, output="sos")


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize(("low_hz", "high_hz"), [(0.5, 40.0), (0.05, 150.0)])
def test_bandpass_equals_scipy(ludb, use_ffi, order, low_hz, high_hz):
    x, fs_hz = ludb[0].signal_mv, 500.0
    expected = _scipy(
        x, fs_hz, _edge(order, low_hz, "high", fs_hz), _edge(order, high_hz, "low", fs_hz)
    )
    y = bandpass(x, fs_hz, low_hz, high_hz, order=order, use_ffi=use_ffi)
    np.testing.assert_allclose(y, expected, atol=2e-6)


def test_remove_baseline_equals_scipy(clean_lead, use_ffi):
    expected = _scipy(clean_lead, 360.0, _edge(2, 0.5, "high", 360.0))
    y = remove_baseline(clean_lead, 360.0, use_ffi=use_ffi)
    assert y.shape == clean_lead.shape
    np.testing.assert_allclose(y, expected, atol=1e-8)


def test_an_offset_of_300_mv_changes_nothing(clean_lead, use_ffi):
    for function in (bandpass, remove_baseline):
        y = function(clean_lead, 360.0, use_ffi=use_ffi)
        shifted = function(clean_lead + 300.0, 360.0, use_ffi=use_ffi)
        np.testing.assert_allclose(shifted, y, atol=1e-6)


def test_float32_is_filtered_in_float64(clean_lead, use_ffi):
    x = clean_lead.astype(np.float32)
    y = bandpass(x, 360.0, use_ffi=use_ffi)
    assert y.dtype == np.float32
    wide = bandpass(x.astype(np.float64), 360.0, use_ffi=use_ffi)
    np.testing.assert_allclose(y, wide, atol=1e-6)


def test_there_is_no_delay(use_ffi):
    t = np.arange(10_000) / 500.0
    x = np.sin(2 * np.pi * 10.0 * t)
    y = bandpass(x, 500.0, use_ffi=use_ffi)
    lags = np.correlate(y[2500:7500], x[2490:7510], "valid")
    assert int(np.argmax(lags)) == 10


def test_short_signals_are_filtered_too(use_ffi):
    for n in (2, 3, 65, 130):
        x = np.random.default_rng(n).standard_normal(n)
        assert np.isfinite(bandpass(x, 500.0, use_ffi=use_ffi)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"low_hz": 0.0},
        {"low_hz": 50.0},
        {"high_hz": 250.0},
        {"high_hz": np.nan},
        {"order": 0},
        {"order": 9},
        {"fs_hz": 0.0},
    ],
)
def test_impossible_bands_are_refused(use_ffi, options):
    with pytest.raises(ConfigError):
        bandpass(np.zeros(1000), **{"fs_hz": 500.0, **options}, use_ffi=use_ffi)
