"""Order statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def running_median(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Median of the `size` nearest values at each place; fewer only where there are fewer."""
    n = len(values)
    if n == 0:
        return np.zeros(0)
    size = min(size, n)
    medians = np.median(np.lib.stride_tricks.sliding_window_view(values, size), axis=1)
    return np.asarray(medians[np.clip(np.arange(n) - size // 2, 0, n - size)])
