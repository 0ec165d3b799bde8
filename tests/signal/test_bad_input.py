"""What users hand over by mistake: the right result, or an error that says what to do."""

import decimal

import ecg_processor_py as ecg
import numpy as np
import pytest
from ecg_processor_py import ConfigError, Gap, InvalidSignalError, checks, fill_gaps

RATE = 360.0
CONFIG = ecg.ECGAnalysisConfig(sampling_rate=RATE)
LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]


def _read_only(x):
    y = x.copy()
    y.flags.writeable = False
    return y


def _unaligned(x):
    raw = np.zeros(x.nbytes + 1, dtype=np.uint8)
    y = raw[1:].view(np.float64)
    y[:] = x
    return y


class Gives:
    """Something that is no array but can become one, or fails to."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        if isinstance(self._array, Exception):
            raise self._array
        return self._array


# The same samples in a form that must make no difference.
SAME = {
    "list": lambda x: x.tolist(),
    "tuple": lambda x: tuple(x.tolist()),
    "read-only": _read_only,
    "strided": lambda x: np.repeat(x, 3)[::3],
    "backwards in memory": lambda x: x[::-1].copy()[::-1],
    "big-endian": lambda x: x.astype(">f8"),
    "big-endian float32": lambda x: x.astype(">f4"),
    "float32": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "long double": lambda x: x.astype(np.longdouble),
    "unaligned": _unaligned,
    "one row": lambda x: x[np.newaxis],
    "Fortran order": lambda x: np.asfortranarray(np.stack([x, x])),
    "transposed view": lambda x: np.stack([x, x], axis=1).T,
    "masked, nothing hidden": np.ma.masked_array,
    "array-like": Gives,
    "broadcast": lambda x: np.broadcast_to(x, (3, len(x))),
    "integers": lambda x: np.round(20 * x).astype(np.int16),
    "unsigned": lambda x: np.round(20 * x + 60).astype(np.uint8),
    "opposite polarity": lambda x: -x,
    "offset of an electrode": lambda x: x + 300.0,
}


@pytest.mark.parametrize("form", SAME)
def test_the_form_of_the_samples_makes_no_difference(analyzer, clean_lead, form):
    expected = analyzer.analyze(clean_lead, CONFIG)
    result = analyzer.analyze(SAME[form](clean_lead), CONFIG)
    assert len(expected.qrs_peaks) == len(result.qrs_peaks)
    assert np.abs(expected.qrs_peaks - result.qrs_peaks).max() <= 2
    assert result.heart_rate == pytest.approx(expected.heart_rate, abs=0.5)


def _marked(x):
    y = np.round(20 * x).astype(np.int16)
    y[700:705] = -32768
    return y


def _with(x, where, value):
    y = x.copy()
    y[where] = value
    return y


# (what is wrong with it, the words of the error that help)
REFUSED = {
    "empty": (lambda x: x[:0], "empty"),
    "empty list": (lambda x: [], "empty"),
    "no leads": (lambda x: np.zeros((0, 5000)), "empty"),
    "no samples": (lambda x: np.zeros((12, 0)), "empty"),
    "one sample": (lambda x: x[:1], "at least 1 s are needed"),
    "less than a second": (lambda x: x[:359], "at least 1 s are needed"),
    "a number": (lambda x: 3.0, "not of shape"),
    "0-d": (lambda x: np.array(1.0), "not of shape"),
    "3-d": (lambda x: np.zeros((2, 3, 5000)), "not of shape"),
    "NaN": (lambda x: np.full_like(x, np.nan), "fill_gaps"),
    "a run of NaN": (lambda x: _with(x, slice(50, 60), np.nan), "not finite at sample 50: fill"),
    "infinite": (lambda x: _with(x, 9, np.inf), "not finite at sample 9"),
    "minus infinite": (lambda x: _with(x, -1, -np.inf), "not finite at sample 3599"),
    "masked": (lambda x: np.ma.masked_greater(x, 0.5), "masked samples: fill short gaps"),
    "bool": (lambda x: x > 0, "real numbers"),
    "complex": (lambda x: x.astype(complex), "real numbers"),
    "object": (lambda x: x.astype(object), "convert it to float64"),
    "decimals": (lambda x: [decimal.Decimal(1)] * 5000, "convert it to float64"),
    "strings": (lambda x: x.astype(str), "real numbers"),
    "bytes": (lambda x: x.tobytes(), "real numbers"),
    "text": (lambda x: "an ECG", "real numbers"),
    "dates": (lambda x: x.astype("datetime64[s]"), "real numbers"),
    "fields": (lambda x: np.zeros(5000, dtype=[("I", "f8")]), "real numbers"),
    "None": (lambda x: None, "real numbers"),
    "a dict": (lambda x: {"I": x}, "real numbers"),
    "ragged": (lambda x: [[1.0, 2.0], [3.0]], "not an array"),
    "failing": (lambda x: Gives(RuntimeError("on the GPU")), "on the GPU"),
    "-32768 marker": (_marked, r"marker=-32768"),
    "10 V": (lambda x: _with(x, 44, 10_000.0), "10000 mV at sample 44"),
    "microvolts": (lambda x: 1000 * x, "check the units"),
    "microvolts below a volt": (lambda x: 400 * x, "microvolts or ADU"),
    "ADU": (lambda x: np.round(200 * x).astype(np.int16), "microvolts or ADU"),
    "ADU beside a flat lead": (lambda x: np.stack([200 * x, 0 * x]), "microvolts or ADU"),
    "more than 1e9": (lambda x: x + 1e10, "check the units"),
    "the largest float": (lambda x: _with(x, 3, np.finfo(float).max), "check the units"),
    "transposed": (lambda x: np.stack([x] * 12, axis=1), r"transpose it to \(leads, samples\)"),
    "transposed, short": (lambda x: np.stack([x[:90]] * 12, axis=1), r"must be .*leads, samples"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_analysed_is_refused_in_words_that_help(analyzer, clean_lead, fault):
    spoil, words = REFUSED[fault]
    with pytest.raises(InvalidSignalError, match=words):
        analyzer.analyze(spoil(clean_lead), CONFIG)
    assert analyzer.get_stats()["errors"] == 1


FUNCTIONS = {
    "resample": lambda x, **o: ecg.resample(x, RATE, 500.0, **o),
    "standardize": ecg.standardize,
    "segment": lambda x, **o: ecg.segment(x, RATE, 1.0, **o),
    "bandpass": lambda x, **o: ecg.bandpass(x, RATE, **o),
    "remove_baseline": lambda x, **o: ecg.remove_baseline(x, RATE, **o),
    "detect_r_peaks": lambda x, **o: ecg.detect_r_peaks(x, RATE, **o),
    "signal_quality": lambda x, **o: ecg.signal_quality(x, RATE, **o),
    "prepare_ecg_fm": lambda x, **o: ecg.prepare_ecg_fm(x, RATE, ["I"], missing_leads="zero", **o),
}
FOR_EVERY_FUNCTION = [
    "empty", "no leads", "no samples", "0-d", "3-d", "NaN", "a run of NaN", "infinite", "masked",
    "bool", "complex", "object", "strings", "text", "None", "ragged", "-32768 marker", "10 V",
    "more than 1e9", "the largest float", "transposed",
]  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("fault", FOR_EVERY_FUNCTION)
def test_the_functions_refuse_it_too(use_ffi, clean_lead, name, fault):
    with pytest.raises(InvalidSignalError) as caught:
        FUNCTIONS[name](REFUSED[fault][0](clean_lead), use_ffi=use_ffi)
    assert len(str(caught.value)) > 15


def test_both_backends_refuse_in_the_same_words(clean_lead):
    def words(spoil, use_ffi):
        with pytest.raises(InvalidSignalError) as caught:
            ecg.ECGAnalyzerFFI(use_ffi).analyze(spoil(clean_lead), CONFIG)
        return str(caught.value)

    for fault, (spoil, _) in REFUSED.items():
        if fault not in ("the largest float", "more than 1e9"):  # digits of large floats
            assert words(spoil, True) == words(spoil, False), fault


BAD_RATES = [
    "360", b"360", None, True, np.True_, np.nan, np.inf, 0, 0.0, -360.0, 99.9, 2000.1, 1e9, [360.0],
    np.array([360.0]), 360 + 0j, np.complex128(360), object(),
]  # fmt: skip


@pytest.mark.parametrize("rate", BAD_RATES, ids=repr)
def test_a_wrong_sampling_rate_is_refused(use_ffi, clean_lead, rate):
    with pytest.raises(ConfigError, match="sampling_rate"):
        ecg.ECGAnalysisConfig(sampling_rate=rate)
    for function in (ecg.detect_r_peaks, ecg.signal_quality):
        with pytest.raises(ConfigError, match="fs_hz must"):
            function(clean_lead, rate, use_ffi=use_ffi)


@pytest.mark.parametrize("rate", [r for r in BAD_RATES if r not in (99.9, 2000.1)], ids=repr)
def test_other_functions_refuse_what_no_recorder_has(use_ffi, clean_lead, rate):
    options = {"use_ffi": use_ffi}
    for call in (
        lambda: ecg.resample(clean_lead, rate, 500.0, **options),
        lambda: ecg.resample(clean_lead, 360.0, rate, **options),
        lambda: ecg.bandpass(clean_lead, rate, **options),
        lambda: ecg.remove_baseline(clean_lead, rate, **options),
        lambda: ecg.segment(clean_lead, rate, 1.0, **options),
        lambda: ecg.prepare_ecg_fm(clean_lead, rate, ["I"], missing_leads="zero", **options),
        lambda: fill_gaps(clean_lead, rate, **options),
    ):
        with pytest.raises(ConfigError, match=r"(fs_hz|fs_in|fs_out) must"):
            call()


@pytest.mark.parametrize("rate", [100, 100.0, 2000, 2000.0])
def test_the_ends_of_the_range_work(analyzer, strip, rate):
    beats = [int(rate * (0.4 + 0.8 * i)) for i in range(12)]
    x = strip(beats, samples=int(10 * rate), width=0.024 * rate)
    result = analyzer.analyze(x, ecg.ECGAnalysisConfig(sampling_rate=rate))
    assert result.heart_rate == pytest.approx(75.0, abs=1.0)


@pytest.mark.parametrize("order", [0, 9, 4.0, "4", None, True, [4]])
def test_a_wrong_order_is_refused(use_ffi, clean_lead, order):
    with pytest.raises(ConfigError, match="order must"):
        ecg.bandpass(clean_lead, RATE, order=order, use_ffi=use_ffi)


def test_a_result_that_no_memory_holds_is_refused(use_ffi, monkeypatch):
    x = np.zeros(4_000_000)
    with pytest.raises(ConfigError, match=r"segments would take \d+ GB"):
        ecg.segment(x, 500.0, 4000.0, 0.002, use_ffi=use_ffi)
    monkeypatch.setattr(checks, "MEMORY_BYTES", 10**9)
    with pytest.raises(ConfigError, match=r"resampling would take 64 GB"):
        ecg.resample(x, 10.0, 20_000.0, use_ffi=use_ffi)


@pytest.mark.parametrize("names", [None, 12, "I", [1] * 12, ["I"] * 12, ["X"] * 12, LEADS[:3]])
def test_wrong_lead_names_are_refused(use_ffi, names):
    x = np.random.default_rng(0).standard_normal((12, 5000))
    with pytest.raises(InvalidSignalError, match=r"lead"):
        ecg.prepare_ecg_fm(x, 500.0, names, use_ffi=use_ffi)


def test_an_artefact_is_not_taken_for_microvolts(analyzer, clean_lead):
    x = np.tile(clean_lead, 2)
    x[400:900] += 400.0 * np.sin(np.arange(500) / 7.0)
    assert analyzer.analyze(x, CONFIG).processing_backend == analyzer.backend


def test_one_lead_in_mv_is_enough(analyzer, clean_lead):
    x = np.stack([200 * clean_lead, clean_lead])
    assert len(analyzer.analyze(x, CONFIG).qrs_peaks) == 13


class TestGaps:
    """`fill_gaps`."""

    @pytest.mark.parametrize("kind", [np.float64, np.float32])
    def test_short_runs_become_straight_lines(self, use_ffi, kind):
        x = np.array([[1, np.nan, np.nan, 4, 5], [np.nan, 7, 8, 9, np.nan]], dtype=kind)
        before = x.copy()
        filled, gaps = fill_gaps(x, 10.0, use_ffi=use_ffi)
        np.testing.assert_array_equal(filled, [[1, 2, 3, 4, 5], [7, 7, 8, 9, 9]])
        assert gaps == (Gap(0, 1, 3), Gap(1, 0, 1), Gap(1, 4, 5))
        assert filled.dtype == kind
        np.testing.assert_array_equal(x, before)

    def test_markers_and_masks_are_gaps(self, use_ffi, clean_lead):
        marked = _marked(clean_lead)
        filled, gaps = fill_gaps(marked, RATE, marker=-32768, use_ffi=use_ffi)
        assert gaps == (Gap(0, 700, 705),)
        assert filled.shape == marked.shape
        masked = np.ma.masked_equal(marked, -32768)
        np.testing.assert_array_equal(fill_gaps(masked, RATE, use_ffi=use_ffi)[0], filled)
        scaled = (marked / 200.0).astype(np.float32)
        again, _ = fill_gaps(scaled, RATE, marker=-32768 / 200.0, use_ffi=use_ffi)
        np.testing.assert_allclose(again, filled / 200.0, rtol=1e-6)

    def test_filled_recordings_have_the_beats_of_whole_ones(self, analyzer, use_ffi, clean_lead):
        expected = analyzer.analyze(clean_lead, CONFIG)
        gappy = clean_lead.copy()
        for peak in expected.qrs_peaks[1:-1]:
            gappy[peak + 120 : peak + 150] = np.nan
        filled, gaps = fill_gaps(gappy, RATE, use_ffi=use_ffi)
        assert len(gaps) == 11
        np.testing.assert_array_equal(
            analyzer.analyze(filled, CONFIG).qrs_peaks, expected.qrs_peaks
        )

    def test_long_gaps_are_refused_with_lead_and_time(self, use_ffi, clean_lead):
        x = np.stack([clean_lead, clean_lead])
        x[1, 720:800] = np.nan
        with pytest.raises(InvalidSignalError, match=r"lead 1 .* 2\.000 s to 2\.222 s"):
            fill_gaps(x, RATE, use_ffi=use_ffi)
        assert fill_gaps(x, RATE, longest_s=0.25, use_ffi=use_ffi)[1] == (Gap(1, 720, 800),)

    def test_what_is_no_gap_stays_refused(self, use_ffi, clean_lead):
        for x, words in [
            (_with(clean_lead, 5, np.inf), "not finite"),
            (_with(clean_lead, 5, -32768.0), "marker=-32768"),
            (np.full(30, np.nan), "no samples from 0.000 s"),
            (np.zeros((2, 2, 2)), "shape"),
            (["a"], "real numbers"),
        ]:
            with pytest.raises(InvalidSignalError, match=words):
                fill_gaps(x, RATE, use_ffi=use_ffi)

    @pytest.mark.parametrize("longest_s", [-0.1, 10.1, np.nan, "long", None])
    def test_bad_lengths_are_refused(self, use_ffi, clean_lead, longest_s):
        with pytest.raises(ConfigError, match="longest_s"):
            fill_gaps(clean_lead, RATE, longest_s, use_ffi=use_ffi)

    @pytest.mark.parametrize("marker", [np.nan, "x", True, [1.0]])
    def test_bad_markers_are_refused(self, use_ffi, clean_lead, marker):
        with pytest.raises(ConfigError, match="marker"):
            fill_gaps(clean_lead, RATE, marker=marker, use_ffi=use_ffi)

    def test_twins_agree_bit_for_bit(self):
        rng = np.random.default_rng(0)
        for kind in (np.float64, np.float32):
            x = rng.standard_normal((5, 4000)).astype(kind)
            x[rng.random(x.shape) < 0.4] = np.nan
            x[rng.random(x.shape) < 0.1] = -9.0
            x[:, 0] = 1.0
            rust = fill_gaps(x, 250.0, 5.0, marker=-9.0, use_ffi=True)
            python = fill_gaps(x, 250.0, 5.0, marker=-9.0, use_ffi=False)
            np.testing.assert_array_equal(rust[0], python[0])
            assert rust[1] == python[1]
            assert len(rust[1]) > 1000
