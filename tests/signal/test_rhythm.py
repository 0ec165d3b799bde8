"""Each anomaly alone, the limits from both sides, and annotated rhythms of real hearts."""

import time

import numpy as np
import pytest
from ecg_processor_py import Anomaly, ConfigError, InvalidSignalError, find_anomalies


def _peaks(rr_ms, first_s=0.4):
    return first_s + np.concatenate([[0.0], np.cumsum(rr_ms)]) / 1000.0


def _find(rr_ms, use_ffi, **options):
    peaks = _peaks(rr_ms)
    return find_anomalies(peaks, peaks[-1] + 0.4, use_ffi=use_ffi, **options)


def _kinds(rr_ms, use_ffi, **options):
    return [(found.kind, found.severity) for found in _find(rr_ms, use_ffi, **options)]


def _fibrillation(count, seed=0, mean=750):
    return mean * np.random.default_rng(seed).uniform(0.6, 1.4, count)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 100])
def test_a_steady_rhythm_is_no_anomaly(use_ffi, count):
    rr = 800 + 15 * np.sin(np.arange(count))
    assert _kinds(rr, use_ffi) == []


def test_no_beat_at_all(use_ffi):
    assert find_anomalies([], 60.0, use_ffi=use_ffi) == ()
    whole = find_anomalies([], 60.0, measurable=[(0.0, 60.0)], use_ffi=use_ffi)
    assert whole == (Anomaly("asystole", 0.0, 60.0, "high"),)


@pytest.mark.parametrize(
    ("bpm", "expected"),
    [
        (31, [("bradycardia", "high")]),
        (41, [("bradycardia", "medium")]),
        (46, [("bradycardia", "low")]),
        (50, [("bradycardia", "low")]),
        (51, []),
        (72, []),
        (99, []),
        (101, [("tachycardia", "low")]),
        (131, [("tachycardia", "medium")]),
        (151, [("tachycardia", "high")]),
        (240, [("tachycardia", "high")]),
    ],
)
def test_rates_on_both_sides_of_the_limits(use_ffi, bpm, expected):
    assert _kinds([60_000 / bpm] * 20, use_ffi) == expected


def test_the_alarm_limits_act(use_ffi):
    normal = [800.0] * 20
    assert _kinds(normal, use_ffi, min_heart_rate=80) == [("bradycardia", "high")]
    assert _kinds(normal, use_ffi, max_heart_rate=70) == [("tachycardia", "high")]
    slow, fast = [1250.0] * 20, [480.0] * 30
    assert _kinds(slow, use_ffi, min_heart_rate=50) == [("bradycardia", "high")]
    assert _kinds(fast, use_ffi, max_heart_rate=120) == [("tachycardia", "high")]


def test_a_fast_spell_has_its_span(use_ffi):
    (found,) = _find([800] * 40 + [450] * 30 + [800] * 40, use_ffi)
    assert (found.kind, found.severity) == ("tachycardia", "medium")
    assert found.start_s == pytest.approx(32.4, abs=2)
    assert found.end_s == pytest.approx(32.4 + 13.5, abs=2)


@pytest.mark.parametrize(
    ("gap_ms", "expected"),
    [
        (1990, []),
        (2010, [("pause", "medium")]),
        (2990, [("pause", "medium")]),
        (3010, [("pause", "high")]),
        (3990, [("pause", "high")]),
        (4010, [("asystole", "high")]),
        (30_000, [("asystole", "high")]),
    ],
)
def test_gaps_on_both_sides_of_the_limits(use_ffi, gap_ms, expected):
    found = _find([800] * 10 + [gap_ms] + [800] * 10, use_ffi)
    assert [(a.kind, a.severity) for a in found] == expected
    for anomaly in found:
        assert (anomaly.start_s, anomaly.end_s) == pytest.approx((8.4, 8.4 + gap_ms / 1000))


def test_asystole_at_the_start_and_at_the_end(use_ffi):
    peaks = _peaks([800] * 10, first_s=5.0)
    found = find_anomalies(peaks, peaks[-1] + 6.0, use_ffi=use_ffi)
    assert [(a.kind, a.start_s, a.end_s) for a in found] == [
        ("asystole", 0.0, 5.0),
        ("asystole", peaks[-1], peaks[-1] + 6.0),
    ]
    assert find_anomalies(peaks - 1.1, peaks[-1] + 2.8, use_ffi=use_ffi) == ()


