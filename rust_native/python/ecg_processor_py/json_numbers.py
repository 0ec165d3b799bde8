"""Numbers in a JSON text, without a Python object for each of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .backend import choose

__all__ = ["take_json_numbers"]


def take_json_numbers(
    text: bytes, fewest: int = 16, *, use_ffi: bool | None = None
) -> tuple[bytes, NDArray[np.float64], list[int]]:
    """Take long arrays of numbers out of a JSON text, so that a JSON parser has little left.

    An array is taken if it holds `fewest` finite numbers or more, written as RFC 8259 wants them,
    and nothing else. What cannot be taken stays, and is for the JSON parser to judge; so does
    everything with the Python backend.

    Args:
        text: UTF-8, as it was sent; it need not be valid.
        fewest: shorter arrays are left.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Returns:
        The text with `null` for each array that was taken; their values end to end, each the
        float64 nearest to what is written; how many values each array had, in order.
    """
    return choose(use_ffi)[0].take_json_numbers(text, fewest)
