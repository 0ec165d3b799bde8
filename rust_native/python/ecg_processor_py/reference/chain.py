"""Which candidates are beats: the chain of them that is most probable as a whole.

Each candidate brings its log-odds; an interval costs what it lies outside of the usual one, on a
logarithmic scale: short ones cost, and long ones cost for every beat that is missing. The best
chain is found by dynamic programming (Viterbi, 1967) over few predecessors, in linear time.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from .order import running_median

LONG_COST = 5.0
LONG_FROM = 0.3
SHORT_COST = 2.5
# Binary logarithm of 0.75.
SHORT_FROM = -0.415
REFRACTORY_S = 0.2
HURRIED_S = 0.28
HURRIED_COST = 60.0
FAVOUR = 0.3
MOST = 6.0
# No gap that a beat could close costs more than this saves.
HOPELESS = -5.3
USUAL_OF = 11
USUAL_S = (0.3, 1.5)
UNKNOWN_S = 0.8
PREDECESSORS = 14
FAR_S = 4.0
NONE = -1

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def best_chain(at_s: Floats, odds: Floats, duration_s: float) -> Indices:
    """Indices of the candidates that make up the best chain of a recording, ascending."""
    possible = np.flatnonzero(odds > HOPELESS)
    at_s, odds = at_s[possible], odds[possible]
    chain = np.flatnonzero(odds > 0.0)
    for _ in range(2):
        chain = _chained(at_s, odds, _usual_intervals(at_s, chain), duration_s)
    return np.asarray(possible[chain])


def _usual_intervals(at_s: Floats, chain: Indices) -> Floats:
    """Median interval around each candidate, s."""
    medians = running_median(np.diff(at_s[chain]), USUAL_OF)
    if len(medians) == 0:
        return np.full(len(at_s), UNKNOWN_S)
    k = np.searchsorted(chain[1:], np.arange(len(at_s)), side="right")
    return np.clip(medians[np.minimum(k, len(medians) - 1)], *USUAL_S)


def _chained(at_s: Floats, odds: Floats, usual: Floats, duration_s: float) -> Indices:
    if len(at_s) == 0:
        return np.zeros(0, dtype=np.int64)
    own = np.clip(odds + FAVOUR, -MOST, MOST)
    alone = own - _too_long(at_s, usual)
    worth: list[float] = []
    origin: list[int] = []
    recent: deque[float] = deque(maxlen=PREDECESSORS)
    steps = zip(own.tolist(), alone.tolist(), _costs(at_s, usual).tolist(), strict=True)
    for i, (gain, most, costs) in enumerate(steps):
        values = [before + gain - cost for before, cost in zip(recent, costs, strict=False)]
        best = max(values, default=most)
        worth.append(max(best, most))
        origin.append(i - 1 - values.index(best) if best > most else NONE)
        recent.appendleft(worth[i])
    last = np.argmax(np.array(worth) - _too_long(duration_s - at_s, usual))
    return _traced_back(origin, int(last))


def _costs(at_s: Floats, usual_s: Floats) -> Floats:
    """What it costs to come from each of the predecessors, nearest first; infinite if too near."""
    costs = np.full((len(at_s), PREDECESSORS), np.inf)
    for back in range(1, min(PREDECESSORS + 1, len(at_s))):
        interval_s = at_s[back:] - at_s[:-back]
        # The nearest two are tried however far they are.
        tried = (interval_s >= REFRACTORY_S) & ((interval_s <= FAR_S) | (back <= 2))
        costs[back:, back - 1] = np.where(tried, _cost(interval_s, usual_s[back:]), np.inf)
    return costs


def _cost(interval_s: Floats, usual_s: Floats) -> Floats:
    """What intervals cost against the usual ones."""
    ratio = np.log2(interval_s / usual_s)
    return np.asarray(
        LONG_COST * np.maximum(ratio - LONG_FROM, 0.0)
        + SHORT_COST * np.maximum(SHORT_FROM - ratio, 0.0)
        + HURRIED_COST * np.maximum(HURRIED_S - interval_s, 0.0)
    )


def _too_long(stretch_s: Floats, usual_s: Floats) -> Floats:
    """What a stretch without a beat at an end of the recording costs."""
    ratio = np.log2(np.maximum(stretch_s / usual_s, 0.01))
    return np.asarray(LONG_COST * np.maximum(ratio - LONG_FROM, 0.0))


def _traced_back(origin: list[int], last: int) -> Indices:
    chain = []
    while last != NONE:
        chain.append(last)
        last = origin[last]
    return np.array(chain[::-1], dtype=np.int64)
