"""Many recordings at once, on a pool of threads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from itertools import repeat

from ..errors import ECGError, NativeError
from ..kernel import RawAnalysis, Signal, T
from ..types import ECGAnalysisConfig
from .analysis import analyze


def analyze_batch(
    signals: Sequence[Signal],
    config: ECGAnalysisConfig,
    tell: Callable[[RawAnalysis | ECGError, float], T],
) -> list[T]:
    """Analyse each as `analyze` does; an error stands in the place of its result."""
    workers = min(len(signals), os.cpu_count() or 1)
    if workers < 2:
        return [tell(*_one(signal, config)) for signal in signals]
    # Imported here: callers without a batch need not pay for it.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers, thread_name_prefix="ecg") as pool:
        found = pool.map(_one, signals, repeat(config))
        return [tell(*one) for one in found]


def _one(signal: Signal, config: ECGAnalysisConfig) -> tuple[RawAnalysis | ECGError, float]:
    start = time.perf_counter()
    try:
        found = analyze(signal, config)
    except ECGError as error:
        return error, 0.0
    except Exception as error:
        # Such as MemoryError: one recording must not lose the others.
        return NativeError(f"the analysis failed: {type(error).__name__}: {error}"), 0.0
    return found, (time.perf_counter() - start) * 1000.0
