"""Which intervals run from one normal beat to the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..order import running_median
from ..rhythm.irregular import judge_beats

NORMAL_MS = (300.0, 2000.0)
NEIGHBOURS = 11
# Malik et al. (1989): an interval further than this from its surroundings is no normal one...
TOLERANCE = 0.2
# ...unless the surroundings themselves spread wider (Lipponen and Tarvainen, 2019): fibrillation
# and the breathing of the young are no artefacts.
SPREADS = 5.2
SURROUNDINGS = 91
BLOCK = 32


def normal_intervals(
    rr_ms: NDArray[np.float64], unlike: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Mark the intervals between normal beats.

    Left out: both intervals at a premature beat, what lies outside 300 to 2000 ms, and what is
    further from the median of its 11 neighbours than 20 % of that median and 5.2 quartile
    deviations of the 91 neighbours' distances.
    """
    median = running_median(rr_ms, NEIGHBOURS)
    off = rr_ms - median
    near = np.abs(off) <= np.maximum(TOLERANCE * median, SPREADS * _quartile_deviation(off))
    _, early = judge_beats(rr_ms, unlike)
    possible = (rr_ms >= NORMAL_MS[0]) & (rr_ms <= NORMAL_MS[1])
    return np.asarray(near & possible & ~early[1:] & ~early[:-1])


def _quartile_deviation(off: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the distance between the quartiles around each place, told once for each block."""
    n = len(off)
    size = min(SURROUNDINGS, n)
    spread = np.zeros(n)
    for block in range(0, n, BLOCK):
        start = min(max(block + BLOCK // 2 - size // 2, 0), n - size)
        window = np.sort(off[start : start + size])
        spread[block : block + BLOCK] = 0.5 * (window[size * 3 // 4] - window[size // 4])
    return spread
