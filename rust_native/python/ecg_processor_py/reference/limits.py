"""What no recording can be: the checks that every kernel function makes first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidSignalError
from ..kernel import Signal

MAX_ABS_MV = 1e6


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
                f"lead {lead} has {value:g} mV at sample {sample}: check the units (mV expected)"
            )
        raise InvalidSignalError(
            f"lead {lead} is not finite at sample {sample}: interpolate or cut gaps before analysis"
        )
    return wide


def require_duration(samples: int, fs_hz: float, least_s: float) -> None:
    """Refuse a recording shorter than `least_s`.

    Raises:
        InvalidSignalError: it is.
    """
    if samples < least_s * fs_hz:
        raise InvalidSignalError(
            f"{samples} samples are {samples / fs_hz:.2f} s at {fs_hz:g} Hz, at least "
            f"{least_s:g} s are needed; the shape must be (samples,) or (leads, samples)"
        )
