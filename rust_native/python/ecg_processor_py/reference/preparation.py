"""Resampling, standardising, cutting: a recording becomes the input of ECG-FM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidSignalError
from ..kernel import Signal
from .limits import checked, require_duration
from .polyphase import polyphase_resampled

ECG_FM_HZ = 500.0
ECG_FM_SAMPLES = 2500
ECG_FM_SECONDS = 5.0


def resample(x: Signal, fs_in: float, fs_out: float, polyphase: bool, out: Signal) -> None:
    """Read `(leads, samples)` at a new rate: linear as ECG-FM was trained, or polyphase."""
    wide = checked(x)
    if polyphase:
        out.reshape(len(x), -1)[:] = polyphase_resampled(wide, fs_in, fs_out)
    else:
        out.reshape(len(x), -1)[:] = _resampled(wide, fs_in, fs_out)


def _resampled(wide: NDArray[np.float64], fs_in: float, fs_out: float) -> NDArray[np.float64]:
    n_in = wide.shape[1]
    n_out = int(n_in * fs_out / fs_in)
    if n_in < 2 or n_out < 2:
        raise InvalidSignalError(
            f"{n_in} samples at {fs_in:g} Hz are too few to resample to {fs_out:g} Hz"
        )
    if n_in == n_out:
        return wide
    position = np.arange(n_out) * ((n_in - 1) / (n_out - 1))
    left = np.minimum(position.astype(np.int64), n_in - 2)
    weight = position - left
    start, end = wide[:, left], wide[:, left + 1]
    return np.asarray(start + (end - start) * weight)


def standardize(x: Signal, out: Signal) -> None:
    """Zero mean and unit population deviation for each lead; a constant lead becomes zeros."""
    out.reshape(x.shape)[:] = _standardized(checked(x))


def _standardized(wide: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = wide - wide.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
    # Decided on the samples, since rounding gives a constant lead a deviation of about 1e-17.
    constant = wide.max(axis=1, keepdims=True) == wide.min(axis=1, keepdims=True)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, deviation))


def segment(x: Signal, window: int, hop: int, out: Signal) -> None:
    """Cut `(leads, samples)` into `(segments, leads, window)`; what is left over is dropped."""
    _cut(checked(x), window, hop, out.reshape(-1, len(x), window))


def _cut(x: NDArray[np.float64], window: int, hop: int, out: Signal) -> None:
    for i, segment in enumerate(out):
        segment[:] = x[:, i * hop : i * hop + window]


def prepare_ecg_fm(
    x: Signal, fs_hz: float, order: Sequence[int | None], out: NDArray[np.float32]
) -> None:
    """Order, resample, standardise over the whole recording, cut into 5 s."""
    require_duration(x.shape[1], fs_hz, ECG_FM_SECONDS)
    rows = [row for row in order if row is not None]
    known = _standardized(_resampled(checked(x[rows]), fs_hz, ECG_FM_HZ))
    whole = np.zeros((len(order), known.shape[1]))
    whole[[place for place, row in enumerate(order) if row is not None]] = known
    _cut(whole, ECG_FM_SAMPLES, ECG_FM_SAMPLES, out)
