"""Rhythm anomalies that RR intervals alone can show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .hrv import running_median

FAST_BPM = 100.0
SLOW_BPM = 60.0
VERY_FAST_BPM = 130.0
VERY_SLOW_BPM = 50.0
ALARM_FAST_BPM = 150.0
ALARM_SLOW_BPM = 40.0
SMOOTHED = 5
LEAST_RUN = 5
PAUSE_MS = 2000.0
LONG_PAUSE_MS = 3000.0
LEAST_FOR_IRREGULAR = 8
IRREGULAR = 0.1
VERY_IRREGULAR = 0.16

RawAnomaly = tuple[str, float, float, str]


def find_anomalies(
    peaks_s: NDArray[np.float64], min_heart_rate: float, max_heart_rate: float
) -> list[RawAnomaly]:
    """Tachycardia, bradycardia, pauses and irregular rhythm, in order of their start."""
    rr_ms = np.diff(peaks_s) * 1000.0
    if len(rr_ms) == 0:
        return []
    rate = 60_000.0 / running_median(rr_ms, SMOOTHED)
    fast = rate > min(FAST_BPM, max_heart_rate)
    slow = rate < max(SLOW_BPM, min_heart_rate)
    found = _pauses(peaks_s, rr_ms) + _irregular(peaks_s, rr_ms)
    for kind, outside in (("tachycardia", fast), ("bradycardia", slow)):
        for a, b in _runs(outside):
            mean = 60_000.0 / float(rr_ms[a:b].mean())
            severity = _severity(kind, mean, min_heart_rate, max_heart_rate)
            found.append((kind, float(peaks_s[a]), float(peaks_s[b]), severity))
    return sorted(found, key=lambda anomaly: anomaly[1])


def _severity(kind: str, rate: float, min_heart_rate: float, max_heart_rate: float) -> str:
    if kind == "tachycardia":
        high = rate > min(ALARM_FAST_BPM, max_heart_rate)
        medium = rate > VERY_FAST_BPM
    else:
        high = rate < max(ALARM_SLOW_BPM, min_heart_rate)
        medium = rate < VERY_SLOW_BPM
    return "high" if high else "medium" if medium else "low"


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of the runs that are long enough."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    pairs = edges.reshape(-1, 2).tolist()
    return [(a, b) for a, b in pairs if b - a >= LEAST_RUN]


def _pauses(peaks_s: NDArray[np.float64], rr_ms: NDArray[np.float64]) -> list[RawAnomaly]:
    return [
        (
            "pause",
            float(peaks_s[i]),
            float(peaks_s[i + 1]),
            "high" if rr_ms[i] > LONG_PAUSE_MS else "medium",
        )
        for i in np.flatnonzero(rr_ms > PAUSE_MS).tolist()
    ]


def _irregular(peaks_s: NDArray[np.float64], rr_ms: NDArray[np.float64]) -> list[RawAnomaly]:
    """Successive intervals that differ as a rule, not because of a few ectopic beats."""
    if len(rr_ms) < LEAST_FOR_IRREGULAR:
        return []
    spread = float(np.median(np.abs(np.diff(rr_ms)))) / float(np.median(rr_ms))
    if spread <= IRREGULAR:
        return []
    severity = "medium" if spread > VERY_IRREGULAR else "low"
    return [("irregular_rhythm", float(peaks_s[0]), float(peaks_s[-1]), severity)]
