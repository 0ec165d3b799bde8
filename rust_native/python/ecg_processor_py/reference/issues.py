"""Plain faults of a lead, told from its samples alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLAT_MV = 0.005
RAILED_MV = 1.0
HELD_S = 0.5
HELD_FLAT = 0.9
HELD_PART = 0.1
CLIPPED_S = 0.008
CLIPPED_PART = 0.002
# Twice the +-5 mV that an input must pass (ANSI/AAMI EC11; IEC 60601-2-27).
FAR_MV = 10.0
FAR_PART = 0.05
# The offset that an input must bear (the same standards).
OFFSET_MV = 300.0
LEVEL_SAMPLES = 256
MAINS_MV = 0.05
MAINS_PART = 0.1
MAINS_CONTRAST = 3.0
# Mains at places 1 and 3, and what they are held against.
PROBED_HZ = np.array([45.0, 50.0, 55.0, 60.0, 65.0])
MARGIN_HZ = 2.0

Row = NDArray[np.floating[Any]]


def is_flat(row: Row, held: float) -> bool:
    """Tell whether a lead hardly moves, or stands still nearly all the time."""
    return bool(np.ptp(row) < FLAT_MV or held >= HELD_FLAT)


def is_railed(row: Row) -> bool:
    """Tell whether a flat lead stands at a rail, as an open input does."""
    return bool(abs(row[0]) >= RAILED_MV)


def held_part(row: Row, fs_hz: float) -> float:
    """Part of a lead, 0 to 1, in which samples equal their neighbours for 0.5 s or more."""
    _, lengths = _runs(row)
    least = max(2, _samples_in(HELD_S, fs_hz))
    return float(lengths[lengths >= least].sum() / len(row))


def is_clipped(row: Row, fs_hz: float) -> bool:
    """Tell whether a lead rests at its lowest or highest value, 8 ms at a time, twice or more."""
    starts, lengths = _runs(row)
    value = row[starts]
    at_extreme = (value == row.min()) | (value == row.max())
    cuts = lengths[at_extreme & (lengths >= max(3, _samples_in(CLIPPED_S, fs_hz)))]
    return bool(len(cuts) >= 2 and cuts.sum() >= CLIPPED_PART * len(row))


def is_out_of_range(row: Row) -> bool:
    """Tell whether a lead goes where no input is bound to follow.

    It is more than 10 mV from its median for a twentieth of the time, or that median more than
    300 mV from zero. The median is that of some 256 samples spread over the lead.
    """
    if np.ptp(row) <= FAR_MV and np.abs(row).max() <= OFFSET_MV:
        return False
    level = float(np.median(row[:: max(1, len(row) // LEVEL_SAMPLES)]))
    far = int((np.abs(row - level) > FAR_MV).sum())
    return abs(level) > OFFSET_MV or far >= FAR_PART * len(row)


def mains_hz(row: Row, fs_hz: float, qrs_mv: float) -> float | None:
    """Give the mains frequency that lies on a lead, Hz.

    An amplitude of 0.05 mV or more, a tenth of `qrs_mv` (peak to peak) or more, three times that of
    the neighbours or more.
    """
    amplitude = mains_amplitudes_mv(row, fs_hz)
    louder = 3 if amplitude[3] > amplitude[1] else 1
    beside = max(amplitude[louder - 1], amplitude[louder + 1])
    least = max(MAINS_MV, MAINS_PART * qrs_mv, MAINS_CONTRAST * beside)
    return float(PROBED_HZ[louder]) if amplitude[louder] >= least else None


def mains_amplitudes_mv(row: Row, fs_hz: float) -> Row:
    """Amplitudes at 45, 50, 55, 60 and 65 Hz, mV; zero for those that the rate cannot show.

    The samples of a second are folded onto 0.2 s, in which all of these frequencies have whole
    periods; seconds add up by power, as mains drift.
    """
    block, folds = _folding(fs_hz)
    folds = min(folds, len(row) // block)
    if folds == 0:
        return np.zeros(len(PROBED_HZ))
    seconds = (row - row[0])[: len(row) // (block * folds) * block * folds]
    folded = seconds.reshape(-1, folds, block).sum(axis=1)
    turns = 2.0 * np.pi * PROBED_HZ / fs_hz * np.arange(block)[:, None]
    power = (folded @ np.cos(turns)) ** 2 + (folded @ np.sin(turns)) ** 2
    told = 0.5 * fs_hz > PROBED_HZ + MARGIN_HZ
    amplitudes: Row = np.where(told, 2.0 * np.sqrt(power.mean(axis=0)) / (block * folds), 0.0)
    return amplitudes


def _folding(fs_hz: float) -> tuple[int, int]:
    """Samples of a block, and blocks that are folded onto one."""
    fifth = int(0.2 * fs_hz + 0.5)
    if abs(5.0 * fifth - fs_hz) < 1e-9:
        return max(1, fifth), 5
    return max(1, int(fs_hz + 0.5)), 1


def _samples_in(seconds: float, fs_hz: float) -> int:
    return int(seconds * fs_hz + 0.5)


def _runs(row: Row) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and length of each run of equal samples."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(row)) + 1])
    return starts, np.diff(starts, append=len(row))
