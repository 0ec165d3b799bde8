"""`ECGAnalyzerFFI`: whole recordings in, results out, with counters."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Literal

from numpy.typing import ArrayLike

from . import checks
from .backend import choose
from .errors import ConfigError, ECGError
from .functions import hrv_of, quality_of
from .kernel import ALGORITHM_VERSION, RawAnalysis, Signal
from .stats import AnalyzerStats
from .types import Anomaly, BackendName, ECGAnalysisConfig, ECGAnalysisResult

__all__ = ["ECGAnalyzerFFI"]

BatchResults = list[ECGAnalysisResult | ECGError]


class ECGAnalyzerFFI:
    """Analyse ECG recordings with the Rust core, or with NumPy where it is missing.

    An analyzer may be shared between threads: it holds nothing but counters.

    Args:
        use_ffi: None takes Rust if it is there, True insists on it, False declines it.

    Raises:
        NativeUnavailableError: `use_ffi=True` and the Rust core is missing or switched off.
    """

    def __init__(self, use_ffi: bool | None = None) -> None:
        """Choose the backend."""
        self._kernel, self._backend = choose(use_ffi)
        self._stats = AnalyzerStats()

    @property
    def backend(self) -> BackendName:
        """The backend in use: "rust" or "python"."""
        return self._backend

    def analyze(
        self, signal: ArrayLike, config: ECGAnalysisConfig | None = None
    ) -> ECGAnalysisResult:
        """Find beats, rate, variability, anomalies and quality of one recording.

        Args:
            signal: `(samples,)` or `(leads, samples)` in mV, at least 1 s. Contiguous float32 and
                float64 arrays are read where they lie; do not write to them meanwhile.
            config: how; the default has 500 Hz.

        Raises:
            InvalidSignalError: the samples cannot be analysed, NaN and infinities among them.
        """
        config = _config(config)
        copied = 0
        start = time.perf_counter()
        try:
            ready, copied = checks.as_signal(signal)
            raw = self._run(ready, config)
        except BaseException:
            self._stats.record(self._backend, copied, None)
            raise
        elapsed_ms = (time.perf_counter() - start) * 1000.0
        self._stats.record(self._backend, copied, elapsed_ms)
        return _result(raw, config, self._backend, elapsed_ms)

    async def analyze_async(
        self, signal: ArrayLike, config: ECGAnalysisConfig | None = None
    ) -> ECGAnalysisResult:
        """Do as `analyze` does, in a thread, so that the event loop goes on."""
        # Imported here: asyncio costs memory that callers without a loop need not pay.
        import asyncio

        return await asyncio.to_thread(self.analyze, signal, config)

    def analyze_batch(
        self,
        signals: Sequence[ArrayLike],
        config: ECGAnalysisConfig | None = None,
        on_error: Literal["raise", "return"] = "raise",
    ) -> list[Any]:
        """Analyse several recordings on all cores, order kept.

        All of them are analysed, whatever happens to one.

        Args:
            signals: recordings, each as in `analyze`; their lengths may differ.
            config: the same for all.
            on_error: "return" puts the error in the place of the result; "raise" raises the first
                one at the end, and its `batch_results` holds the others' results.
        """
        if on_error not in ("raise", "return"):
            raise ConfigError(f"on_error must be 'raise' or 'return', not {on_error!r}")
        config = _config(config)
        results = self._all(signals, config)
        if on_error == "raise":
            for index, result in enumerate(results):
                if isinstance(result, ECGError):
                    result.batch_index, result.batch_results = index, results
                    raise result
        return results

    def get_stats(self) -> dict[str, Any]:
        """Give the counters since the last reset.

        Returns:
            `total`, `errors`, `ffi_usage_rate`, `mean_ms`, `p50_ms`, `p95_ms`, `p99_ms` (of
            successful calls; percentiles of the latest 10 000), `bytes_copied`, `backend`.
        """
        return {**self._stats.snapshot(), "backend": self._backend}

    def reset_stats(self) -> None:
        """Set the counters back to zero."""
        self._stats.reset()

    def _run(self, signal: Signal, config: ECGAnalysisConfig) -> RawAnalysis:
        return self._kernel.analyze(
            signal,
            float(config.sampling_rate),
            bool(config.enable_hrv),
            bool(config.enable_anomaly_detection),
            float(config.min_heart_rate),
            float(config.max_heart_rate),
            float(config.noise_threshold),
            float(config.min_signal_quality),
        )

    def _all(self, signals: Sequence[ArrayLike], config: ECGAnalysisConfig) -> BatchResults:
        from concurrent.futures import ThreadPoolExecutor

        def one(signal: ArrayLike) -> ECGAnalysisResult | ECGError:
            try:
                return self.analyze(signal, config)
            except ECGError as error:
                return error

        workers = min(len(signals), os.cpu_count() or 1)
        if workers < 2:
            return [one(signal) for signal in signals]
        with ThreadPoolExecutor(workers, thread_name_prefix="ecg") as pool:
            return list(pool.map(one, signals))


def _config(config: ECGAnalysisConfig | None) -> ECGAnalysisConfig:
    if config is None:
        return ECGAnalysisConfig()
    if not isinstance(config, ECGAnalysisConfig):
        raise ConfigError(f"config must be an ECGAnalysisConfig, not {type(config).__name__}")
    return config


def _result(
    raw: RawAnalysis, config: ECGAnalysisConfig, backend: BackendName, elapsed_ms: float
) -> ECGAnalysisResult:
    quality = quality_of(raw["quality"])
    return ECGAnalysisResult(
        heart_rate=raw["heart_rate"],
        rr_intervals=raw["rr_ms"],
        qrs_peaks=raw["r_peaks"],
        hrv_metrics=None if raw["hrv"] is None else hrv_of(raw["hrv"]),
        anomalies=tuple(Anomaly(*anomaly) for anomaly in raw["anomalies"]),
        signal_quality=quality.score,
        lead_quality=quality.leads,
        processing_time_ms=elapsed_ms,
        algorithm_version=ALGORITHM_VERSION,
        processing_backend=backend,
        config=config,
    )
