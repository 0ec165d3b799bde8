"""Counters of one analyzer, exact under threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from .types import BackendName

# Percentiles are those of the latest calls; the counts and the mean cover all of them.
REMEMBERED = 10_000


class AnalyzerStats:
    """Counts, latencies and bytes copied."""

    def __init__(self) -> None:
        """Start from zero."""
        self._lock = threading.Lock()
        self._clear()

    def reset(self) -> dict[str, Any]:
        """Forget everything, and give what there was until this moment."""
        with self._lock:
            figures = self._figures()
            self._clear()
        return _with_percentiles(*figures)

    def record(self, backend: BackendName, bytes_copied: int, elapsed_ms: float | None) -> None:
        """Count one call; `elapsed_ms` None means that it failed."""
        with self._lock:
            self._calls[backend] += 1
            self._bytes_copied += bytes_copied
            self._add(elapsed_ms)

    def record_all(
        self, backend: BackendName, bytes_copied: int, elapsed_ms: Sequence[float | None]
    ) -> None:
        """Count the calls of a batch at once."""
        with self._lock:
            self._calls[backend] += len(elapsed_ms)
            self._bytes_copied += bytes_copied
            for ms in elapsed_ms:
                self._add(ms)

    def snapshot(self) -> dict[str, Any]:
        """Give the figures at this moment."""
        with self._lock:
            figures = self._figures()
        return _with_percentiles(*figures)

    def _add(self, elapsed_ms: float | None) -> None:
        if elapsed_ms is None:
            self._errors += 1
        else:
            self._sum_ms += elapsed_ms
            self._latest_ms.append(elapsed_ms)

    def _clear(self) -> None:
        self._calls: dict[BackendName, int] = {"rust": 0, "python": 0}
        self._errors = 0
        self._bytes_copied = 0
        self._sum_ms = 0.0
        self._latest_ms: deque[float] = deque(maxlen=REMEMBERED)

    def _figures(self) -> tuple[dict[str, Any], list[float]]:
        total = sum(self._calls.values())
        done = total - self._errors
        counts = {
            "total": total,
            "errors": self._errors,
            "calls": dict(self._calls),
            "ffi_usage_rate": self._calls["rust"] / total if total else 0.0,
            "mean_ms": self._sum_ms / done if done else 0.0,
            "bytes_copied": self._bytes_copied,
        }
        return counts, list(self._latest_ms)


def _with_percentiles(counts: dict[str, Any], latest_ms: list[float]) -> dict[str, Any]:
    levels = np.percentile(latest_ms, [50, 95, 99]).tolist() if latest_ms else (0.0,) * 3
    return counts | dict(zip(("p50_ms", "p95_ms", "p99_ms"), levels, strict=True))
