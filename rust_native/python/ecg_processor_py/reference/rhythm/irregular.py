"""Irregular rhythm and suspicion of atrial fibrillation, from the intervals alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...kernel import RawAnomaly
from .finding import graded, sustained
from .premature import premature_beats

# Each block of intervals is judged by the window around it.
BLOCK, WINDOW = 6, 30
LEAST_WINDOW = 8
# Fewer blocks in a row are told only where the recording has no more.
LEAST_BLOCKS = 2
TEMPLATES = 5
LEAST_R_MS = 30.0
FIBRILLATION = -1.1
FIBRILLATION_STEP = 0.06
IRREGULAR_STEP = 0.1
VERY_IRREGULAR_STEP = 0.16
LEAST_KEPT = 0.4
# Breathing turns the course of the intervals seldom, chance at two of three beats (Dash, 2009).
LEAST_TURNING = 0.45
# Van Gelder et al. (2010): fibrillation is too fast above this.
FAST_BPM = 110.0

REGULAR, IRREGULAR, VERY_IRREGULAR, FIBRILLATING = 0, 1, 2, 4


def cosen(rr_ms: NDArray[np.float64]) -> float:
    """Coefficient of sample entropy (Lake and Moorman, 2011): above about -1.2 in fibrillation.

    Sample entropy with m = 1, plus ln(2r), minus ln(mean interval). The tolerance r is 30 ms, or as
    much more as it takes for five pairs of intervals to match. NaN below 5 intervals.
    """
    if len(rr_ms) < TEMPLATES:
        return math.nan
    i, j = np.triu_indices(len(rr_ms) - 1, 1)
    one = np.abs(rr_ms[i] - rr_ms[j])
    two = np.maximum(one, np.abs(rr_ms[i + 1] - rr_ms[j + 1]))
    r = max(LEAST_R_MS, float(np.partition(two, TEMPLATES - 1)[TEMPLATES - 1]))
    ratio = np.count_nonzero(one <= r) / np.count_nonzero(two <= r)
    return math.log(ratio * 2.0 * r / float(rr_ms.mean()))


def judge_beats(
    rr_ms: NDArray[np.float64], unlike: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Degree of irregularity of each interval, and which beats are premature.

    Where the rhythm is irregular, intervals tell no premature beat, only a shape of its own does.
    """
    early = premature_beats(rr_ms, unlike)
    degrees = _degrees(rr_ms, early, unlike)
    early[1:] &= (degrees == REGULAR) | (False if unlike is None else unlike[1:])
    return degrees, early


def _degrees(
    rr_ms: NDArray[np.float64], early: NDArray[np.bool_], unlike: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """Degree of each interval: 0 regular, 1 irregular, 2 very; 4 more in suspected fibrillation."""
    n = len(rr_ms)
    if n < LEAST_WINDOW:
        return np.zeros(n, dtype=np.int64)
    apart = ~(early[1:] | early[:-1])
    alike = np.ones(n, dtype=bool) if unlike is None else ~(unlike[1:] | unlike[:-1])
    size = min(WINDOW, n)
    centres = np.arange(0, n, BLOCK) + BLOCK // 2
    starts = np.clip(centres - size // 2, 0, n - size).tolist()
    windows = {a: slice(a, a + size) for a in starts}
    judged = {a: _degree(rr_ms[w], apart[w], alike[w]) for a, w in windows.items()}
    return np.repeat([judged[a] for a in starts], BLOCK)[:n]


def irregular_findings(
    peaks_s: NDArray[np.float64], rr_ms: NDArray[np.float64], degrees: NDArray[np.int64]
) -> list[RawAnomaly]:
    """Spans of irregular rhythm, and those of suspected fibrillation within them."""
    least = min(LEAST_BLOCKS * BLOCK, len(rr_ms))
    found: list[RawAnomaly] = []
    for a, b in sustained(degrees > REGULAR, least):
        severity = graded(bool((degrees[a:b] & VERY_IRREGULAR).any()), False)
        found.append(("irregular_rhythm", float(peaks_s[a]), float(peaks_s[b]), severity))
    for a, b in sustained(degrees >= FIBRILLATING, least):
        fast = 60_000.0 / float(rr_ms[a:b].mean()) > FAST_BPM
        span = float(peaks_s[a]), float(peaks_s[b])
        found.append(("atrial_fibrillation_suspected", *span, graded(True, fast)))
    return found


def _degree(rr_ms: NDArray[np.float64], apart: NDArray[np.bool_], alike: NDArray[np.bool_]) -> int:
    """Judge a window; intervals at premature beats are left out, those of another shape always."""
    kept = rr_ms[apart]
    if len(kept) < max(TEMPLATES, LEAST_KEPT * len(rr_ms)):
        return REGULAR
    step = float(np.median(np.abs(np.diff(kept)))) / float(np.median(kept))
    steps = np.diff(rr_ms)
    turning = np.count_nonzero(steps[1:] * steps[:-1] < 0.0) / (len(steps) - 1)
    if step <= FIBRILLATION_STEP or turning < LEAST_TURNING:
        return REGULAR
    degree = VERY_IRREGULAR if step > VERY_IRREGULAR_STEP else IRREGULAR
    if cosen(rr_ms[alike]) > FIBRILLATION:
        return degree + FIBRILLATING
    return degree if step > IRREGULAR_STEP else REGULAR
