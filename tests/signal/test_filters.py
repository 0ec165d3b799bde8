"""Filters against SciPy's, and that neither phase nor offset disturbs them."""

import time

import numpy as np
import pytest
from ecg_processor_py import ConfigError, InvalidSignalError, bandpass, notch, remove_baseline
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as sps


def _scipy(x, fs_hz, *sections):
    sos = np.vstack(sections)
    centred = x - np.median(x, axis=-1, keepdims=True)
    padlen = min(x.shape[-1] - 1, int(2.5 * fs_hz + 0.5))
    return sps.sosfiltfilt(sos, centred, padtype="odd", padlen=padlen)


def _mains(hz, q, fs_hz):
    return sps.tf2sos(*sps.iirnotch(hz, q, fs_hz))


def _wandering(fs_hz, leads=12, noise_mv=0.01):
    """Beats on 5 mV of slow wander and 300 mV of offset, float32."""
    t = np.arange(int(10 * fs_hz)) / fs_hz
    wander = [5 * np.sin(2 * np.pi * (0.05 + 0.02 * lead) * t + lead) for lead in range(leads)]
    noise = np.random.default_rng(0).standard_normal((leads, len(t)))
    beats = np.exp(-(((t % 0.8 - 0.4) / 0.02) ** 2)) if noise_mv else 0.0
    return (300.0 + np.array(wander) + beats + noise_mv * noise).astype(np.float32)


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


@pytest.mark.parametrize("noise_mv", [0.01, 0.0])
@pytest.mark.parametrize("fs_hz", [250.0, 500.0, 1000.0])
@pytest.mark.parametrize(("low_hz", "high_hz"), [(0.5, 40.0), (0.05, 100.0), (0.05, 40.0)])
def test_float32_stays_within_half_a_microvolt(fs_hz, low_hz, high_hz, noise_mv):
    x = _wandering(fs_hz, noise_mv=noise_mv)
    for order, notch_hz in ((2, None), (4, None), (4, 50.0)):
        sections = [_edge(order, low_hz, "high", fs_hz), _edge(order, high_hz, "low", fs_hz)]
        if notch_hz:
            sections.append(_mains(notch_hz, 30.0, fs_hz))
        expected = _scipy(x.astype(np.float64), fs_hz, *sections)
        y = bandpass(x, fs_hz, low_hz, high_hz, order=order, notch_hz=notch_hz, use_ffi=True)
        np.testing.assert_allclose(y, expected, rtol=0, atol=0.5e-3)


