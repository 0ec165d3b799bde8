"""Indices of signal quality from the literature: reported, not decided on.

Moments after Li, Mark and Clifford (Physiol. Meas. 29 (2008) 15) and Clifford et al. (Physiol.
Meas. 33 (2012) 1419), parts of the power after these and Zhao and Zhang (Front. Physiol. 9 (2018)
727). Powers are those of Welch's periodogram: periodic Hann windows of 4 s, half overlapping, the
mean of each removed, filled with zeros up to a power of two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernel import RawIndices, Signal
from .filters import remove_baseline
from .limits import checked, require_duration

LEAST_S = 1.0
WINDOW_S = 4.0
WANDER_HZ = 0.6
MAINS_HZ = (50.0, 60.0)
# Mains with this much more power than what lies beside them are there.
MAINS_CONTRAST = 4.0

Row = NDArray[np.float64]


def quality_indices(x: Signal, fs_hz: float) -> RawIndices:
    """Measure each lead: the fields of `QualityIndices`, in order."""
    require_duration(x.shape[1], fs_hz, LEAST_S)
    wide = checked(x)
    rest = np.empty_like(wide)
    remove_baseline(wide, fs_hz, WANDER_HZ, rest)
    wander = np.std(wide - rest, axis=1)
    return [_lead(row, fs_hz, float(mv)) for row, mv in zip(wide, wander, strict=True)]


def _lead(row: Row, fs_hz: float, wander_mv: float) -> list[float]:
    hz, density = welch(row, fs_hz)
    signal = _power(hz, density, 5.0, 40.0)
    mains = [_mains(hz, density, at) for at in MAINS_HZ]
    louder = 1 if mains[1][0] > mains[0][0] else 0
    power, stands_out = mains[louder]
    below_40 = _power(hz, density, 0.0, 40.0)
    return [
        *_moments(row),
        _ratio(_power(hz, density, 5.0, 15.0), signal),
        1.0 - _ratio(_power(hz, density, 0.0, 1.0), below_40),
        _ratio(power, signal),
        MAINS_HZ[louder] if stands_out else float("nan"),
        wander_mv,
        float(np.sqrt(_power(hz, density, 40.0, 0.5 * fs_hz))),
    ]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else float("nan")


def _moments(row: Row) -> tuple[float, float]:
    """Kurtosis and skewness."""
    centred = row - row.mean()
    second = float((centred**2).mean())
    if second == 0.0 or bool((row == row[0]).all()):
        return float("nan"), float("nan")
    return float((centred**4).mean()) / second**2, float((centred**3).mean()) / second**1.5


def welch(row: Row, fs_hz: float) -> tuple[Row, Row]:
    """Frequencies in Hz and one-sided power density in mV²/Hz."""
    window = min(len(row), int(WINDOW_S * fs_hz + 0.5))
    size = 1 << (window - 1).bit_length()
    parts = np.lib.stride_tricks.sliding_window_view(row, window)[:: window - window // 2]
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window) / window)
    tapered = (parts - parts.mean(axis=1, keepdims=True)) * hann
    power = (np.abs(np.fft.rfft(tapered, size, axis=1)) ** 2).mean(axis=0)
    density = np.asarray(2.0 * power / (fs_hz * float((hann**2).sum())), dtype=np.float64)
    density[[0, -1]] *= 0.5
    hz = np.asarray(np.arange(len(density)) * (fs_hz / size), dtype=np.float64)
    return hz, density


def _power(hz: Row, density: Row, low_hz: float, high_hz: float) -> float:
    """Power in a band, both ends included, mV²."""
    step = hz[1]
    first = max(0, int(np.ceil(low_hz / step - 1e-9)))
    last = int(np.floor(high_hz / step + 1e-9))
    return float(density[first : last + 1].sum() * step)


def _mains(hz: Row, density: Row, at_hz: float) -> tuple[float, bool]:
    """Power at a mains frequency, and whether it stands out; NaN where the rate is too low."""
    if at_hz + 4.0 > hz[-1]:
        return float("nan"), False
    inside = _power(hz, density, at_hz - 1.0, at_hz + 1.0)
    below = _power(hz, density, at_hz - 4.0, at_hz - 2.0)
    above = _power(hz, density, at_hz + 2.0, at_hz + 4.0)
    return inside, inside > 0.0 and inside >= MAINS_CONTRAST * max(below, above)
