"""Bimodal compression of SCP-ECG (EN 1064, annex C): all samples near beats, few between them."""

import numpy as np
import numpy.typing as npt

__all__ = ["stored_places"]


def stored_places(
    start: int, stop: int, factor: int, protected: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Where each original sample lies among the stored ones; whole numbers are stored themselves.

    Between beats one stored sample stands for the middle of `factor` originals: those between two
    middles are interpolated, those before the first and after the last repeat it. What is left over
    before the next beat is stored as it is.

    Args:
        start: First original sample of the lead.
        stop: The one after its last.
        factor: Original samples for one that is stored between beats.
        protected: ``(beats, 2)``: the stretches kept at full rate, in order, ends excluded.

    Returns:
        ``(stop - start,)``; the last is the number of stored samples less one.
    """
    bounds = _alternating_bounds(start, stop, protected)
    lengths = np.diff(bounds)
    full_rate = np.arange(lengths.size) % 2 == 1
    groups = np.where(full_rate, 0, lengths // factor)
    stored = groups + lengths - groups * factor
    run = np.repeat(np.arange(lengths.size), lengths)
    within = np.arange(stop - start) - np.repeat(bounds[:-1] - start, lengths)
    decimated = groups[run] * factor
    middle = np.clip((within - factor // 2) / factor, 0, np.maximum(groups[run] - 1, 0))
    place = np.where(within < decimated, middle, groups[run] + within - decimated)
    places: npt.NDArray[np.float64] = (np.cumsum(stored) - stored)[run] + place
    return places


def _alternating_bounds(
    start: int, stop: int, protected: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Bounds of what lies between beats and of beats, in turn; either may be empty."""
    firsts, ends = np.clip(protected, start, stop).T
    ends = np.maximum.accumulate(np.maximum(firsts, ends))
    firsts = np.maximum(firsts, np.concatenate([[start], ends[:-1]])[: firsts.size])
    bounds = np.column_stack([firsts, ends]).reshape(-1)
    return np.concatenate([[start], bounds, [stop]])
