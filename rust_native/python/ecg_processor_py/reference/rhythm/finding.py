"""One finding, and the runs of beats or intervals that findings cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each run of marks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(a, b) for a, b in edges.reshape(-1, 2).tolist()]


def graded(medium: bool, high: bool) -> str:
    """Name the severity."""
    return "high" if high else "medium" if medium else "low"
