"""Anything at all into the public functions: a well-formed result or an error of the library."""

import os
import time

import ecg_processor_py as ecg
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

# The same cases on every run; FUZZ_EXAMPLES sets how many.
FUZZ = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "120")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, 1e-300, 1000.0, 1000.1, -32768.0, 1e30]
NUMBERS = st.one_of(
    st.floats(), st.floats(0, 1), st.floats(1, 2000), st.integers(), st.sampled_from(ODD)
)
RATES = st.one_of(st.floats(100, 2000), NUMBERS)


@st.composite
def signals(draw):
    """Noise, walks, rails and levels of any size, sprinkled with odd values, in any dtype."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(0, 4)), draw(st.integers(0, 2500)))
    kind = draw(st.sampled_from(["noise", "walk", "rails", "level"]))
    x = rng.standard_normal(shape)
    if kind == "walk":
        x = x.cumsum(axis=1)
    elif kind == "rails":
        x = np.sign(x) * draw(st.floats(0, 1100))
    elif kind == "level":
        x = np.full(shape, draw(st.floats(-1100, 1100)))
    if x.size and draw(st.integers(0, 3)) == 0:
        x.flat[rng.integers(0, x.size, 5)] = draw(st.sampled_from(ODD))
    with np.errstate(all="ignore"):
        x = x.astype(draw(st.sampled_from(["f8", "f8", "f4", "f2", ">f8", "i2", "u1", "?", "O"])))
    return draw(st.sampled_from([x, x[0] if len(x) else x, np.asfortranarray(x), x[:, ::-1]]))


ANYTHING = st.one_of(
    signals(),
    st.none() | st.text() | st.binary() | st.booleans() | st.complex_numbers() | st.floats(),
    st.lists(st.floats() | st.none() | st.text(), max_size=20),
    st.dictionaries(st.text(max_size=3), st.floats(), max_size=3),
    arrays.arrays(st.one_of(arrays.scalar_dtypes()), arrays.array_shapes(min_dims=0, max_side=5)),
)


def _or_refused(call):
    """What `call` gives; None where the library refuses, and no other exception is let pass."""
    try:
        return call()
    except (ecg.InvalidSignalError, ecg.ConfigError):
        return None


def _both(function, *arguments, **options):
    """The answers of both backends, of which both or neither must be a refusal."""
    both = [
        _or_refused(lambda use=use: function(*arguments, use_ffi=use, **options))
        for use in (True, False)
    ]
    assert (both[0] is None) == (both[1] is None)
    return [answer for answer in both if answer is not None]


@given(x=ANYTHING, fs_in=RATES, fs_out=RATES)
@FUZZ
def test_resample(x, fs_in, fs_out):
    if isinstance(fs_in, float) and isinstance(fs_out, float) and not fs_out < 20 * fs_in:
        return  # a large result, and a slow test
    for y in _both(ecg.resample, x, fs_in, fs_out):
        # Equal rates keep every sample, whatever rounding says.
        assert abs(y.shape[-1] - np.shape(x)[-1] * fs_out / fs_in) < 1.0 + 1e-6
        assert np.isfinite(y).all()


@given(x=ANYTHING, rate=RATES, low=NUMBERS, high=NUMBERS, order=st.integers(-1, 10))
@FUZZ
def test_filters(x, rate, low, high, order):
    answers = _both(ecg.standardize, x) + _both(ecg.remove_baseline, x, rate, low)
    for y in answers + _both(ecg.bandpass, x, rate, low, high, order=order):
        assert y.shape == np.shape(x)
        assert np.isfinite(y).all()


@given(x=ANYTHING, rate=RATES, seconds=st.floats(0.05, 30) | NUMBERS)
@FUZZ
def test_segment(x, rate, seconds):
    for y in _both(ecg.segment, x, rate, seconds):
        assert y.ndim == 3
        assert y.shape[0] * y.shape[2] <= np.shape(x)[-1]


@given(x=ANYTHING, rate=RATES, leads=st.integers(0, 13))
@FUZZ
def test_prepare_ecg_fm(x, rate, leads):
    names = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6", "X"][:leads]
    for y in _both(ecg.prepare_ecg_fm, x, rate, names, missing_leads="zero"):
        assert y.shape[1:] == (12, 2500)
        assert np.isfinite(y).all()


@given(x=ANYTHING, rate=RATES, threshold=NUMBERS)
@FUZZ
def test_peaks_and_quality(x, rate, threshold):
    for peaks in _both(ecg.detect_r_peaks, x, rate):
        assert (np.diff(peaks) > 0).all()
        assert ((peaks >= 0) & (peaks < np.shape(x)[-1])).all()
    for quality in _both(ecg.signal_quality, x, rate, noise_threshold=threshold):
        assert all(0 <= score <= 1 for score in [quality.score, *(q.score for q in quality.leads)])


@given(rr=ANYTHING | st.lists(st.floats(100, 4000), max_size=80))
@FUZZ
def test_hrv(rr):
    for found in _both(ecg.hrv, rr):
        assert 0 <= found.nn_count <= np.size(rr)


@given(x=ANYTHING, rate=RATES, longest_s=NUMBERS, marker=st.none() | NUMBERS)
@FUZZ
def test_fill_gaps(x, rate, longest_s, marker):
    for filled, gaps in _both(ecg.fill_gaps, x, rate, longest_s, marker=marker):
        assert filled.shape == np.shape(x)
        assert np.isfinite(filled).all()
        assert all(0 <= gap.start < gap.end <= np.shape(x)[-1] for gap in gaps)


@given(x=ANYTHING, rate=RATES, limits=st.tuples(NUMBERS, NUMBERS), more=st.tuples(NUMBERS, NUMBERS))
@FUZZ
def test_analyze(x, rate, limits, more):
    config = _or_refused(
        lambda: ecg.ECGAnalysisConfig(
            sampling_rate=rate,
            min_heart_rate=limits[0],
            max_heart_rate=limits[1],
            noise_threshold=more[0],
            min_signal_quality=more[1],
        )
    )
    config = config or ecg.ECGAnalysisConfig(sampling_rate=250.0)
    batches = [
        ecg.ECGAnalyzerFFI(use).analyze_batch([x, x], config, on_error="return")
        for use in (True, False)
    ]
    for first, second in batches:
        assert isinstance(first, ecg.ECGAnalysisResult | ecg.InvalidSignalError)
        assert type(first) is type(second) is type(batches[0][0])
        if isinstance(first, ecg.ECGAnalysisResult):
            assert {**first.to_dict(), "processing_time_ms": 0} == {
                **second.to_dict(),
                "processing_time_ms": 0,
            }
            assert len(first.rr_intervals) == max(0, len(first.qrs_peaks) - 1)
            assert 0 <= first.signal_quality <= 1


@given(st.dictionaries(st.sampled_from(list(ecg.ECGAnalysisConfig().to_dict())), NUMBERS))
@FUZZ
def test_configurations_are_within_bounds_or_refused(fields):
    config = _or_refused(lambda: ecg.ECGAnalysisConfig(**fields))
    if config is not None:
        assert 100 <= config.sampling_rate <= 2000
        assert 10 <= config.min_heart_rate < config.max_heart_rate <= 400
        assert 0 < config.noise_threshold <= 1
        assert 0 <= config.min_signal_quality <= 1


def test_the_strategies_reach_both_outcomes():
    """A fuzzer whose every input is refused would prove nothing."""
    outcomes = set()

    @given(x=signals())
    @FUZZ
    def count(x):
        outcomes.add(_or_refused(lambda: ecg.standardize(x)) is None)

    count()
    assert outcomes == {True, False}


HOSTILE = {
    "noise": lambda n: np.random.default_rng(0).standard_normal(n),
    "saturated square": lambda n: np.where(np.arange(n) // 90 % 2, 5.0, -5.0),
    "alternating rails": lambda n: np.where(np.arange(n) % 2, 20.0, -20.0),
    "clipped": lambda n: np.clip(8 * np.sin(np.arange(n) / 30), -1, 1),
    "spikes": lambda n: 20.0 * (np.arange(n) % 40 == 0),
    "one spike": lambda n: 900.0 * (np.arange(n) == n // 2),
    "steps": lambda n: (np.arange(n) // 3000 % 3) * 10.0,
    "flat": np.zeros,
}


@pytest.mark.benchmark
@pytest.mark.parametrize("kind", HOSTILE)
def test_time_grows_no_faster_than_the_input(kind):
    """Four times the samples take less than six times the CPU time, whatever they are.

    Both are too long for the caches, and fresh pages cost both. A busy neighbour can spoil one
    attempt; a square is sixteen times as slow in each of them.
    """
    analyzer = ecg.ECGAnalyzerFFI(use_ffi=True)
    x = HOSTILE[kind](1_600_000).astype(np.float64)

    def cpu_s(signal):
        start = time.process_time()
        analyzer.analyze(signal)
        return time.process_time() - start

    ratios = []
    while not ratios or (ratios[-1] > 6.0 and len(ratios) < 6):
        short = cpu_s(x[:400_000])
        ratios.append(cpu_s(x) / short)
    assert min(ratios) < 6.0