def test_what_cannot_be_measured_is_no_gap(use_ffi):
    rr = [800] * 5 + [3000] + [800] * 5 + [9000] + [800] * 5
    peaks = _peaks(rr)
    ends = peaks[-1] + 0.4

    def told(*spans):
        found = find_anomalies(peaks, ends, measurable=spans, use_ffi=use_ffi)
        return [(a.kind, round(a.end_s - a.start_s, 3)) for a in found]

    assert told((0, ends)) == [("pause", 3.0), ("asystole", 9.0)]
    assert told((0, 5), (7, ends)) == [("asystole", 9.0)]
    assert told((0, 13), (15, ends)) == [("pause", 3.0), ("asystole", round(peaks[12] - 15, 3))]
    assert told() == []


def test_one_premature_beat(use_ffi):
    (found,) = _find([800] * 7 + [520, 1080] + [800] * 7, use_ffi)
    assert found == Anomaly("premature_beat", pytest.approx(6.0), pytest.approx(7.6), "low")
    atrial = [800] * 7 + [600, 820] + [800] * 7
    assert _kinds(atrial, use_ffi) == [("premature_beat", "low")]


def test_couplet_run_and_bigeminy_are_one_finding_each(use_ffi):
    usual = [800] * 8
    assert _kinds([*usual, 500, 480, 1100, *usual], use_ffi) == [("premature_beat", "medium")]
    assert _kinds([*usual, 400, 390, 410, 400, 1000, *usual], use_ffi) == [
        ("premature_beat", "high")
    ]
    (bigeminy,) = _find(usual + [540, 1060] * 6 + usual, use_ffi)
    assert (bigeminy.kind, bigeminy.severity) == ("premature_beat", "medium")
    assert bigeminy.end_s - bigeminy.start_s == pytest.approx(6 * 1.6)


def test_the_shape_tells_an_interpolated_beat_from_an_artefact(use_ffi):
    rr = [900] * 8 + [430, 470] + [900] * 8
    assert _kinds(rr, use_ffi) == []
    unlike = np.zeros(len(rr) + 1, dtype=bool)
    unlike[9] = True
    assert _kinds(rr, use_ffi, unlike=unlike) == [("premature_beat", "low")]


def test_a_late_beat_of_another_shape_is_not_premature(use_ffi):
    unlike = np.zeros(18, dtype=bool)
    unlike[8] = True
    assert _kinds([800] * 7 + [1100] + [800] * 9, use_ffi, unlike=unlike) == []


@pytest.mark.parametrize("seed", range(10))
def test_fibrillation_is_suspected(use_ffi, seed):
    kinds = dict(_kinds(_fibrillation(60, seed), use_ffi))
    assert {"irregular_rhythm", "atrial_fibrillation_suspected"} <= set(kinds)
    fast = dict(_kinds(_fibrillation(90, seed, mean=450), use_ffi))
    assert fast["atrial_fibrillation_suspected"] == "high"


def test_an_episode_has_its_span(use_ffi):
    sinus = (800 + 10 * np.sin(np.arange(100))).tolist()
    rr = sinus + _fibrillation(100).tolist() + sinus
    spans = [a for a in _find(rr, use_ffi) if a.kind == "atrial_fibrillation_suspected"]
    peaks = _peaks(rr)
    (span,) = spans
    assert span.start_s == pytest.approx(peaks[100], abs=10)
    assert span.end_s == pytest.approx(peaks[200], abs=10)


def test_breathing_and_trigeminy_are_no_fibrillation(use_ffi):
    breathing = 850 + 150 * np.sin(2 * np.pi * np.arange(80) / 4.7)
    trigeminy = [800, 560, 1040] * 20
    for rr in (breathing, trigeminy):
        kinds = {kind for kind, _ in _kinds(rr, use_ffi)}
        assert kinds <= {"premature_beat"}


@pytest.mark.parametrize("peaks", [[1.0, 1.0], [2.0, 1.0], [-0.1, 1.0], [np.nan], [[1.0]], ["a"]])
def test_impossible_times_are_refused(use_ffi, peaks):
    with pytest.raises(InvalidSignalError, match="peaks_s"):
        find_anomalies(peaks, 10.0, use_ffi=use_ffi)


