"""One finding, and the runs of beats or intervals that findings cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each run of marks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(a, b) for a, b in edges.reshape(-1, 2).tolist()]


def sustained(mask: NDArray[np.bool_], least: int) -> list[tuple[int, int]]:
    """Runs of at least `least` marks, those with no more than that between them joined."""
    joined: list[tuple[int, int]] = []
    for a, b in runs(mask):
        if b - a < least:
            continue
        if joined and a - joined[-1][1] <= least:
            joined[-1] = (joined[-1][0], b)
        else:
            joined.append((a, b))
    return joined


def graded(medium: bool, high: bool) -> str:
    """Name the severity."""
    return "high" if high else "medium" if medium else "low"
