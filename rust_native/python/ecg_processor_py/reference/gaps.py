"""Short gaps in a recording, filled by linear interpolation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidSignalError
from ..kernel import RawGap, Signal
from .limits import checked


def fill_gaps(
    x: Signal, fs_hz: float, longest_s: float, marker: float | None
) -> tuple[Signal, list[RawGap]]:
    """Fill runs of NaN, and of `marker`, in `(leads, samples)`; tell where."""
    filled, gaps = x.copy(), []
    for lead, row in enumerate(filled):
        # A marker is compared in the type of the samples, in which it was stored.
        missing = (
            np.isnan(row) if marker is None else np.isnan(row) | (row == row.dtype.type(marker))
        )
        for start, end in _runs(missing):
            _require_short(lead, start, end, len(row), fs_hz, longest_s)
            _fill(row, start, end)
            gaps.append((lead, start, end))
    checked(filled)
    return filled, gaps


def _runs(missing: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(missing, prepend=False, append=False))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _require_short(
    lead: int, start: int, end: int, samples: int, fs_hz: float, longest_s: float
) -> None:
    missing = end - start
    if missing == samples or missing > longest_s * fs_hz:
        raise InvalidSignalError(
            f"lead {lead} has no samples from {start / fs_hz:.3f} s to {end / fs_hz:.3f} s, and "
            f"only gaps up to {longest_s:g} s are filled: cut there or raise longest_s"
        )


def _fill(row: Signal, start: int, end: int) -> None:
    """A straight line between both sides; at an end of the recording, the nearest sample."""
    after = float(row[end]) if end < len(row) else float(row[start - 1])
    before = float(row[start - 1]) if start else after
    steps = np.arange(1, end - start + 1) / (end - start + 1)
    row[start:end] = before + (after - before) * steps
