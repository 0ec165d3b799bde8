"""Power of the intervals in the bands of the Task Force (1996)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FS_HZ = 4.0
STEP_MS = 1000.0 / FS_HZ
WINDOW = 256
BANDS_HZ = ((0.0033, 0.04), (0.04, 0.15), (0.15, 0.4))
# A stretch that is left out is bridged; a longer one would let the spline swing.
# A longer interval is no normal one, and would take a spline of any length.
LONGEST_MS = 5000.0


def spectrum(rr_ms: NDArray[np.float64], normal: NDArray[np.bool_]) -> tuple[float, float, float]:
    """VLF, LF and HF power, ms²; NaN below 256 samples at 4 Hz (64 s) or with intervals above 5 s.

    Each interval stands at the time of its second beat; a natural cubic spline is read at 4 Hz;
    Welch's mean periodogram of 256 samples, periodic Hann window, half overlapping, mean removed,
    one-sided density; trapezoids over the bins of each half-open band.
    """
    nn = rr_ms[normal]
    times = _times(rr_ms, normal)
    span_ms = float(times[-1] - times[0]) if len(times) > 2 else 0.0
    if bool((nn > LONGEST_MS).any()) or span_ms < (WINDOW - 1) * STEP_MS:
        return math.nan, math.nan, math.nan
    even = times[0] + np.arange(int(span_ms / STEP_MS) + 1) * STEP_MS
    density = _welch(_spline(times, nn, even))
    hz = np.arange(len(density)) * (FS_HZ / WINDOW)
    vlf, lf, hf = (_trapezoid(density[(hz >= low) & (hz < high)]) for low, high in BANDS_HZ)
    return vlf, lf, hf


def _times(rr_ms: NDArray[np.float64], normal: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Time of each normal interval's second beat, ms."""
    time = left_out = 0.0
    times = []
    for interval, is_normal in zip(rr_ms.tolist(), normal.tolist(), strict=True):
        if is_normal:
            time += min(left_out, LONGEST_MS) + interval
            left_out = 0.0
            times.append(time)
        else:
            left_out += interval
    return np.array(times)


def _spline(
    x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Natural cubic spline through at least three points."""
    h = np.diff(x)
    m = _curvatures(h.tolist(), np.diff(y).tolist())
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(h) - 1)
    left, right = at - x[i], x[i + 1] - at
    bend = (m[i] * right**3 + m[i + 1] * left**3) / (6.0 * h[i])
    low = (y[i] / h[i] - m[i] * h[i] / 6.0) * right
    high = (y[i + 1] / h[i] - m[i + 1] * h[i] / 6.0) * left
    return np.asarray(bend + low + high)


def _curvatures(h: list[float], rise: list[float]) -> NDArray[np.float64]:
    """Second derivatives at the points: a tridiagonal system, zero at both ends."""
    ratio, value = [0.0], [0.0]
    for i in range(1, len(h)):
        wanted = 6.0 * (rise[i] / h[i] - rise[i - 1] / h[i - 1])
        pivot = 2.0 * (h[i - 1] + h[i]) - h[i - 1] * ratio[-1]
        value.append((wanted - h[i - 1] * value[-1]) / pivot)
        ratio.append(h[i] / pivot)
    m = np.zeros(len(h) + 1)
    for i in range(len(h) - 1, 0, -1):
        m[i] = value[i] - ratio[i] * m[i + 1]
    return m


def _welch(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """One-sided density, ms²/Hz, below half the rate."""
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)
    parts = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[:: WINDOW // 2]
    parts = (parts - parts.mean(axis=1, keepdims=True)) * hann
    power = np.abs(np.fft.rfft(parts)[:, : WINDOW // 2]) ** 2
    return np.asarray(2.0 * power.mean(axis=0) / (FS_HZ * (hann * hann).sum()))


def _trapezoid(density: NDArray[np.float64]) -> float:
    return float(density.sum() - 0.5 * (density[0] + density[-1])) * (FS_HZ / WINDOW)
