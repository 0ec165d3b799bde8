"""Where the time of a request goes."""

import time

__all__ = ["Stopwatch"]


class Stopwatch:
    """Laps in milliseconds."""

    def __init__(self) -> None:
        self._started_s = self._lap_s = time.perf_counter()

    def lap_ms(self) -> float:
        """Time since the last lap."""
        now_s = time.perf_counter()
        lap_ms, self._lap_s = (now_s - self._lap_s) * 1e3, now_s
        return lap_ms

    def total_ms(self) -> float:
        """Time since the start."""
        return (time.perf_counter() - self._started_s) * 1e3
