"""Many recordings at once, on a pool of threads."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..errors import ECGError, NativeError
from ..kernel import RawItem, Signal
from .analysis import analyze


def analyze_batch(
    signals: Sequence[Signal],
    fs_hz: float,
    enable_hrv: bool,
    enable_anomaly_detection: bool,
    min_heart_rate: float,
    max_heart_rate: float,
    noise_threshold: float,
    min_signal_quality: float,
) -> list[RawItem]:
    """Analyse each as `analyze` does; an error stands in the place of its result."""
    one = partial(
        _one,
        fs_hz=fs_hz,
        enable_hrv=enable_hrv,
        enable_anomaly_detection=enable_anomaly_detection,
        min_heart_rate=min_heart_rate,
        max_heart_rate=max_heart_rate,
        noise_threshold=noise_threshold,
        min_signal_quality=min_signal_quality,
    )
    workers = min(len(signals), os.cpu_count() or 1)
    if workers < 2:
        return [one(signal) for signal in signals]
    # Imported here: callers without a batch need not pay for it.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers, thread_name_prefix="ecg") as pool:
        return list(pool.map(one, signals))


def _one(signal: Signal, **options: Any) -> RawItem:
    start = time.perf_counter()
    try:
        found = analyze(signal, **options)
    except ECGError as error:
        return error, 0.0
    except Exception as error:
        # Such as MemoryError: one recording must not lose the others.
        return NativeError(f"the analysis failed: {type(error).__name__}: {error}"), 0.0
    return found, (time.perf_counter() - start) * 1000.0