@pytest.mark.parametrize(("fs_hz", "mains_hz"), [(500.0, 50.0), (360.0, 60.0), (2000.0, 50.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_notch_equals_scipy(use_ffi, fs_hz, mains_hz, dtype):
    x = _wandering(fs_hz).astype(dtype)
    b, a = sps.iirnotch(mains_hz, 30.0, fs_hz)
    padlen = int(2.5 * fs_hz + 0.5)
    expected = sps.filtfilt(b, a, x.astype(np.float64), padtype="odd", padlen=padlen)
    y = notch(x, fs_hz, mains_hz, use_ffi=use_ffi)
    # The last digit of 300 mV in float32 is worth 0.03 uV.
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4 if dtype == np.float32 else 1e-9)


def test_notch_takes_out_the_mains_and_leaves_beats(clean_lead, use_ffi):
    t = np.arange(len(clean_lead)) / 360.0
    hum = 0.3 * np.sin(2 * np.pi * 60.0 * t)
    y = notch(clean_lead + hum, 360.0, 60.0, use_ffi=use_ffi)
    quiet = notch(clean_lead, 360.0, 60.0, use_ffi=use_ffi)
    assert np.abs(y - quiet)[720:-720].max() < 0.01 * np.abs(hum).max()
    # Some of what goes is mains in the recording itself.
    assert np.corrcoef(y, clean_lead)[0, 1] > 0.99


def test_the_notch_of_a_bandpass_is_the_notch(ludb, use_ffi):
    x = ludb[0].signal_mv
    both = bandpass(x, 500.0, notch_hz=50.0, use_ffi=use_ffi)
    after = notch(bandpass(x, 500.0, use_ffi=use_ffi), 500.0, use_ffi=use_ffi)
    np.testing.assert_allclose(both[:, 1250:-1250], after[:, 1250:-1250], atol=1e-4)


def test_the_median_baseline_follows_wander_and_keeps_beats(strip, use_ffi):
    beats = strip(list(range(300, 5000, 400)), width=8.0)
    wander = 2.0 * np.sin(2 * np.pi * 0.1 * np.arange(5000) / 500.0)
    y = remove_baseline(beats + wander + 300.0, 500.0, method="median", use_ffi=use_ffi)
    peaks = y[300:4700:400]
    assert np.abs(peaks - 1.0).max() < 0.1
    assert np.abs(np.median(y)) < 0.05


@pytest.mark.parametrize("leads", [1, 2, 3, 4, 7, 12, 16, 17, 33])
def test_leads_are_filtered_alone(leads):
    x = _wandering(500.0, leads=leads).astype(np.float64)
    for function in (bandpass, notch, remove_baseline):
        together = function(x, 500.0, use_ffi=True)
        reversed_order = function(x[::-1], 500.0, use_ffi=True)[::-1]
        alone = [function(lead, 500.0, use_ffi=True) for lead in x]
        np.testing.assert_allclose(together, reversed_order, rtol=0, atol=1e-9)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-9)


def test_gain_and_polarity_pass_through(clean_lead, use_ffi):
    for function in (bandpass, notch, remove_baseline):
        y = function(clean_lead, 360.0, use_ffi=use_ffi)
        np.testing.assert_allclose(
            function(-3.0 * clean_lead, 360.0, use_ffi=use_ffi), -3.0 * y, atol=1e-9
        )
    y = remove_baseline(clean_lead, 360.0, method="median", use_ffi=use_ffi)
    turned = remove_baseline(-3.0 * clean_lead, 360.0, method="median", use_ffi=use_ffi)
    np.testing.assert_allclose(turned, -3.0 * y, atol=1e-9)


@given(
    n=st.integers(2, 900),
    leads=st.sampled_from([1, 3, 5, 12]),
    fs_hz=st.sampled_from([10.0, 100.0, 128.0, 500.0, 2000.0, 20_000.0]),
    order=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_the_backends_agree(n, leads, fs_hz, order, seed):
    x = np.random.default_rng(seed).standard_normal((leads, n)).cumsum(axis=1)
    low_hz, high_hz = 0.002 * fs_hz, 0.3 * fs_hz
    options = {"order": order, "notch_hz": 0.1 * fs_hz if seed % 2 else None}
    calls = (
        lambda ffi: bandpass(x, fs_hz, low_hz, high_hz, **options, use_ffi=ffi),
        lambda ffi: notch(x, fs_hz, 0.1 * fs_hz, use_ffi=ffi),
        lambda ffi: remove_baseline(x, fs_hz, 0.05 * fs_hz, use_ffi=ffi),
        lambda ffi: remove_baseline(x, fs_hz, method="median", use_ffi=ffi),
    )
    for call in calls:
        rust, numpy = call(True), call(False)
        assert np.isfinite(rust).all()
        np.testing.assert_allclose(rust, numpy, rtol=0, atol=1e-6 * np.ptp(x))


def test_silence_after_beats_is_not_slow(clean_lead):
    """Decaying states would become subnormal numbers, which cost a hundred times as much."""
    flat = np.zeros((12, 400_000), np.float32)
    flat[:, : len(clean_lead)] = clean_lead
    noise = np.random.default_rng(0).standard_normal(flat.shape).astype(np.float32)
    out = np.empty_like(flat)

    def best_s(x):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            bandpass(x, 360.0, out=out, use_ffi=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert best_s(flat) < 2 * best_s(noise)


def test_one_sample_is_refused(use_ffi):
    for function in (bandpass, notch, remove_baseline):
        with pytest.raises(InvalidSignalError, match="two samples"):
            function(np.zeros(1), 500.0, use_ffi=use_ffi)


@pytest.mark.parametrize(
    "options",
    [{"mains_hz": 0.0}, {"mains_hz": 250.0}, {"mains_hz": np.nan}, {"q": 0.0}, {"q": np.inf}],
)
def test_impossible_mains_are_refused(use_ffi, options):
    with pytest.raises(ConfigError):
        notch(np.zeros(1000), 500.0, **options, use_ffi=use_ffi)
    names = {"mains_hz": "notch_hz", "q": "notch_q"}
    options = {"notch_hz": 50.0} | {names[name]: value for name, value in options.items()}
    with pytest.raises(ConfigError):
        bandpass(np.zeros(1000), 500.0, **options, use_ffi=use_ffi)


def test_an_unknown_method_is_refused(use_ffi):
    with pytest.raises(ConfigError, match="'highpass' or 'median'"):
        remove_baseline(np.zeros(1000), 500.0, method="mean", use_ffi=use_ffi)
