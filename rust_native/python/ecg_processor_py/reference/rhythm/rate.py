"""Rates that stay too high or too low."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...kernel import RawAnomaly
from ..order import running_median
from .finding import graded, sustained

FAST_BPM, VERY_FAST_BPM, ALARM_FAST_BPM = 100.0, 130.0, 150.0
# Kusumoto et al. (2018): 50 bpm, as a monitor shows it; many a healthy heart rests below 60.
SLOW_BPM, VERY_SLOW_BPM, ALARM_SLOW_BPM = 50.5, 45.0, 40.0
# About what ten seconds hold: a strip is slow or fast as a whole.
SMOOTHED = 9
LEAST_RUN = 5
LEAST_OF_FEW = 3


def too_fast(
    peaks_s: NDArray[np.float64], rr_ms: NDArray[np.float64], max_heart_rate: float
) -> list[RawAnomaly]:
    """Tachycardia: above 100 bpm, or above the alarm limit if that is lower."""
    found = []
    for a, b in _sustained(_rate(rr_ms) > min(FAST_BPM, max_heart_rate)):
        bpm = _mean_rate(rr_ms[a:b])
        severity = graded(bpm > VERY_FAST_BPM, bpm > min(ALARM_FAST_BPM, max_heart_rate))
        found.append(("tachycardia", float(peaks_s[a]), float(peaks_s[b]), severity))
    return found


def too_slow(
    peaks_s: NDArray[np.float64], rr_ms: NDArray[np.float64], min_heart_rate: float
) -> list[RawAnomaly]:
    """Bradycardia: below 50 bpm, or below the alarm limit if that is higher."""
    found = []
    for a, b in _sustained(_rate(rr_ms) < max(SLOW_BPM, min_heart_rate)):
        bpm = _mean_rate(rr_ms[a:b])
        severity = graded(bpm < VERY_SLOW_BPM, bpm < max(ALARM_SLOW_BPM, min_heart_rate))
        found.append(("bradycardia", float(peaks_s[a]), float(peaks_s[b]), severity))
    return found


def _rate(rr_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(60_000.0 / running_median(rr_ms, SMOOTHED))


def _mean_rate(rr_ms: NDArray[np.float64]) -> float:
    return 60_000.0 / float(rr_ms.mean())


def _sustained(outside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    return sustained(outside, min(LEAST_RUN, max(LEAST_OF_FEW, len(outside))))
