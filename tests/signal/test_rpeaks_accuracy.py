"""R peaks against reference annotations, with floors a little under what is reached."""

import numpy as np
import pytest
from ecg_processor_py import detect_r_peaks

pytestmark = pytest.mark.integration


def _total(scores):
    found, missed, invented = (
        sum(getattr(s, name) for s in scores) for name in ("found", "missed", "invented")
    )
    return 100.0 * found / (found + missed), 100.0 * found / (found + invented)


def _within_annotated(found, record):
    margin = 0.15 * record.fs_hz
    return found[(found > record.beats[0] - margin) & (found < record.beats[-1] + margin)]


def test_mitdb_first_channel(mitdb, score, use_ffi):
    scores = [score(detect_r_peaks(r.signal_mv[0], r.fs_hz, use_ffi=use_ffi), r) for r in mitdb]
    sensitivity, ppv = _total(scores)
    assert sensitivity > 99.75
    assert ppv > 99.7
    offsets = np.concatenate([s.offsets_s for s in scores])
    assert np.median(np.abs(offsets)) < 0.003
    for record, one in zip(mitdb, scores, strict=True):
        assert one.sensitivity > 99.0, record.name
        assert one.ppv > 98.0, record.name


def test_mitdb_within_50_ms(mitdb, score, use_ffi):
    scores = [
        score(detect_r_peaks(r.signal_mv[0], r.fs_hz, use_ffi=use_ffi), r, 0.05) for r in mitdb
    ]
    assert min(_total(scores)) > 98.3


def test_ludb_all_leads_together(ludb, score, use_ffi):
    scores = []
    for record in ludb:
        found = detect_r_peaks(record.signal_mv, record.fs_hz, use_ffi=use_ffi)
        scores.append(score(_within_annotated(found, record), record))
    assert min(_total(scores)) > 99.9


def test_ludb_lead_ii_alone(ludb, score, use_ffi):
    scores = []
    for record in ludb:
        found = detect_r_peaks(record.signal_mv[1], record.fs_hz, use_ffi=use_ffi)
        scores.append(score(_within_annotated(found, record), record))
    assert min(_total(scores)) > 99.7


def test_cpsc2019_noisy_strips(cpsc2019, score, use_ffi):
    scores = [score(detect_r_peaks(r.signal_mv, r.fs_hz, use_ffi=use_ffi), r) for r in cpsc2019]
    sensitivity, ppv = _total(scores)
    assert sensitivity > 90.0
    assert ppv > 91.0


def test_twins_agree_on_every_record(mitdb, ludb, cpsc2019):
    for record in [*mitdb, *ludb, *cpsc2019]:
        rust = detect_r_peaks(record.signal_mv, record.fs_hz, use_ffi=True)
        python = detect_r_peaks(record.signal_mv, record.fs_hz, use_ffi=False)
        assert len(rust) == len(python), record.name
        assert np.abs(rust - python).max(initial=0) <= 1, record.name
