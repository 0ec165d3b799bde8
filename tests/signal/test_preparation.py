"""Resampling, standardising, cutting, and the input of ECG-FM against the model's own pipeline."""

from functools import partial

import numpy as np
import pytest
import scipy.io
from ecg_processor_py import (
    ConfigError,
    InvalidSignalError,
    bandpass,
    notch,
    prepare_ecg_fm,
    remove_baseline,
    resample,
    segment,
    standardize,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as sps

NAME = "code_15_438277"


@pytest.fixture(scope="session")
def code15(data_dir):
    """A raw recording at 400 Hz, and what the published pipeline made of it."""
    folder = data_dir / "twelve_lead/code15"
    raw = scipy.io.loadmat(folder / f"{NAME}.mat")["feats"]
    whole = scipy.io.loadmat(folder / "ecgfm_preprocessed" / f"{NAME}.mat")["feats"]
    cut = scipy.io.loadmat(folder / "ecgfm_segmented" / f"{NAME}_0.mat")["feats"]
    return raw, whole, cut


def test_equals_the_published_pipeline(code15, lead_names, use_ffi):
    raw, whole, cut = code15
    x = np.ascontiguousarray(raw, dtype=np.float64)
    y = standardize(resample(x, 400, 500, use_ffi=use_ffi), use_ffi=use_ffi)
    # Upstream takes differences of neighbours in float32, as the file is stored.
    np.testing.assert_allclose(y, whole, atol=1e-6)
    segments = prepare_ecg_fm(raw, 400, lead_names, use_ffi=use_ffi)
    assert segments.shape == (1, 12, 2500)
    assert segments.dtype == np.float32
    np.testing.assert_allclose(segments[0], cut, atol=1e-5)


def test_names_may_come_in_any_order_and_case(code15, lead_names, use_ffi):
    raw = np.asarray(code15[0], dtype=np.float64)
    expected = prepare_ecg_fm(raw, 400, lead_names, use_ffi=use_ffi)
    order = np.random.default_rng(0).permutation(12)
    names = [*(lead_names[i].upper() for i in order), "V7"]
    shuffled = np.vstack([raw[order], np.ones((1, raw.shape[1]))])
    got = prepare_ecg_fm(shuffled, 400, names, use_ffi=use_ffi)
    np.testing.assert_array_equal(got, expected)


def test_units_and_offsets_cancel_out(code15, lead_names, use_ffi):
    raw = np.asarray(code15[0], dtype=np.float64)
    expected = prepare_ecg_fm(raw, 400, lead_names, use_ffi=use_ffi)
    got = prepare_ecg_fm(8 * raw - 30, 400, lead_names, use_ffi=use_ffi)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_missing_lead_is_named_or_zeros(code15, lead_names, use_ffi):
    raw = np.asarray(code15[0], dtype=np.float64)
    with pytest.raises(InvalidSignalError, match="missing leads: V5, V6"):
        prepare_ecg_fm(raw[:10], 400, lead_names[:10], use_ffi=use_ffi)
    zeroed = prepare_ecg_fm(raw[:10], 400, lead_names[:10], missing_leads="zero", use_ffi=use_ffi)
    whole = prepare_ecg_fm(raw, 400, lead_names, use_ffi=use_ffi)
    np.testing.assert_array_equal(zeroed[:, :10], whole[:, :10])
    assert not zeroed[:, 10:].any()
    with pytest.raises(InvalidSignalError, match="missing leads: I, "):
        prepare_ecg_fm(raw[:1], 400, ["MLII"], missing_leads="zero", use_ffi=use_ffi)


def test_a_constant_lead_is_zeros(lead_names, use_ffi):
    x = np.random.default_rng(1).standard_normal((12, 5000))
    x[4] = 0.1
    y = prepare_ecg_fm(x, 500, lead_names, use_ffi=use_ffi)
    assert y.shape == (2, 12, 2500)
    assert not y[:, 4].any()
    assert np.isfinite(y).all()


def test_what_prepare_refuses(lead_names, use_ffi):
    x = np.random.default_rng(1).standard_normal((12, 2499))
    with pytest.raises(InvalidSignalError, match="at least 5 s"):
        prepare_ecg_fm(x, 500, lead_names, use_ffi=use_ffi)
    with pytest.raises(InvalidSignalError, match="transpose"):
        prepare_ecg_fm(x.T, 500, lead_names, use_ffi=use_ffi)
    with pytest.raises(InvalidSignalError, match="more than once: II"):
        prepare_ecg_fm(x, 500, ["ii", *lead_names[1:]], use_ffi=use_ffi)
    with pytest.raises(ConfigError, match="missing_leads"):
        prepare_ecg_fm(x, 500, lead_names, missing_leads="guess", use_ffi=use_ffi)


@given(
    n=st.integers(50, 700),
    fs_in=st.sampled_from([100.0, 128.0, 257.0, 360.0, 400.0, 500.0, 512.0, 1000.0]),
    fs_out=st.sampled_from([100.0, 250.0, 500.0, 999.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_resampling_is_interpolation_on_a_stretched_axis(n, fs_in, fs_out, seed):
    x = np.random.default_rng(seed).standard_normal(n)
    n_out = int(n * fs_out / fs_in)
    expected = np.interp(np.arange(n_out), np.linspace(0, n_out - 1, n), x)
    for use_ffi in (True, False):
        y = resample(x, fs_in, fs_out, use_ffi=use_ffi)
        np.testing.assert_allclose(y, expected, atol=1e-9)


def test_the_dtype_stays(use_ffi):
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(0).standard_normal((2, 1000)).astype(dtype)
        for y in (
            resample(x, 250, 500, use_ffi=use_ffi),
            standardize(x, use_ffi=use_ffi),
            segment(x, 250, 1, use_ffi=use_ffi),
        ):
            assert y.dtype == dtype
        assert resample(x[0], 250, 500, use_ffi=use_ffi).shape == (2000,)


@given(n=st.integers(1, 300), window=st.integers(1, 120), hop=st.integers(1, 120))
@settings(max_examples=80, deadline=None)
def test_segments_are_slices(n, window, hop):
    x = np.arange(2.0 * n).reshape(2, n)
    for use_ffi in (True, False):
        y = segment(x, 100, window / 100, hop / 100, use_ffi=use_ffi)
        count = 0 if n < window else (n - window) // hop + 1
        assert y.shape == (count, 2, window)
        for i in range(count):
            np.testing.assert_array_equal(y[i], x[:, i * hop : i * hop + window])


def test_segments_of_nothing_are_refused(use_ffi):
    for seconds, stride in ((0, None), (1, 0), (-1, None), (np.nan, None), (1, -1)):
        with pytest.raises(ConfigError):
            segment(np.zeros(1000), 100, seconds, stride, use_ffi=use_ffi)


@given(seed=st.integers(0, 1000), offset=st.floats(-300, 300), gain=st.floats(1e-3, 100))
@settings(max_examples=50, deadline=None)
def test_standardizing_undoes_gain_and_offset(seed, offset, gain):
    x = np.random.default_rng(seed).standard_normal((2, 400))
    for use_ffi in (True, False):
        y = standardize(gain * x + offset, use_ffi=use_ffi)
        np.testing.assert_allclose(y, standardize(x, use_ffi=use_ffi), atol=1e-6)
        np.testing.assert_allclose(y.std(axis=1), 1.0, atol=1e-9)


@pytest.mark.parametrize(
    ("fs_in", "fs_out"), [(1000, 500), (360, 500), (500, 360), (257, 500), (500, 128), (250, 1000)]
)
def test_polyphase_equals_scipy_inside(clean_lead, use_ffi, fs_in, fs_out):
    x = np.vstack([clean_lead, clean_lead[::-1]]) + 300.0
    y = resample(x, fs_in, fs_out, method="polyphase", use_ffi=use_ffi)
    level = x[:, [x.shape[1] // 2]]
    divisor = np.gcd(fs_in, fs_out)
    expected = level + sps.resample_poly(x - level, fs_out // divisor, fs_in // divisor, axis=1)
    inside = slice(y.shape[1] // 10, -y.shape[1] // 10)
    np.testing.assert_allclose(y[:, inside], expected[:, : y.shape[1]][:, inside], atol=1e-9)
    narrow = resample(x.astype(np.float32), fs_in, fs_out, method="polyphase", use_ffi=use_ffi)
    # The last digit of 300 mV in float32 is worth 0.03 uV.
    np.testing.assert_allclose(narrow, y, rtol=0, atol=1e-4)


@given(
    n=st.integers(2, 400),
    leads=st.integers(1, 3),
    fs_in=st.sampled_from([10.0, 100.0, 128.0, 257.0, 500.0, 1000.0, 20_000.0]),
    fs_out=st.sampled_from([10.0, 125.0, 250.0, 360.0, 999.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_the_backends_resample_alike(n, leads, fs_in, fs_out, seed):
    x = np.random.default_rng(seed).standard_normal((leads, n))
    if int(n * fs_out / fs_in) < 2:
        return
    for method in ("linear", "polyphase"):
        rust, numpy = (
            resample(x, fs_in, fs_out, method=method, use_ffi=use_ffi) for use_ffi in (True, False)
        )
        np.testing.assert_allclose(rust, numpy, rtol=0, atol=1e-9)


def test_polyphase_keeps_an_offset_and_refuses_odd_ratios(use_ffi):
    x = np.full((2, 500), 300.0)
    y = resample(x, 360, 500, method="polyphase", use_ffi=use_ffi)
    np.testing.assert_array_equal(y, 300.0)
    with pytest.raises(ConfigError, match="ratio of integers"):
        resample(x, 500, 500.12345, method="polyphase", use_ffi=use_ffi)
    with pytest.raises(ConfigError, match="'linear' or 'polyphase'"):
        resample(x, 500, 250, method="cubic", use_ffi=use_ffi)


def test_too_few_samples_to_resample(use_ffi):
    for x in (np.zeros(1), np.zeros(10)):
        with pytest.raises(InvalidSignalError, match="too few"):
            resample(x, 1000, 100, use_ffi=use_ffi)


def _calls(lead_names, use_ffi):
    """Name, call and input of every function that takes `out`."""
    x = np.random.default_rng(3).standard_normal((12, 5000)).astype(np.float32)
    calls = {
        "resample": lambda x, **out: resample(x, 1000, 500, **out),
        "polyphase": lambda x, **out: resample(x, 1000, 500, method="polyphase", **out),
        "standardize": standardize,
        "segment": lambda x, **out: segment(x, 500, 2, **out),
        "prepare_ecg_fm": lambda x, **out: prepare_ecg_fm(x, 500, lead_names, **out),
        "bandpass": lambda x, **out: bandpass(x, 500, **out),
        "notch": lambda x, **out: notch(x, 500, **out),
        "remove_baseline": lambda x, **out: remove_baseline(x, 500, **out),
        "median": lambda x, **out: remove_baseline(x, 500, method="median", **out),
    }
    return x, {name: partial(call, use_ffi=use_ffi) for name, call in calls.items()}


def test_results_are_written_where_the_caller_says(lead_names, use_ffi):
    x, calls = _calls(lead_names, use_ffi)
    for call in calls.values():
        expected = call(x)
        out = np.full_like(expected, np.nan)
        assert call(x, out=out) is out
        np.testing.assert_array_equal(out, expected)
    row = np.empty(5000, np.float32)
    assert bandpass(x[0], 500, out=row, use_ffi=use_ffi) is row


def test_an_output_that_does_not_fit_is_refused_with_what_is_needed(lead_names, use_ffi):
    x, calls = _calls(lead_names, use_ffi)
    for call in calls.values():
        fits = call(x)
        frozen = fits.copy()
        frozen.flags.writeable = False
        strided = np.empty((*fits.shape[:-1], 2 * fits.shape[-1]), fits.dtype)[..., ::2]
        for wrong in (
            fits[..., :-1],
            fits.astype(np.float64),
            fits.astype(">f4"),
            frozen,
            strided,
            np.asfortranarray(fits),
            fits.tolist(),
        ):
            with pytest.raises(ConfigError, match=r"out must be .* float32 array of shape \("):
                call(x, out=wrong)


def test_an_output_over_the_input_is_refused(use_ffi):
    x = np.random.default_rng(3).standard_normal((24, 5000))
    with pytest.raises(ConfigError, match="shares memory"):
        standardize(x, out=x, use_ffi=use_ffi)
    with pytest.raises(ConfigError, match="shares memory"):
        bandpass(x[:12], 500, out=x[6:18], use_ffi=use_ffi)
    assert bandpass(x[:12], 500, out=x[12:], use_ffi=use_ffi) is not None
