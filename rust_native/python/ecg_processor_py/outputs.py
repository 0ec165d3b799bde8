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
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        raise _unfit(out, shape, dtype)
    flags = out.flags
    if not (flags.c_contiguous and flags.writeable and flags.aligned):
        raise _unfit(out, shape, dtype)
    if np.may_share_memory(out, x):
        raise ConfigError("out shares memory with x: give it memory of its own")
    return out


def _unfit(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ConfigError:
    """Told in words only now: naming a dtype takes longer than a small filter."""
    given = "this one is read-only or a strided view"
    if not isinstance(out, np.ndarray):
        given = f"not {type(out).__name__}"
    elif out.shape != shape or out.dtype != dtype:
        given = f"not {out.dtype} of shape {out.shape}"
    needed = f"out must be a C-contiguous, writable {np.dtype(dtype)} array of shape {shape}"
    return ConfigError(f"{needed}, {given}")
