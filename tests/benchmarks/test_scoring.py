"""How benchmarks read reference beats and hold detections against them."""

import numpy as np
import pytest

from benchmarks import databases
from benchmarks.databases import AnnotatedRecord, fibrillation, without_gaps
from benchmarks.scoring import match_beats, score_beats, total

FS_HZ = 100.0  # so 150 ms are 15 samples


def record(beats, **changes):
    zeros = np.zeros((1, 1000))
    return AnnotatedRecord("made", "r", FS_HZ, zeros, ("II",), np.array(beats, np.int64), **changes)


def counts(score):
    return score.found, score.missed, score.invented


def test_perfect_detections_have_no_error():
    score = score_beats(record([100, 200, 300]), [100, 200, 300])
    assert counts(score) == (3, 0, 0)
    assert (score.f1, score.sensitivity, score.ppv, score.median_error) == (100, 100, 100, 0)


@pytest.mark.parametrize(("offset", "found"), [(15, 1), (16, 0), (-15, 1), (-16, 0)])
def test_the_tolerance_is_150_ms_inclusive(offset, found):
    assert counts(score_beats(record([500]), [500 + offset])) == (found, 1 - found, 1 - found)


def test_a_beat_is_found_once_and_by_the_nearest():
    score = score_beats(record([500]), [490, 498, 510])
    assert counts(score) == (1, 0, 2)
    assert score.errors.tolist() == [-2]


def test_one_detection_serves_one_beat():
    assert counts(score_beats(record([500, 520]), [512])) == (1, 1, 0)


def test_a_repeated_detection_counts_once():
    assert counts(score_beats(record([500]), [500, 500])) == (1, 0, 0)


def test_f1_and_rates_of_a_known_mixture():
    score = score_beats(record([100, 200, 300, 400]), [101, 202, 350])
    assert counts(score) == (2, 2, 1)
    assert score.f1 == pytest.approx(100 * 4 / 7)
    assert score.sensitivity == 50
    assert score.ppv == pytest.approx(200 / 3)
    assert score.median_error == 1.5


def test_nothing_detected_is_all_missed():
    score = score_beats(record([100, 200]), [])
    assert counts(score) == (0, 2, 0)
    assert score.f1 == 0
    assert np.isnan(score.median_error)


def test_what_was_not_annotated_does_not_count():
    strip = record([200, 300], scored=(185.0, 315.0))
    assert counts(score_beats(strip, [50, 100, 200, 300, 400])) == (2, 0, 0)


def test_a_detection_outside_the_span_still_serves_the_beat_inside():
    strip = record([200, 300], scored=(200.0, 300.0))
    assert counts(score_beats(strip, [195, 305])) == (2, 0, 0)


def test_fibrillation_counts_neither_way():
    shaking = record([100, 400, 600], excluded=((300, 500),))
    assert counts(score_beats(shaking, [100, 350, 450, 600])) == (2, 0, 0)


def test_the_learning_time_may_be_skipped():
    assert counts(score_beats(record([100, 600]), [650, 300], skip_s=5.0)) == (0, 1, 1)


def test_records_add_up():
    perfect, empty = score_beats(record([100]), [100]), score_beats(record([100]), [])
    assert counts(total([perfect, empty])) == (1, 1, 0)


def test_matching_agrees_with_comparing_every_pair():
    rng = np.random.default_rng(3)
    for _ in range(50):
        reference = np.unique(rng.integers(0, 1000, 20))
        detected = np.unique(rng.integers(0, 1000, 25))
        rows, columns = match_beats(reference, detected, 15)
        distances = np.abs(reference[:, None] - detected[None])
        assert len(set(rows)) == len(set(columns)) == len(rows)
        assert (distances[rows, columns] <= 15).all()
        free = np.ix_(
            np.setdiff1d(np.arange(len(reference)), rows),
            np.setdiff1d(np.arange(len(detected)), columns),
        )
        assert (distances[free] > 15).all()


def test_spans_of_fibrillation_end_with_the_record_at_the_latest():
    marks = [(10, "N"), (50, "["), (60, "!"), (90, "]"), (120, "N"), (200, "[")]
    assert fibrillation(marks, 1000) == ((50, 90), (200, 1000))


def test_gaps_are_interpolated_and_an_empty_lead_is_zero():
    filled = without_gaps(np.array([[1.0, np.nan, 3.0, np.nan], [np.nan] * 4]))
    assert filled.tolist() == [[1.0, 2.0, 3.0, 3.0], [0.0] * 4]


@pytest.fixture
def records(data_dir, monkeypatch):
    monkeypatch.setattr(databases, "DATA", data_dir)
    return databases.load


@pytest.mark.parametrize("database", list(databases.READERS))
def test_every_database_reads_with_beats_inside_the_signal(records, database):
    found = records(database)
    if database != "svdb":  # not among the public recordings
        assert found
    for one in found:
        assert one.signal_mv.shape[0] == len(one.lead_names)
        assert np.isfinite(one.signal_mv).all()
        assert one.r_peaks.dtype == np.int64
        assert len(one.r_peaks) > 4
        assert (np.diff(one.r_peaks) > 0).all()
        assert 0 <= one.r_peaks[0] < one.r_peaks[-1] < one.signal_mv.shape[1]
        assert 0.2 < one.duration_s / len(one.r_peaks) < 3.0


def test_known_counts_and_rates(records):
    assert sum(len(r.r_peaks) for r in records("mitdb") if r.name == "100") == 2273
    assert {r.fs_hz for r in records("qtdb")} == {250.0}
    ludb = records("ludb")
    assert {r.lead_names[r.reference_lead] for r in ludb} == {"ii"}
    assert {len(r.lead_names) for r in ludb} == {12}
