"""What the beats of a long recording say over the whole: rate by hour, variability, anomalies."""

import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

import ecg_processor_py as core
import numpy as np
import numpy.typing as npt

from serve_app.results import Anomaly
from serve_app.streaming.lines import HeartRate, HourlyRate, RhythmSummary

__all__ = ["RhythmHistory"]

# Below this probability of its beats no anomaly of a span is told, as in the signal core.
_RHYTHM_CONFIDENCE: Final = 0.7
_SEVERITIES: Final = ("high", "medium", "low")
_MOST_ANOMALIES: Final = 1000
_HOUR_S: Final = 3600.0
_MINUTE_S: Final = 60.0
_FIVE_MINUTES_S: Final = 300.0
# Of a minute, or of five, that must be measured for its mean to count.
_LEAST_PART: Final = 0.5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Intervals:
    """Intervals of neighbouring beats that no gap and no poor window lies between."""

    end_s: Floats
    rr_ms: Floats
    normal: npt.NDArray[np.bool_]


class RhythmHistory:
    """Beats and the spans in which they can be relied on; a few bytes a beat.

    Args:
        fs_hz: Samples a second.
    """

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._indices = array("q")
        self._confidences = array("f")
        self._usable: list[tuple[int, int]] = []

    def add(self, beats: Sequence[core.Beat]) -> None:
        """Beats, later than all before."""
        self._indices.extend(beat.index for beat in beats)
        self._confidences.extend(beat.confidence for beat in beats)

    def add_usable(self, start: int, stop: int) -> None:
        """A window, later than all before, whose quality lets its beats be relied on."""
        if self._usable and self._usable[-1][1] == start:
            self._usable[-1] = (self._usable[-1][0], stop)
        else:
            self._usable.append((start, stop))

    def times_s(self, start: int, stop: int) -> list[float]:
        """When the beats of a window are."""
        first, last = (bisect_left(self._indices, place) for place in (start, stop))
        return [round(index / self._fs_hz, 6) for index in self._indices[first:last]]

    def summary(self, stretches: Sequence[tuple[int, int]], duration_s: float) -> RhythmSummary:
        """What the whole says.

        Args:
            stretches: Of the `BeatTracker`.
            duration_s: Of the recording.
        """
        indices = np.array(self._indices, np.int64)
        confidences = np.array(self._confidences)
        spans = list(_common(stretches, self._usable))
        peaks_s = indices / self._fs_hz
        parts = [slice(*np.searchsorted(indices, span)) for span in spans]
        intervals = _intervals([peaks_s[part] for part in parts])
        anomalies = [
            anomaly
            for span, part in zip(spans, parts, strict=True)
            if (part.stop > part.start and confidences[part].mean() >= _RHYTHM_CONFIDENCE)
            for anomaly in _anomalies(peaks_s[part], span[0] / self._fs_hz, span[1] / self._fs_hz)
        ]
        told = _worst(anomalies)
        return RhythmSummary(
            beats=len(indices),
            measured_s=round(sum(stop - start for start, stop in spans) / self._fs_hz, 3),
            heart_rate=_heart_rate(intervals),
            heart_rate_by_hour=list(_by_hour(intervals, duration_s)),
            hrv=_variability(intervals),
            anomaly_counts=dict(Counter(anomaly.kind for anomaly in anomalies)),
            anomalies=told,
            anomalies_omitted=len(anomalies) - len(told),
        )


