"""Times without a beat: pauses, and asystole as monitors define it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...kernel import RawAnomaly
from .finding import graded

PAUSE_S = 2.0
# Kusumoto et al. (2018): pauses above 3 s call for an explanation.
LONG_PAUSE_S = 3.0
# Clifford et al. (2015), the PhysioNet challenge: no beat for at least 4 s.
ASYSTOLE_S = 4.0


def gaps(
    peaks_s: NDArray[np.float64], duration_s: float, spans: list[tuple[float, float]]
) -> list[RawAnomaly]:
    """Pauses between two beats, and asystole there, before the first and after the last beat.

    A pause must be measurable as a whole, of an asystole each stretch long enough counts.
    """
    edges = np.concatenate([[0.0], peaks_s, [duration_s]])
    found: list[RawAnomaly] = []
    span = 0
    for i in np.flatnonzero(np.diff(edges) > PAUSE_S).tolist():
        start, end = float(edges[i]), float(edges[i + 1])
        while span < len(spans) and spans[span][1] <= start:
            span += 1
        found += _asystoles(start, end, spans, span)
        if 0 < i < len(peaks_s) and end - start < ASYSTOLE_S:
            found += _pause(start, end, spans, span)
    return found


def _asystoles(
    start: float, end: float, spans: list[tuple[float, float]], span: int
) -> list[RawAnomaly]:
    found = []
    while span < len(spans) and spans[span][0] < end:
        a, b = max(start, spans[span][0]), min(end, spans[span][1])
        if b - a >= ASYSTOLE_S:
            found.append(("asystole", a, b, "high"))
        span += 1
    return found


def _pause(
    start: float, end: float, spans: list[tuple[float, float]], span: int
) -> list[RawAnomaly]:
    if span == len(spans) or spans[span][0] > start or spans[span][1] < end:
        return []
    return [("pause", start, end, graded(True, end - start > LONG_PAUSE_S))]
