"""What no recording can be: the checks that every kernel function makes first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidSignalError
from ..kernel import Signal

# Amplifiers end at some 300 mV of offset and signal.
MAX_ABS_MV = 1000.0
# No heart moves a lead by more than this within a block for most of a recording.
MAX_SWING_MV = 50.0
BLOCK_S = 2.0
MISSING = -32768.0


def checked(x: Signal) -> NDArray[np.float64]:
    """Give `x` in float64.

    Raises:
        InvalidSignalError: NaN, infinite, or beyond anything an electrode can show.
    """
    wide = x.astype(np.float64)
    bad = ~(np.abs(wide) <= MAX_ABS_MV)
    if bad.any():
        lead, sample = (int(i) for i in np.argwhere(bad)[0])
        value = wide[lead, sample]
        if np.isfinite(value):
            raise InvalidSignalError(
                f"lead {lead} has {value:g} mV at sample {sample}, no electrode shows more than "
                f"{MAX_ABS_MV:g}: {_likely_cause(value)}"
            )
        raise InvalidSignalError(
            f"lead {lead} is not finite at sample {sample}: fill short gaps with fill_gaps, "
            "cut the recording at long ones"
        )
    return wide


def _likely_cause(value: float) -> str:
    if value == MISSING:
        return "-32768 marks a missing sample, fill it with fill_gaps(x, fs_hz, marker=-32768)"
    return (
        "check the units (mV expected), microvolts and ADU must be divided by 1000 or by the gain"
    )


def require_plausible(wide: NDArray[np.float64], fs_hz: float) -> None:
    """Refuse a recording in which every lead that moves swings further than any heart's.

    Raises:
        InvalidSignalError: it is in microvolts or ADU, not in mV.
    """
    starts = np.arange(0, wide.shape[1], max(1, int(BLOCK_S * fs_hz + 0.5)))
    swings = np.maximum.reduceat(wide, starts, axis=1) - np.minimum.reduceat(wide, starts, axis=1)
    moving = (wide != wide[:, :1]).any(axis=1)
    calm = 2 * (swings <= MAX_SWING_MV).sum(axis=1) >= len(starts)
    if moving.any() and not (moving & calm).any():
        raise InvalidSignalError(
            f"the leads swing by {swings[moving].max():.0f} mV, no heart moves them by more than "
            f"{MAX_SWING_MV:g}: check the units (mV expected), this looks like microvolts or ADU; "
            "divide by 1000 or by the gain"
        )


def require_duration(samples: int, fs_hz: float, least_s: float) -> None:
    """Refuse a recording shorter than `least_s`.

    Raises:
        InvalidSignalError: it is.
    """
    if samples < least_s * fs_hz:
        raise InvalidSignalError(
            f"{samples} samples are {samples / fs_hz:.3f} s at {fs_hz:g} Hz, at least "
            f"{least_s:g} s are needed; the shape must be (samples,) or (leads, samples)"
        )