def test_impossible_limits_are_refused(use_ffi):
    with pytest.raises(ConfigError, match="duration_s"):
        find_anomalies([1.0, 2.0], 1.5, use_ffi=use_ffi)
    with pytest.raises(ConfigError, match="max_heart_rate"):
        find_anomalies([1.0, 2.0], max_heart_rate=0, use_ffi=use_ffi)
    with pytest.raises(InvalidSignalError, match="one mark for each of 2 beats"):
        find_anomalies([1.0, 2.0], unlike=[True], use_ffi=use_ffi)


def test_a_day_takes_linear_time():
    rr = np.concatenate([800 + 20 * np.sin(np.arange(80_000)), _fibrillation(20_000)])
    peaks = _peaks(np.tile(rr, 2))
    unlike = np.random.default_rng(1).random(len(peaks)) < 0.05

    def seconds(count):
        start = time.perf_counter()
        find_anomalies(peaks[:count], unlike=unlike[:count], use_ffi=True)
        return time.perf_counter() - start

    short, long = (min(seconds(count) for _ in range(3)) for count in (100_000, 200_000))
    assert long < 4 * short
    assert short < 2.0


def test_premature_beats_of_annotated_records(rhythms, use_ffi):
    """Floors by record; thresholds were chosen on 100, 118, 119, 201 and 202 alone."""
    floors = {"100": (0.99, 0.95), "105": (0.95, 0.95), "114": (0.9, 0.9), "118": (0.95, 0.95)}
    floors |= {"119": (0.99, 0.99), "208": (0.95, 0.85), "217": (0.95, 0.95)}
    for name, (sensitivity, ppv) in floors.items():
        beats = rhythms[name]
        found = _marked(beats, "premature_beat", use_ffi)
        early = beats.ectopic & beats.early
        assert found[early].mean() > sensitivity, name
        assert beats.ectopic[_inner(beats, use_ffi)].mean() > ppv, name


def _marked(beats, kind, use_ffi):
    """Beats within the findings of a kind."""
    found = find_anomalies(beats.peaks_s, beats.duration_s, unlike=beats.unlike, use_ffi=use_ffi)
    marked = np.zeros(len(beats.peaks_s), dtype=bool)
    for anomaly in found:
        if anomaly.kind == kind:
            marked |= (beats.peaks_s >= anomaly.start_s) & (beats.peaks_s <= anomaly.end_s)
    return marked


def _inner(beats, use_ffi):
    """The middle beats of single premature beats."""
    found = find_anomalies(beats.peaks_s, beats.duration_s, unlike=beats.unlike, use_ffi=use_ffi)
    single = [a for a in found if a.kind == "premature_beat" and a.severity == "low"]
    return [int(np.searchsorted(beats.peaks_s, a.start_s)) + 1 for a in single]


def test_fibrillation_of_annotated_records(rhythms, use_ffi):
    """Pooled over beats, the records with flutter and a pacemaker apart."""
    found, truth = [], []
    for name, beats in rhythms.items():
        if name not in ("202", "217"):
            found.append(_marked(beats, "atrial_fibrillation_suspected", use_ffi))
            truth.append(beats.fibrillating)
    found, truth = np.concatenate(found), np.concatenate(truth)
    assert found[truth].mean() > 0.9
    assert found[~truth].mean() < 0.03
    for name in ("100", "105", "114", "118", "119", "231"):
        assert not _marked(rhythms[name], "irregular_rhythm", use_ffi).any(), name


def test_twins_agree_on_every_annotated_record(rhythms):
    for beats in rhythms.values():
        for unlike in (None, beats.unlike):
            rust, python = (
                find_anomalies(beats.peaks_s, beats.duration_s, unlike=unlike, use_ffi=use_ffi)
                for use_ffi in (True, False)
            )
            assert rust == python


def test_twins_agree_on_noise():
    rng = np.random.default_rng(3)
    for _ in range(300):
        rr = 300 + 900 * rng.random(int(rng.integers(0, 70))) ** 2
        unlike = rng.random(len(rr) + 1) < 0.2
        spans = [(0.5, 9.0), (14.0, 30.0)]
        rust, python = (
            _find(rr, use_ffi, unlike=unlike, measurable=spans) for use_ffi in (True, False)
        )
        assert rust == python
