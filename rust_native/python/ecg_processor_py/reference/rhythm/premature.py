"""Beats that come too early, from the intervals and, where known, from the beats' shapes.

The intervals say it alone where the rhythm beneath is steady; in fibrillation every beat is early
or late, and only a shape of its own tells one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...kernel import RawAnomaly
from ..order import running_median
from .finding import graded, runs

NEIGHBOURS = 11
# Shares of the usual interval. Early, and the next beat in time or early, too...
EARLY = 0.85
IN_TIME = 0.9
# ...or less early, and a pause after it...
EARLY_IF_PAUSED = 0.92
PAUSED = 1.08
LEAST_STEP = 0.2
# ...or of another shape.
EARLY_IF_UNLIKE = 0.92
# By intervals, the first of a row must be early against the interval before it, too.
SUDDEN = 0.92
# A rhythm is steady if few intervals away from early beats are further off than this.
SCATTER = 0.1
MOST_SCATTERED = 0.3
SPLIT = (0.85, 1.15)
LEAST_RUN = 3
LEAST_BIGEMINY = 3


def premature_beats(
    rr_ms: NDArray[np.float64], unlike: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Mark the premature ones of the `len(rr_ms) + 1` beats."""
    early = np.zeros(len(rr_ms) + 1, dtype=bool)
    if len(rr_ms) < 3:
        return early
    usual = usual_intervals(rr_ms)
    early[2:-1] = _early(rr_ms, usual)
    early[1:] &= _steady(rr_ms, usual, early)
    for first, end in runs(early):
        if not _stands_out(rr_ms, usual, first, end):
            early[first:end] = False
    if unlike is not None:
        early[1:] |= unlike[1:] & (rr_ms < EARLY_IF_UNLIKE * usual)
    return early


def usual_intervals(rr_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interval of the rhythm beneath: median over the means of two successive intervals.

    Early and late cancel in such a mean, so that bigeminy does not hide the rhythm beneath it.
    """
    medians = running_median(0.5 * (rr_ms[1:] + rr_ms[:-1]), NEIGHBOURS)
    return np.append(medians, medians[-1:])


def _early(rr_ms: NDArray[np.float64], usual: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Beats with two intervals before and one after that come early by their intervals."""
    before, after, usual_before = rr_ms[1:-1], rr_ms[2:], usual[1:-1]
    next_early = after < EARLY * usual[2:]
    short = (before < EARLY * usual_before) & (next_early | (after >= IN_TIME * usual[2:]))
    paused = (after > PAUSED * usual_before) & (after - before > LEAST_STEP * usual_before)
    return np.asarray(short | (paused & (before < EARLY_IF_PAUSED * usual_before)))


def _stands_out(
    rr_ms: NDArray[np.float64], usual: NDArray[np.float64], first: int, end: int
) -> bool:
    """Tell whether early beats in a row are more than a change of rate or a split interval.

    They start with a sudden step, and a usual interval follows the last one of several.
    Two intervals that make up a usual one, in time before and after, come of an artefact as a rule.
    """
    before = usual[first - 1]
    low, high = SPLIT[0] * before, SPLIT[1] * before
    split = end - first == 2 and low <= rr_ms[first - 1] + rr_ms[first] <= high
    after = rr_ms[end - 1]
    if rr_ms[first - 1] >= SUDDEN * rr_ms[first - 2] or (split and after <= high):
        return False
    return bool(end - first == 1 or after >= IN_TIME * before)


def _steady(
    rr_ms: NDArray[np.float64], usual: NDArray[np.float64], early: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell where the intervals away from early beats keep near the usual one."""
    apart = ~(early[1:] | early[:-1])
    scattered = apart & (np.abs(rr_ms - usual) > SCATTER * usual)
    return np.asarray(_around(scattered) <= MOST_SCATTERED * _around(apart))


def _around(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count marks among the nearest neighbours."""
    n = len(marks)
    size = min(NEIGHBOURS, n)
    total = np.concatenate([[0], np.cumsum(marks)])
    start = np.clip(np.arange(n) - size // 2, 0, n - size)
    return np.asarray(total[start + size] - total[start])


def premature_findings(peaks_s: NDArray[np.float64], early: NDArray[np.bool_]) -> list[RawAnomaly]:
    """Single beats (low), couplets and bigeminy (medium), three or more in a row (high)."""
    found: list[RawAnomaly] = []
    for first, last, in_a_row in _bouts(runs(early)):
        start = float(peaks_s[max(first - 1, 0)])
        end = float(peaks_s[min(last + 1, len(peaks_s) - 1)])
        severity = graded(last > first, in_a_row >= LEAST_RUN)
        found.append(("premature_beat", start, end, severity))
    return found


def _bouts(rows: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """First and last beat of each finding, and how many are in a row; bigeminy is one finding."""
    bouts = []
    i = 0
    while i < len(rows):
        j = i
        while _alternate(rows, j):
            j += 1
        if j - i + 1 < LEAST_BIGEMINY:
            j = i
        bouts.append((rows[i][0], rows[j][1] - 1, rows[i][1] - rows[i][0]))
        i = j + 1
    return bouts


def _alternate(rows: list[tuple[int, int]], i: int) -> bool:
    """Tell whether the single early beat `i` is followed by one usual and one early beat."""
    if i + 1 == len(rows) or rows[i + 1][0] - rows[i][0] != 2:
        return False
    return rows[i][1] - rows[i][0] == 1 and rows[i + 1][1] - rows[i + 1][0] == 1
