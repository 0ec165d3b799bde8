"""R peaks against reference annotations, with floors a little under what is reached."""

from collections.abc import Callable

import numpy as np
import pytest
from ecg_processor_py import detect_r_peaks

pytestmark = pytest.mark.integration

EDGE_S = 0.15

# Database, lead (None: all leads together), tolerance in s, least F1 in %.
FLOORS = [
    ("mitdb", 0, 0.15, 99.8),
    ("mitdb", 0, 0.05, 99.6),
    ("mitdb", None, 0.15, 99.8),
    ("nstdb", 0, 0.15, 96.0),
    ("nstdb", None, 0.15, 99.5),
    ("qtdb", 0, 0.15, 99.9),
    ("qtdb", None, 0.15, 99.9),
    ("cpsc2021", 0, 0.05, 99.7),
    ("cpsc2021", None, 0.05, 99.7),
    ("cpsc2019", 0, 0.15, 92.0),
    ("ludb", None, 0.15, 99.99),
    ("ludb", None, 0.05, 99.9),
]
# Where a lead of LUDB misses or invents beats, least F1 in %; the others find all and no more.
LUDB_LEADS = {5: 99.8, 6: 99.4, 9: 99.5}


@pytest.fixture
def scores_of(request, score) -> Callable:
    """Scores of a database's records; beats outside of the annotated stretch do not count."""

    def scores(database, lead, tolerance_s):
        return [
            score(_annotated_only(_found(record, lead), record), record, tolerance_s)
            for record in request.getfixturevalue(database)
        ]

    return scores


def _found(record, lead):
    x = record.signal_mv if lead is None else record.signal_mv[lead]
    return detect_r_peaks(x, record.fs_hz)


def _annotated_only(found, record):
    margin = EDGE_S * record.fs_hz
    return found[(found > record.beats[0] - margin) & (found < record.beats[-1] + margin)]


def _f1(scores):
    found = sum(one.found for one in scores)
    wrong = sum(one.missed + one.invented for one in scores)
    return 200.0 * found / (2 * found + wrong)


@pytest.mark.parametrize(("database", "lead", "tolerance_s", "floor"), FLOORS)
def test_beats_of_public_records(scores_of, database, lead, tolerance_s, floor):
    assert _f1(scores_of(database, lead, tolerance_s)) > floor


@pytest.mark.parametrize("lead", range(12))
def test_each_lead_of_ludb_alone(scores_of, lead):
    assert _f1(scores_of("ludb", lead, 0.15)) > LUDB_LEADS.get(lead, 99.99)


def test_no_record_of_mitdb_is_far_below_the_others(scores_of, mitdb):
    scores = scores_of("mitdb", 0, 0.15)
    for record, one in zip(mitdb, scores, strict=True):
        assert one.sensitivity > 98.9, record.name
        assert one.ppv > 99.5, record.name
    offsets_s = np.concatenate([one.offsets_s for one in scores])
    assert np.median(np.abs(offsets_s)) < 0.003


@pytest.mark.parametrize("lead", [None, 1])
def test_beats_near_both_ends_of_ludb_strips(ludb, score, use_ffi, lead):
    scores = []
    for record in ludb:
        cut = _cut(record.signal_mv, record.fs_hz, record.beats[0], record.beats[-1])
        x = cut if lead is None else cut[lead]
        found = detect_r_peaks(x, record.fs_hz, use_ffi=use_ffi)
        beats = record.beats - record.beats[0] + round(EDGE_S * record.fs_hz)
        scores.append(score(found, type(record)(record.name, cut, record.fs_hz, beats)))
    assert sum(one.missed + one.invented for one in scores) == 0


def test_beats_near_both_ends_of_ptbxl_strips(ptbxl, use_ffi):
    """The ends of a strip change nothing about the beats that they leave."""
    lost = 0
    for record in ptbxl:
        whole = detect_r_peaks(record.signal_mv, record.fs_hz, use_ffi=use_ffi)[1:-1]
        cut = _cut(record.signal_mv, record.fs_hz, whole[0], whole[-1])
        found = detect_r_peaks(cut, record.fs_hz, use_ffi=use_ffi)
        expected = whole - whole[0] + round(EDGE_S * record.fs_hz)
        off = np.abs(found[:, None] - expected) / record.fs_hz
        lost += len(found) != len(expected) or off.min(axis=0).max() > 0.05
    assert lost == 0


def _cut(x, fs_hz, first, last):
    """The stretch in which the first and the last beat lie 150 ms from the ends."""
    margin = round(EDGE_S * fs_hz)
    return np.ascontiguousarray(x[:, first - margin : last + margin])


@pytest.mark.parametrize(
    "database",
    ["mitdb", "nstdb", "qtdb", "cpsc2021", "cpsc2019", "ludb", "ptbxl", "cinc2017"],
)
def test_twins_agree_on_every_record(request, database):
    records = request.getfixturevalue(database)
    assert records
    for record in records:
        for signal in _views(record.signal_mv):
            np.testing.assert_array_equal(
                detect_r_peaks(signal, record.fs_hz, use_ffi=False),
                detect_r_peaks(signal, record.fs_hz, use_ffi=True),
                err_msg=record.name,
            )


def _views(x):
    """All leads in both dtypes, and each lead alone, in the two dtypes by turns."""
    yield x
    yield x.astype(np.float32)
    if len(x) > 1:
        for i, row in enumerate(x):
            yield row.astype((np.float64, np.float32)[i % 2])
