"""Zero-phase filters as second-order sections, and the baseline as medians, in float64."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..kernel import Signal
from .limits import checked

EDGE_S = 2.5
BLOCK = 64
QRS_S, BEAT_S = 0.2, 0.6
MEDIAN_HZ = 125.0
STRETCH = 4096

# b0, b1, b2, a1, a2 of one section (a0 = 1)
Section = tuple[float, float, float, float, float]


def bandpass(
    x: Signal,
    fs_hz: float,
    low_hz: float,
    high_hz: float,
    order: int,
    mains_hz: float | None,
    q: float,
    out: Signal,
) -> None:
    """High-pass, notch, then low-pass, forwards and backwards."""
    sections = butterworth(order, low_hz, fs_hz, highpass=True)
    if mains_hz is not None:
        sections.append(notch_section(mains_hz, q, fs_hz))
    sections += butterworth(order, high_hz, fs_hz, highpass=False)
    out.reshape(x.shape)[:] = _zero_phase(sections, _without_median(checked(x))[0], fs_hz)


def notch(x: Signal, fs_hz: float, mains_hz: float, q: float, out: Signal) -> None:
    """One second-order notch, forwards and backwards."""
    centred, median = _without_median(checked(x))
    sections = [notch_section(mains_hz, q, fs_hz)]
    out.reshape(x.shape)[:] = _zero_phase(sections, centred, fs_hz) + median


def remove_baseline(x: Signal, fs_hz: float, cutoff_hz: float | None, out: Signal) -> None:
    """Second-order high-pass, or two running medians (de Chazal 2004)."""
    wide = checked(x)
    if cutoff_hz is None:
        out.reshape(x.shape)[:] = wide - _medians(wide, fs_hz)
        return
    sections = butterworth(2, cutoff_hz, fs_hz, highpass=True)
    out.reshape(x.shape)[:] = _zero_phase(sections, _without_median(wide)[0], fs_hz)


def _without_median(wide: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # An offset of 300 mV would cost the recursion its digits.
    median = np.asarray(np.median(wide, axis=1, keepdims=True))
    return wide - median, median


def notch_section(mains_hz: float, q: float, fs_hz: float) -> Section:
    """Unity gain at DC and far from `mains_hz`, zero there; -3 dB over `mains_hz / q`."""
    angle = 2.0 * math.pi * mains_hz / fs_hz
    gain = 1.0 / (1.0 + math.tan(angle / (2.0 * q)))
    b1 = -2.0 * math.cos(angle) * gain
    return (gain, b1, gain, b1, 2.0 * gain - 1.0)


def _medians(wide: NDArray[np.float64], fs_hz: float) -> NDArray[np.float64]:
    """Medians over 200 ms and 600 ms on block averages at about 125 Hz, interpolated."""
    samples = wide.shape[1]
    block = max(1, int(fs_hz / MEDIAN_HZ))
    starts = np.arange(0, samples, block)
    means = np.add.reduceat(wide, starts, axis=1) / np.diff(starts, append=samples)
    for seconds in (QRS_S, BEAT_S):
        means = _running_median(means, int(seconds * fs_hz / block + 0.5) | 1)
    centres = starts + 0.5 * (block - 1)
    return np.array([np.interp(np.arange(samples), centres, row) for row in means])


def _running_median(x: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Median around each place, the first and last value repeated beyond the ends."""
    half = size // 2
    padded = np.pad(x, ((0, 0), (half, half)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)
    # A stretch at a time: the windows of a day would not fit into memory.
    starts = range(0, x.shape[1], STRETCH)
    parts = [np.median(windows[:, start : start + STRETCH], axis=2) for start in starts]
    return np.concatenate(parts, axis=1)


def butterworth(order: int, cutoff_hz: float, fs_hz: float, *, highpass: bool) -> list[Section]:
    """Design by the bilinear transform with the cut-off pre-warped."""
    k = math.tan(math.pi * cutoff_hz / fs_hz)
    sections = [
        _second_order(k, 2.0 * math.sin((2 * i + 1) * math.pi / (2 * order)), highpass)
        for i in range(order // 2)
    ]
    if order % 2:
        gain = (1.0 if highpass else k) / (k + 1.0)
        b1 = -gain if highpass else gain
        sections.append((gain, b1, 0.0, (k - 1.0) / (k + 1.0), 0.0))
    return sections


def _second_order(k: float, inverse_q: float, highpass: bool) -> Section:
    norm = 1.0 / (1.0 + k * inverse_q + k * k)
    b0 = norm if highpass else k * k * norm
    b1 = -2.0 * b0 if highpass else 2.0 * b0
    return (b0, b1, b0, 2.0 * (k * k - 1.0) * norm, (1.0 - k * inverse_q + k * k) * norm)


def _zero_phase(
    sections: list[Section], centred: NDArray[np.float64], fs_hz: float
) -> NDArray[np.float64]:
    samples = centred.shape[1]
    pad = min(samples - 1, math.floor(EDGE_S * fs_hz + 0.5))
    y = _odd_reflected(centred, pad)
    for _ in range(2):
        for section in sections:
            y = _filtered(section, y)
        y = y[:, ::-1]
    return y[:, pad : pad + samples]


def _odd_reflected(x: NDArray[np.float64], pad: int) -> NDArray[np.float64]:
    before = 2.0 * x[:, :1] - x[:, pad:0:-1]
    after = 2.0 * x[:, -1:] - x[:, -2 : -pad - 2 : -1]
    return np.concatenate([before, x, after], axis=1)


def _filtered(section: Section, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """One section over `(leads, samples)`, a block of samples at a time.

    The recursion is unrolled over a block, so that NumPy multiplies matrices and Python only loops
    over blocks. It starts in the steady state of the first sample.
    """
    leads, samples = x.shape
    blocks = -(-samples // BLOCK)
    padded = np.zeros((leads, blocks * BLOCK))
    padded[:, :samples] = x
    cut = padded.reshape(leads, blocks, BLOCK)
    response, from_state, to_state, step = _block_matrices(section)
    y = cut @ response.T
    pushed = cut @ to_state.T
    state = x[:, :1] * _steady_state(section)
    for i in range(blocks):
        y[:, i] += state @ from_state.T
        state = state @ step.T + pushed[:, i]
    return y.reshape(leads, -1)[:, :samples]


def _block_matrices(section: Section) -> tuple[NDArray[np.float64], ...]:
    b0, b1, b2, a1, a2 = section
    transition = np.array([[-a1, 1.0], [-a2, 0.0]])
    push = np.array([b1 - a1 * b0, b2 - a2 * b0])
    powers = [np.eye(2)]
    for _ in range(BLOCK):
        powers.append(transition @ powers[-1])
    impulse = np.array([b0] + [(powers[i] @ push)[0] for i in range(BLOCK - 1)])
    lag = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))
    response = np.where(lag >= 0, impulse[np.maximum(lag, 0)], 0.0)
    from_state = np.array([powers[i][0] for i in range(BLOCK)])
    to_state = np.array([powers[BLOCK - 1 - i] @ push for i in range(BLOCK)]).T
    return response, from_state, to_state, powers[BLOCK]


def _steady_state(section: Section) -> NDArray[np.float64]:
    b0, b1, b2, a1, a2 = section
    gain = (b0 + b1 + b2) / (1.0 + a1 + a2)
    return np.array([gain - b0, b2 - a2 * gain])