def _common(
    ones: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Where spans of both kinds, each ascending, lie over each other."""
    i = j = 0
    while i < len(ones) and j < len(others):
        start, stop = max(ones[i][0], others[j][0]), min(ones[i][1], others[j][1])
        if start < stop:
            yield start, stop
        if ones[i][1] < others[j][1]:
            i += 1
        else:
            j += 1


def _intervals(spans_s: Sequence[Floats]) -> _Intervals:
    long_enough = [peaks_s for peaks_s in spans_s if len(peaks_s) > 1]
    rr_ms = [np.diff(peaks_s) * 1e3 for peaks_s in long_enough]
    if not rr_ms:
        return _Intervals(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    return _Intervals(
        np.concatenate([peaks_s[1:] for peaks_s in long_enough]),
        np.concatenate(rr_ms),
        np.concatenate([core.normal_intervals(rr) for rr in rr_ms]),
    )


def _anomalies(peaks_s: Floats, start_s: float, end_s: float) -> Iterator[Anomaly]:
    """Findings of one span, at their times in the recording."""
    for found in core.find_anomalies(peaks_s - start_s, end_s - start_s):
        yield Anomaly(
            kind=found.kind,
            start_s=round(found.start_s + start_s, 3),
            end_s=round(found.end_s + start_s, 3),
            severity=found.severity,
        )


def _worst(anomalies: list[Anomaly]) -> list[Anomaly]:
    """The most severe and longest, as many as an answer should hold, in the order of time."""
    ranked = sorted(
        anomalies, key=lambda each: (_SEVERITIES.index(each.severity), each.start_s - each.end_s)
    )
    return sorted(ranked[:_MOST_ANOMALIES], key=lambda each: each.start_s)


def _heart_rate(intervals: _Intervals) -> HeartRate:
    """Mean, and the least and the greatest mean of a minute."""
    by_minute = [
        6e4 / rr_ms.mean()
        for _, rr_ms in _binned(intervals.end_s, intervals.rr_ms, _MINUTE_S)
        if rr_ms.sum() >= _LEAST_PART * _MINUTE_S * 1e3
    ]
    mean = 6e4 / intervals.rr_ms.mean() if len(intervals.rr_ms) else math.nan
    return HeartRate(
        mean_bpm=mean,
        min_bpm=min(by_minute, default=math.nan),
        max_bpm=max(by_minute, default=math.nan),
    )


def _by_hour(intervals: _Intervals, duration_s: float) -> Iterator[HourlyRate]:
    for hour in range(math.ceil(duration_s / _HOUR_S)):
        edges = (hour * _HOUR_S, (hour + 1) * _HOUR_S)
        within = slice(*np.searchsorted(intervals.end_s, edges))
        part = _Intervals(
            intervals.end_s[within], intervals.rr_ms[within], intervals.normal[within]
        )
        yield HourlyRate(
            start_s=edges[0],
            end_s=min(edges[1], duration_s),
            measured_s=round(part.rr_ms.sum() / 1e3, 3),
            **_heart_rate(part).model_dump(),
        )


def _variability(intervals: _Intervals) -> dict[str, float | None]:
    """Of normal intervals; SDANN and the SDNN index over five minutes each (Task Force, 1996)."""
    nn_ms = intervals.rr_ms[intervals.normal]
    if not len(nn_ms):
        return {}
    of_five_minutes = [
        part
        for _, part in _binned(intervals.end_s[intervals.normal], nn_ms, _FIVE_MINUTES_S)
        if part.sum() >= _LEAST_PART * _FIVE_MINUTES_S * 1e3
    ]
    enough = len(of_five_minutes) > 1
    return asdict(core.hrv(nn_ms)) | {
        "sdann_ms": float(np.std([part.mean() for part in of_five_minutes], ddof=1))
        if enough
        else math.nan,
        "sdnn_index_ms": float(np.mean([part.std(ddof=1) for part in of_five_minutes]))
        if enough
        else math.nan,
    }


def _binned(end_s: Floats, values: Floats, width_s: float) -> Iterator[tuple[int, Floats]]:
    """The values of each stretch of `width_s` that has any; times are ascending."""
    bins = (end_s // width_s).astype(np.int64)
    edges = [0, *(np.flatnonzero(np.diff(bins)) + 1).tolist(), len(bins)]
    for first, last in pairwise(edges):
        if first < last:
            yield int(bins[first]), values[first:last]
