"""What must not change the beats, and what has none."""

import time

import numpy as np
import pytest
from ecg_processor_py import ConfigError, InvalidSignalError, detect_r_peaks, resample
from hypothesis import given, settings
from hypothesis import strategies as st

BEATS = list(range(60, 4900, 420))


@pytest.mark.parametrize(
    ("gain", "offset_mv"),
    [(1.0, 300.0), (1.0, -300.0), (-1.0, 0.0), (1e-3, 0.0), (20.0, 0.0), (-0.5, 300.0)],
)
def test_amplitude_offset_and_polarity_do_not_matter(clean_lead, use_ffi, gain, offset_mv):
    expected = detect_r_peaks(clean_lead, 360.0, use_ffi=use_ffi)
    found = detect_r_peaks(gain * clean_lead + offset_mv, 360.0, use_ffi=use_ffi)
    assert len(expected) == 13
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("fs_hz", [100.0, 200.0, 250.0, 500.0, 1000.0, 2000.0])
def test_the_sampling_rate_does_not_matter(clean_lead, use_ffi, fs_hz):
    expected = detect_r_peaks(clean_lead, 360.0, use_ffi=use_ffi) / 360.0
    x = resample(clean_lead, 360.0, fs_hz, use_ffi=use_ffi)
    found = detect_r_peaks(x, fs_hz, use_ffi=use_ffi) / fs_hz
    np.testing.assert_allclose(found, expected, atol=1.5 / min(fs_hz, 360.0))


def test_the_first_and_the_last_beat_of_a_strip_are_found(strip, use_ffi):
    beats = [*BEATS, 4925]
    found = detect_r_peaks(strip(beats), 500.0, use_ffi=use_ffi)
    np.testing.assert_allclose(found, beats, atol=1)


@pytest.mark.parametrize("beats", [[8, *BEATS[1:]], [*BEATS, 4990]])
def test_a_beat_that_an_end_cuts_is_found_within_50_ms(strip, use_ffi, beats):
    found = detect_r_peaks(strip(beats), 500.0, use_ffi=use_ffi)
    np.testing.assert_allclose(found, beats, atol=25)


def test_a_premature_beat_and_a_pause_are_kept(strip, use_ffi):
    beats = [200, 600, 820, 1400, 1800, 2200, 3600, 4000, 4400]
    np.testing.assert_array_equal(detect_r_peaks(strip(beats), 500.0, use_ffi=use_ffi), beats)


def test_a_weak_beat_is_found_where_one_is_due(strip, use_ffi):
    x = strip(BEATS) - 0.82 * strip([BEATS[5]])
    np.testing.assert_array_equal(detect_r_peaks(x, 500.0, use_ffi=use_ffi), BEATS)


@pytest.mark.parametrize("level_mv", [0.0, 0.1, -299.7])
def test_a_flat_signal_has_no_beats(use_ffi, level_mv):
    for shape in (5000, (12, 5000)):
        found = detect_r_peaks(np.full(shape, level_mv), 500.0, use_ffi=use_ffi)
        assert found.shape == (0,)
        assert found.dtype == np.int64


def test_bad_leads_do_not_spoil_good_ones(strip, use_ffi):
    rng = np.random.default_rng(3)
    good = strip(BEATS) + 0.02 * rng.standard_normal((4, 5000))
    x = np.vstack([good, np.zeros((3, 5000)), 2.0 * rng.standard_normal((4, 5000))])
    found = detect_r_peaks(x, 500.0, use_ffi=use_ffi)
    assert len(found) == len(BEATS)
    assert np.abs(found - BEATS).max() <= 3


def test_float32_gives_the_same_beats(clean_lead, use_ffi):
    np.testing.assert_array_equal(
        detect_r_peaks(clean_lead.astype(np.float32), 360.0, use_ffi=use_ffi),
        detect_r_peaks(clean_lead, 360.0, use_ffi=use_ffi),
    )


@pytest.mark.parametrize("fs_hz", [99.0, 2001.0, 0.0, -500.0, np.nan, np.inf, "500", True, None])
def test_a_wrong_sampling_rate_is_refused(use_ffi, fs_hz):
    with pytest.raises(ConfigError, match="fs_hz"):
        detect_r_peaks(np.zeros(5000), fs_hz, use_ffi=use_ffi)


def test_a_transposed_signal_is_refused_with_a_hint(use_ffi):
    with pytest.raises(InvalidSignalError, match=r"\(leads, samples\)"):
        detect_r_peaks(np.zeros((5000, 12)), 500.0, use_ffi=use_ffi)


HOSTILE = ["rails", "step", "spike", "ramp", "flat", "noise"]


def _hostile(kind, n):
    return {
        "rails": np.where(np.arange(n) % 2, 1e3, -1e3),
        "step": np.where(np.arange(n) > n // 2, 1e3, 0.0),
        "spike": np.eye(1, n, n // 3)[0] * 1e3,
        "ramp": np.linspace(-5.0, 5.0, n),
        "flat": np.zeros(n),
        "noise": np.random.default_rng(5).standard_normal(n),
    }[kind]


def _seconds(x, use_ffi):
    def once():
        start = time.process_time()
        detect_r_peaks(x, 500.0, use_ffi=use_ffi)
        return time.process_time() - start

    return min(once() for _ in range(3))


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_signals_take_linear_time(kind, use_ffi):
    short, long = _hostile(kind, 100_000), _hostile(kind, 1_000_000)
    assert _seconds(long, use_ffi) < 25.0 * _seconds(short, use_ffi)
    assert _seconds(long, use_ffi) < (6.0, 1.0)[use_ffi]


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_signals_give_both_backends_the_same_beats(kind):
    x = _hostile(kind, 20_000)
    rust, python = (detect_r_peaks(x, 500.0, use_ffi=use_ffi) for use_ffi in (True, False))
    np.testing.assert_array_equal(python, rust)


def test_a_lead_all_but_still_gives_both_backends_the_same_beats(strip):
    x = np.stack([strip(BEATS), strip(BEATS)])
    x[1, ::2] *= -0.5
    x[1] /= np.ptp(x[1])
    x[1] -= 0.5 * (x[1].min() + x[1].max())
    x[1, 3000:] = 1e-21 * np.random.default_rng(7).standard_normal(2000)
    rust, python = (detect_r_peaks(x, 500.0, use_ffi=use_ffi) for use_ffi in (True, False))
    np.testing.assert_array_equal(python, rust)
    assert len(rust) == len(BEATS)


@given(
    seed=st.integers(0, 2**31),
    samples=st.integers(250, 3000),
    leads=st.integers(1, 4),
    scale=st.floats(1e-6, 1e2),
)
@settings(max_examples=60, deadline=None)
def test_peaks_of_anything_are_ascending_and_inside(seed, samples, leads, scale):
    rng = np.random.default_rng(seed)
    x = scale * rng.standard_normal((leads, samples)).cumsum(axis=1)
    x = np.clip(x, -1e3, 1e3)
    rust = detect_r_peaks(x, 250.0)
    assert (np.diff(rust) > 0).all()
    assert ((rust >= 0) & (rust < samples)).all()
    np.testing.assert_array_equal(detect_r_peaks(x, 250.0, use_ffi=False), rust)
