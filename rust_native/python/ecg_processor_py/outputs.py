"""Where results are written: a fresh array, or the caller's `out` once it fits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError


def target(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], x: NDArray[Any]) -> NDArray[Any]:
    """Give `out`, or a fresh array where it is None.

    Raises:
        ConfigError: `out` has another shape or dtype, is not C-contiguous or not writable, or
            shares memory with `x`, which is still read while the result is written.
    """
    if out is None:
        return np.empty(shape, dtype)
    needed = f"out must be a C-contiguous, writable {np.dtype(dtype)} array of shape {shape}"
    if not isinstance(out, np.ndarray):
        raise ConfigError(f"{needed}, not {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ConfigError(f"{needed}, not {out.dtype} of shape {out.shape}")
    if not (out.flags.c_contiguous and out.flags.writeable and out.flags.aligned):
        raise ConfigError(f"{needed}; this one is read-only or a strided view")
    if np.may_share_memory(out, x):
        raise ConfigError("out shares memory with x: give it memory of its own")
    return out
