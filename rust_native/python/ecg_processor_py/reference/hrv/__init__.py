"""Heart-rate variability (Task Force of ESC and NASPE, 1996), and which intervals it is told from.

Time domain and Poincaré plot (Brennan et al., 2001) here; see `complexity` and `spectrum`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...kernel import RawHRV
from .complexity import dfa_alpha1, sample_entropy
from .normal import normal_intervals
from .spectrum import spectrum

__all__ = ["hrv", "normal_intervals", "of_normal"]

# How far rounding moves a step; text files hold six decimals.
ROUNDING_MS = 1e-5
# Power below this is rounding, not the heart.
STILL_MS2 = 1e-9


def hrv(rr_ms: NDArray[np.float64]) -> RawHRV:
    """Variability of normal-to-normal intervals in ms."""
    return of_normal(rr_ms, np.ones(len(rr_ms), dtype=bool))


def of_normal(rr_ms: NDArray[np.float64], normal: NDArray[np.bool_]) -> RawHRV:
    """Variability of the intervals marked normal; differences only between neighbours."""
    nn = rr_ms[normal]
    steps = np.diff(rr_ms)[normal[1:] & normal[:-1]]
    whole = bool((nn == np.round(nn)).all())
    sdnn = float(np.std(nn, ddof=1)) if len(nn) > 1 else math.nan
    sd1 = float(np.std(steps, ddof=1)) / math.sqrt(2.0) if len(steps) > 1 else math.nan
    vlf, lf, hf = spectrum(rr_ms, normal)
    return {
        "nn_count": len(nn),
        "mean_nn_ms": float(nn.mean()) if len(nn) else math.nan,
        "sdnn_ms": sdnn,
        "rmssd_ms": float(np.sqrt(np.mean(steps**2))) if len(steps) else math.nan,
        "pnn50": _share_above(steps, 50.0, whole),
        "pnn20": _share_above(steps, 20.0, whole),
        "sd1_ms": sd1,
        "sd2_ms": math.nan if math.isnan(sd1) else math.sqrt(max(0.0, 2.0 * sdnn**2 - sd1**2)),
        "sample_entropy": sample_entropy(nn, sdnn),
        "dfa_alpha1": dfa_alpha1(nn),
        "vlf_ms2": vlf,
        "lf_ms2": lf,
        "hf_ms2": hf,
        "lf_hf": lf / hf if hf > STILL_MS2 else math.nan,
    }


def _share_above(steps: NDArray[np.float64], limit_ms: float, whole: bool) -> float:
    """Percent of the steps above the limit.

    Intervals that are no whole ms carry rounding, which alone decides whether a step of exactly
    the limit (18 samples at 360 Hz are 50 ms) comes out above it or not: such steps count half.
    """
    if len(steps) == 0:
        return math.nan
    excess = np.abs(steps) - limit_ms
    if whole:
        return 100.0 * int(np.count_nonzero(excess > 0.0)) / len(steps)
    above = int(np.count_nonzero(excess > ROUNDING_MS))
    ties = int(np.count_nonzero(np.abs(excess) <= ROUNDING_MS))
    return 100.0 * (above + 0.5 * ties) / len(steps)
