"""The bands that beats and quality are read from, by centred moving averages.

Two equal averages in a row have a triangular kernel; the difference of a short and a long one
passes about 5 to 25 Hz with zero phase at one addition a sample, whatever the sampling rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRE_ROLL_S = 2.0
SHORT_S = 0.016
LONG_S = 0.080


def count(seconds: float, fs_hz: float) -> int:
    """Samples in `seconds`, rounded half up, at least one."""
    return max(1, math.floor(seconds * fs_hz + 0.5))


def width(seconds: float, fs_hz: float) -> int:
    """Odd number of samples nearest above `seconds`."""
    return count(seconds, fs_hz) | 1


@dataclass(frozen=True)
class Bands:
    """Each lead with a reflected pre-roll of `pad` samples on both sides.

    All arrays are `(leads, samples + 2 * pad)`, float64, in mV.
    """

    fs_hz: float
    samples: int
    pad: int
    raw: NDArray[np.float64]
    smooth: NDArray[np.float64]
    qrs: NDArray[np.float64]


def split(wide: NDArray[np.float64], fs_hz: float) -> Bands:
    """Extend, centre and filter `(leads, samples)`."""
    samples = wide.shape[1]
    pad = count(PRE_ROLL_S, fs_hz)
    raw = (wide - wide.mean(axis=1, keepdims=True))[:, reflected(samples, pad)]
    smooth = twice_averaged(raw, width(SHORT_S, fs_hz))
    qrs = smooth - twice_averaged(raw, width(LONG_S, fs_hz))
    return Bands(fs_hz, samples, pad, raw, smooth, qrs)


def reflected(samples: int, pad: int) -> NDArray[np.int64]:
    """Indices that extend a signal by mirror images, as many as `pad` needs."""
    period = max(1, 2 * (samples - 1))
    index = np.abs(np.arange(-pad, samples + pad)) % period
    return np.where(index < samples, index, period - index)


def averaged(x: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Centred moving average over `size` (odd) samples; zero where the window leaves the signal."""
    half = size // 2
    total = np.zeros((x.shape[0], x.shape[1] + 1))
    np.cumsum(x, axis=1, out=total[:, 1:])
    y = np.zeros_like(x)
    y[:, half : x.shape[1] - half] = (total[:, size:] - total[:, :-size]) / size
    return y


def twice_averaged(x: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Two moving averages in a row."""
    return averaged(averaged(x, size), size)
