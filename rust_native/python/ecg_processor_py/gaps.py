"""`fill_gaps`: what to do with missing samples before anything else looks at them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .backend import choose
from .kernel import Signal

__all__ = ["Gap", "fill_gaps"]


@dataclass(frozen=True)
class Gap:
    """Samples of one lead that were missing and have been filled.

    Attributes:
        lead: its row.
        start: index of the first missing sample.
        end: index after the last missing sample.
    """

    lead: int
    start: int
    end: int


def fill_gaps(
    x: ArrayLike,
    fs_hz: float,
    longest_s: float = 0.2,
    *,
    marker: float | None = None,
    use_ffi: bool | None = None,
) -> tuple[Signal, tuple[Gap, ...]]:
    """Fill short gaps by linear interpolation, at an end of the recording by the nearest sample.

    Args:
        x: `(samples,)` or `(leads, samples)`; NaN and masked samples are missing.
        fs_hz: samples per second.
        longest_s: longest gap that may be filled, 0 to 10 s; 0.2 s holds no more than one QRS.
        marker: a value that stands for a missing sample, too, such as -32768.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Returns:
        A filled copy of the same shape (float32 or float64), and the gaps in order.

    Raises:
        InvalidSignalError: a gap is longer, or the rest cannot be used (infinite, beyond 1000 mV).
    """
    if isinstance(x, np.ma.MaskedArray) and x.dtype.kind in "fiu":
        x = np.ma.filled(x.astype(checks.float_type(x.dtype)), np.nan)
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz)
    longest = checks.number(longest_s, "longest_s", 0.0, 10.0)
    missing = None if marker is None else checks.number(marker, "marker", -1e12, 1e12)
    filled, gaps = choose(use_ffi)[0].fill_gaps(signal, rate, longest, missing)
    return filled[0] if np.ndim(x) == 1 else filled, tuple(Gap(*gap) for gap in gaps)
