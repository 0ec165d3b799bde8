"""The curves that beats are read from: QRS band, slope energy and envelope of each lead.

A lead is centred, decimated by plain averages to 110 to 220 Hz and mirrored at both ends. All
filters are centred moving averages, summed by doubling. The tree of float32 additions is that of
the Rust core, so that both give the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernel import Signal

HALVED_FROM_HZ = 220.0
SHORT_S = 0.016
LONG_S = 0.080
SLOPE_S = 0.008
ENERGY_S = 0.120
ENVELOPE_S = 0.060

Floats32 = NDArray[np.float32]


def count(seconds: float, fs_hz: float) -> int:
    """Samples in `seconds`, rounded half up, at least one."""
    return max(1, math.floor(seconds * fs_hz + 0.5))


def step_at(fs_hz: float) -> int:
    """Recorded samples to a decimated one: the rate is halved until it lies below 220 Hz."""
    step = 1
    while fs_hz / step >= HALVED_FROM_HZ:
        step *= 2
    return step


@dataclass(frozen=True)
class Widths:
    """Widths of the moving averages in decimated samples: odd, but for the slope's."""

    short: int
    long: int
    slope: int
    energy: int
    envelope: int

    @classmethod
    def at(cls, fs_hz: float) -> Widths:
        """The widths at a rate after decimation."""
        return cls(
            count(SHORT_S, fs_hz) | 1,
            count(LONG_S, fs_hz) | 1,
            count(SLOPE_S, fs_hz),
            count(ENERGY_S, fs_hz) | 1,
            count(ENVELOPE_S, fs_hz) | 1,
        )

    @property
    def skip(self) -> int:
        """Samples of the QRS band before the first output of the energies."""
        return max(self.slope + self.energy // 2, self.envelope // 2)

    @property
    def halo(self) -> int:
        """Samples of the lead before the first output of the energies."""
        return self.long - 1 + self.skip


@dataclass(frozen=True)
class Curves:
    """The curves of all leads: arrays `(leads, samples)`, float32, mV.

    Attributes:
        fs_hz: Samples per second after decimation.
        step: Recorded samples to one decimated sample.
        centres: What was taken off each lead, `(leads,)`, float64, mV.
        smooth: Low-pass of a lead, about 25 Hz.
        qrs: The band of the QRS complex, about 5 to 25 Hz.
        energy: Root mean square of the slope around each sample.
        envelope: Mean magnitude of the QRS band around each sample.
        rest: What lies above the low-pass.
    """

    fs_hz: float
    step: int
    centres: NDArray[np.float64]
    smooth: Floats32
    qrs: Floats32
    energy: Floats32
    envelope: Floats32
    rest: Floats32

    @classmethod
    def of(cls, x: Signal, fs_hz: float) -> Curves:
        """Decimate, extend and filter `(leads, samples)`, float32 or float64."""
        step = step_at(fs_hz)
        fs_hz = fs_hz / step
        w = Widths.at(fs_hz)
        centres = _middles(x)
        short = _decimated(x, centres, step)
        raw = short[:, _mirrored(short.shape[1], w.halo)]
        smooth, long = _averages(raw, w)
        qrs = smooth - long
        rest = raw[:, w.long - 1 : 1 - w.long] - smooth
        inside = slice(w.skip, w.skip + short.shape[1])
        return cls(
            fs_hz,
            step,
            centres.astype(np.float64),
            smooth[:, inside],
            qrs[:, inside],
            _energy(qrs, w),
            _envelope(qrs, w),
            rest[:, inside],
        )

    @property
    def leads(self) -> int:
        """Number of leads."""
        return self.qrs.shape[0]

    @property
    def samples(self) -> int:
        """Samples of each curve: the recording's after decimation."""
        return self.qrs.shape[1]

    @property
    def duration_s(self) -> float:
        """Seconds that the curves last."""
        return self.samples / self.fs_hz

    def baseline(self, lead: int, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """What a lead rests on at decimated samples, in the units it was recorded in."""
        above = self.smooth[lead, at] - self.qrs[lead, at]
        return np.asarray(self.centres[lead] + above.astype(np.float64))


def _middles(x: Signal) -> Signal:
    """Half way between the lowest and the highest sample of each lead, in the dtype of `x`."""
    low, high = x.min(axis=1).astype(np.float64), x.max(axis=1).astype(np.float64)
    return np.asarray((0.5 * (low + high)).astype(x.dtype))


def _decimated(x: Signal, centres: Signal, step: int) -> Floats32:
    """Centred averages of `step` samples."""
    samples = x.shape[1] // step
    total = np.zeros((len(x), samples), dtype=np.float32)
    for first in range(step):
        part = x[:, first : samples * step : step]
        total += (part - centres[:, None]).astype(np.float32)
    return total * np.float32(1.0 / step)


def _mirrored(samples: int, halo: int) -> NDArray[np.int64]:
    """Indices that extend a lead by mirror images, as many as `halo` needs."""
    period = max(1, 2 * (samples - 1))
    index = np.abs(np.arange(-halo, samples + halo)) % period
    return np.where(index < samples, index, period - index)


def moving_sum(x: Floats32, width: int) -> Floats32:
    """Sums of `width` neighbours along the last axis, by doubling.

    Sums of 1, 2, 4, … samples are added where the bits of `width` ask for them, lowest bit first.
    """
    n = x.shape[1] + 1 - width
    total, sums, offset = np.zeros((len(x), n), dtype=np.float32), x, 0
    for bit in range(width.bit_length()):
        size = 1 << bit
        if bit:
            sums = sums[:, : -size // 2] + sums[:, size // 2 :]
        if width & size:
            total += sums[:, offset : offset + n]
            offset += size
    return total


def _share(width: int) -> np.float32:
    return np.float32(1.0) / np.float32(width)


def _averages(raw: Floats32, w: Widths) -> tuple[Floats32, Floats32]:
    """Short and long average, each twice, of the same samples."""
    near = w.long - w.short
    once = moving_sum(raw[:, near : raw.shape[1] - near], w.short)
    smooth = moving_sum(once, w.short) * _share(w.short**2)
    long = moving_sum(moving_sum(raw, w.long), w.long) * _share(w.long**2)
    return smooth, long


def _energy(qrs: Floats32, w: Widths) -> Floats32:
    first = w.skip - w.energy // 2 - w.slope
    near = qrs[:, first : qrs.shape[1] - first]
    slope = near[:, 2 * w.slope :] - near[:, : -2 * w.slope]
    return np.sqrt(moving_sum(slope * slope, w.energy) * _share(w.energy))


def _envelope(qrs: Floats32, w: Widths) -> Floats32:
    first = w.skip - w.envelope // 2
    near = np.abs(qrs[:, first : qrs.shape[1] - first])
    return moving_sum(near, w.envelope) * _share(w.envelope)


def block_maxima(curve: Floats32, seconds: float, fs_hz: float) -> NDArray[np.float64]:
    """Highest value of each of the stretches of about `seconds` that a curve is divided into."""
    n = len(curve)
    blocks = max(1, n // count(seconds, fs_hz))
    starts = np.arange(blocks) * n // blocks
    return np.fmax(np.fmax.reduceat(curve, starts), np.float32(0.0)).astype(np.float64)
