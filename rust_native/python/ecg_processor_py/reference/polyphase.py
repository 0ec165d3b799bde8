"""A rational resampler: a windowed sinc, one short filter for each phase of the output."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

MOST = 20_000
CROSSINGS = 10
BETA = 5.0


def polyphase_resampled(
    wide: NDArray[np.float64], fs_in: float, fs_out: float
) -> NDArray[np.float64]:
    """Filter and pick `int(n * fs_out / fs_in)` samples, the ends extended by images in a point."""
    leads, n_in = wide.shape
    up, down = ratio(fs_in, fs_out)
    if up == down:
        return wide
    n_out = int(n_in * fs_out / fs_in)
    taps = lowpass(up, down)
    half = len(taps) // 2
    reach = half // up + 1
    level = wide[:, n_in // 2, None]
    padded = _extended(wide - level, reach, n_out * down // up + reach + 1 - n_in)
    out = np.empty((leads, n_out))
    for phase in range(up):
        place = phase * down + reach * up
        first = -(-(place - half) // up)
        kernel = taps[first * up - place + half :: up]
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=1)
        out[:, phase::up] = windows[:, first::down][:, : len(range(phase, n_out, up))] @ kernel
    return out + level


def ratio(fs_in: float, fs_out: float) -> tuple[int, int]:
    """Give `fs_out / fs_in` in lowest terms.

    Raises:
        ConfigError: it is not one of integers up to 20000.
    """
    wanted = fs_out / fs_in
    near = Fraction(wanted).limit_denominator(MOST)
    if abs(float(near) - wanted) >= 1e-12 * wanted or near.numerator > MOST:
        raise ConfigError(
            f"fs_out must be a ratio of integers up to {MOST} to fs_in for method polyphase, "
            f"not {fs_out:g} to {fs_in:g}"
        )
    return near.numerator, near.denominator


def lowpass(up: int, down: int) -> NDArray[np.float64]:
    """A sinc under a Kaiser window, ten zero crossings to each side, of unit gain after `up`."""
    spacing = max(up, down)
    half = CROSSINGS * spacing
    taps = np.sinc(np.arange(-half, half + 1) / spacing) * np.kaiser(2 * half + 1, BETA)
    return np.asarray(taps * (up / taps.sum()))


def _extended(x: NDArray[np.float64], before: int, after: int) -> NDArray[np.float64]:
    last = x.shape[1] - 1
    left = np.minimum(np.arange(before, 0, -1), last)
    right = last - np.minimum(np.arange(1, after + 1), last)
    return np.concatenate([2 * x[:, :1] - x[:, left], x, 2 * x[:, -1:] - x[:, right]], axis=1)
