"""Time-domain heart-rate variability (Task Force of ESC and NASPE, 1996; Brennan et al., 2001)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..kernel import RawHRV

NEIGHBOURS = 11
TOLERANCE = 0.2
NORMAL_MS = (300.0, 2000.0)


def hrv(rr_ms: NDArray[np.float64]) -> RawHRV:
    """Variability of normal-to-normal intervals in ms."""
    return of_normal(rr_ms, np.ones(len(rr_ms), dtype=bool))


def of_normal(rr_ms: NDArray[np.float64], normal: NDArray[np.bool_]) -> RawHRV:
    """Variability of the intervals marked normal; differences only between neighbours."""
    nn = rr_ms[normal]
    steps = np.diff(rr_ms)[normal[1:] & normal[:-1]]
    sdnn = float(np.std(nn, ddof=1)) if len(nn) > 1 else math.nan
    sd1 = float(np.std(steps, ddof=1)) / math.sqrt(2.0) if len(steps) > 1 else math.nan
    return {
        "nn_count": len(nn),
        "mean_nn_ms": float(nn.mean()) if len(nn) else math.nan,
        "sdnn_ms": sdnn,
        "rmssd_ms": float(np.sqrt(np.mean(steps**2))) if len(steps) else math.nan,
        "pnn50": 100.0 * float(np.mean(np.abs(steps) > 50.0)) if len(steps) else math.nan,
        "sd1_ms": sd1,
        "sd2_ms": math.nan if math.isnan(sd1) else math.sqrt(max(0.0, 2.0 * sdnn**2 - sd1**2)),
    }


def normal_intervals(rr_ms: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark intervals near the median of their surroundings: ectopic beats fall out."""
    if len(rr_ms) == 0:
        return np.zeros(0, dtype=bool)
    median = running_median(rr_ms, NEIGHBOURS)
    near = np.abs(rr_ms - median) <= TOLERANCE * median
    return near & (rr_ms >= NORMAL_MS[0]) & (rr_ms <= NORMAL_MS[1])


def running_median(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Median of the `size` nearest values; fewer only where there are fewer."""
    n = len(values)
    size = min(size, n)
    medians = np.median(np.lib.stride_tricks.sliding_window_view(values, size), axis=1)
    return np.asarray(medians[np.clip(np.arange(n) - size // 2, 0, n - size)])
