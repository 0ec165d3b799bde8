"""Beats of pieces with gaps, and what they say over the whole."""

import ecg_processor_py as core
import numpy as np
import pytest

from serve_app.decoding import decode_path
from serve_app.streaming.beats import BeatTracker
from serve_app.streaming.rhythm import RhythmHistory


@pytest.fixture(scope="module")
def strip(data_dir):
    """Five minutes of MIT-BIH 100, two leads at 360 Hz."""
    recording = decode_path(data_dir / "beats/mitdb/100.hea")
    return np.array(recording.signal_mv[:, : 300 * 360]), recording.fs_hz


def tracked(signal, fs_hz, size=500):
    tracker = BeatTracker(fs_hz, len(signal))
    beats = []
    for at in range(0, signal.shape[1], size):
        beats += tracker.push(signal[:, at : at + size])
    return [beat.index for beat in beats + tracker.end_stretch()], tracker


def test_without_gaps_they_are_the_analyzer_s(strip):
    signal, fs_hz = strip
    plain = core.StreamingAnalyzer(fs_hz, 2)
    expected = [beat.index for beat in plain.push(signal) + plain.flush()]
    found, tracker = tracked(signal, fs_hz)
    assert found == expected
    assert tracker.stretches == [(0, signal.shape[1])]


@pytest.mark.parametrize("size", [36, 500, 7200])
def test_a_gap_ends_a_stretch_and_no_interval_spans_it(strip, size):
    signal, fs_hz = strip
    broken = signal.copy()
    broken[:, 36_000:54_000] = np.nan
    found, tracker = tracked(broken, fs_hz, size)
    (_, end), (start, _) = tracker.stretches
    assert 36_000 <= end <= 36_000 + 0.2 * fs_hz
    assert start == 54_000
    whole, _ = tracked(signal, fs_hz)
    outside = [index for index in whole if not 35_900 <= index < 54_100]
    assert len(set(outside) - set(found)) <= 2
    assert not [index for index in found if 36_100 <= index < 54_000]


def test_a_lead_that_is_missing_leaves_it_to_the_others(strip):
    signal, fs_hz = strip
    broken = signal.copy()
    broken[0, 20_000:80_000] = np.nan
    found, tracker = tracked(broken, fs_hz)
    assert tracker.stretches == [(0, signal.shape[1])]
    whole, _ = tracked(signal, fs_hz)
    assert abs(len(found) - len(whole)) <= 2


def test_lost_samples_here_and_there_are_bridged(strip):
    signal, fs_hz = strip
    broken = signal.copy()
    broken[:, 500::997] = np.inf
    found, tracker = tracked(broken, fs_hz)
    whole, _ = tracked(signal, fs_hz)
    assert tracker.stretches == [(0, signal.shape[1])]
    assert abs(len(found) - len(whole)) <= 2


def test_what_no_heart_does_is_a_gap(strip):
    signal, fs_hz = strip
    broken = signal.copy()
    broken[:, 50_000:50_500] = 5000.0
    found, tracker = tracked(broken, fs_hz)
    assert tracker.stretches == [(0, 50_000), (50_500, signal.shape[1])]
    assert len(found) > 300


def history_of(peaks_s, fs_hz=250.0):
    history = RhythmHistory(fs_hz)
    history.add(
        [core.Beat(round(at * fs_hz), at, np.nan, np.nan, 0.99, premature=False) for at in peaks_s]
    )
    return history


def test_hours_minutes_and_variability():
    # An hour at 60, an hour at 90 beats a minute.
    peaks_s = np.concatenate([np.arange(0, 3600, 1.0), np.arange(3600, 7200, 2 / 3)])
    history = history_of(peaks_s)
    history.add_usable(0, 7200 * 250)
    told = history.summary([(0, 7200 * 250)], 7200.0)
    assert [hour.mean_bpm for hour in told.heart_rate_by_hour] == pytest.approx([60, 90], rel=1e-2)
    assert told.heart_rate.min_bpm == pytest.approx(60, rel=1e-2)
    assert told.heart_rate.max_bpm == pytest.approx(90, rel=1e-2)
    assert told.measured_s == 7200
    # Twelve means of 1000 ms and as many of 667: half the distance, by n / (n - 1).
    assert told.hrv["sdann_ms"] == pytest.approx(166.7 * np.sqrt(24 / 23), rel=2e-2)
    assert told.hrv["sdnn_index_ms"] < 5


def test_beats_outside_usable_windows_count_for_nothing():
    history = history_of(np.arange(0, 600, 0.8))
    history.add_usable(0, 100 * 250)
    history.add_usable(500 * 250, 600 * 250)
    told = history.summary([(0, 600 * 250)], 600.0)
    assert told.beats == 750
    assert told.measured_s == 200
    assert told.heart_rate_by_hour[0].measured_s == pytest.approx(198.4, abs=1.7)
    assert told.anomalies == []


def test_anomalies_lie_where_they_are():
    peaks_s = np.concatenate([np.arange(1000, 1100, 0.8), np.arange(1102.2, 1200, 0.8)])
    history = history_of(peaks_s)
    history.add_usable(1000 * 250, 1200 * 250)
    told = history.summary([(0, 1200 * 250)], 1200.0)
    pause = next(each for each in told.anomalies if each.kind == "pause")
    assert (pause.start_s, pause.end_s) == pytest.approx((1099.2, 1102.2), abs=0.01)
    assert told.anomaly_counts["pause"] == 1


def test_no_beat_at_all():
    told = RhythmHistory(500.0).summary([(0, 5000)], 10.0)
    assert told.beats == 0
    assert told.heart_rate.mean_bpm is None
    assert told.hrv == {}
