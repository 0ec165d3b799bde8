"""Counters of one analyzer, exact under threads."""

from __future__ import annotations

import threading
from collections import deque
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
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._total = 0
            self._errors = 0
            self._ffi = 0
            self._bytes_copied = 0
            self._sum_ms = 0.0
            self._latest_ms: deque[float] = deque(maxlen=REMEMBERED)

    def record(self, backend: BackendName, bytes_copied: int, elapsed_ms: float | None) -> None:
        """Count one call; `elapsed_ms` None means that it failed."""
        with self._lock:
            self._total += 1
            self._ffi += backend == "rust"
            self._bytes_copied += bytes_copied
            if elapsed_ms is None:
                self._errors += 1
            else:
                self._sum_ms += elapsed_ms
                self._latest_ms.append(elapsed_ms)

    def snapshot(self) -> dict[str, Any]:
        """Give the figures at this moment."""
        with self._lock:
            total, errors, ffi = self._total, self._errors, self._ffi
            copied, sum_ms, latest = self._bytes_copied, self._sum_ms, list(self._latest_ms)
        done = total - errors
        p50, p95, p99 = np.percentile(latest, [50, 95, 99]).tolist() if latest else (0.0,) * 3
        return {
            "total": total,
            "errors": errors,
            "ffi_usage_rate": ffi / total if total else 0.0,
            "mean_ms": sum_ms / done if done else 0.0,
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "bytes_copied": copied,
        }
