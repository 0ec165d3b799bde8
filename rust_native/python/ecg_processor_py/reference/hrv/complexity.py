"""Regularity and scaling of the intervals: sample entropy and detrended fluctuations."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Fewer tell little of entropy with m = 2 (Richman and Moorman, 2000: 10^m).
LEAST_FOR_ENTROPY = 100
# The time grows with the square of the count: an hour at most.
MOST_FOR_ENTROPY = 4096
TOLERANCE = 0.2
SHORTEST, LONGEST = 4, 16
# Four windows of the longest scale.
LEAST_FOR_DFA = 4 * LONGEST
# Fluctuations below this are rounding, not the heart.
STILL_MS = 1e-6


def sample_entropy(nn: NDArray[np.float64], sdnn: float) -> float:
    """-ln of the share of matching pairs that match for one more interval (m = 2, r = 0.2 SD)."""
    if len(nn) < LEAST_FOR_ENTROPY:
        return math.nan
    nn = nn[:MOST_FOR_ENTROPY]
    r = TOLERANCE * (sdnn if len(nn) < MOST_FOR_ENTROPY else float(np.std(nn, ddof=1)))
    pairs = longer = 0
    for lag in range(1, len(nn) - 2):
        near = np.abs(nn[lag:] - nn[:-lag]) <= r
        two = near[:-1] & near[1:]
        pairs += int(np.count_nonzero(two[:-1]))
        longer += int(np.count_nonzero(two[:-1] & near[2:]))
    return math.log(pairs / longer) if longer else math.nan


def dfa_alpha1(nn: NDArray[np.float64]) -> float:
    """Slope of ln fluctuation over ln scale, 4 to 16 intervals (Peng et al., 1995).

    Windows do not overlap, a remainder is left out, and a straight line is taken off each.
    """
    if len(nn) < LEAST_FOR_DFA:
        return math.nan
    profile = np.cumsum(nn - nn.mean())
    scales = np.arange(SHORTEST, LONGEST + 1)
    fluctuations = np.array([_fluctuation(profile, int(scale)) for scale in scales])
    if fluctuations.min() < STILL_MS:
        return math.nan
    x = np.log(scales) - np.log(scales).mean()
    return float((x * np.log(fluctuations)).sum() / (x * x).sum())


def _fluctuation(profile: NDArray[np.float64], scale: int) -> float:
    windows = profile[: len(profile) // scale * scale].reshape(-1, scale)
    y = windows - windows.mean(axis=1, keepdims=True)
    x = np.arange(scale) - 0.5 * (scale - 1)
    residual = (y * y).sum(axis=1) - (y @ x) ** 2 / (x * x).sum()
    return math.sqrt(max(0.0, float(residual.sum())) / windows.size)
