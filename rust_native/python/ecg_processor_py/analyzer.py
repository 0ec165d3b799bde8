"""`ECGAnalyzerFFI`: whole recordings in, results out, with counters."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .backend import choose
from .errors import ConfigError, ECGError, InvalidSignalError
from .findings import hrv_of, lead_qualities
from .frozen import made
from .kernel import ALGORITHM_VERSION, RawAnalysis, Signal
from .stats import AnalyzerStats
from .types import Anomaly, BackendName, ECGAnalysisConfig, ECGAnalysisResult

__all__ = ["ECGAnalyzerFFI"]

BatchResults = list[ECGAnalysisResult | ECGError]

DEFAULT = ECGAnalysisConfig()


class ECGAnalyzerFFI:
    """Analyse ECG recordings with the Rust core, or with NumPy where it is missing.

    An analyzer may be shared between threads: it holds nothing but counters. Pickled or copied, it
    begins to count anew.

    Args:
        use_ffi: None takes Rust if it is there, True insists on it, False declines it.

    Raises:
        NativeUnavailableError: `use_ffi=True` and the Rust core is missing or switched off.
    """

    def __init__(self, use_ffi: bool | None = None) -> None:
        """Choose the backend."""
        self._use_ffi = use_ffi
        self._kernel, self._backend = choose(use_ffi)
        self._stats = AnalyzerStats()

    def __reduce__(self) -> tuple[type[ECGAnalyzerFFI], tuple[bool | None]]:
        """Choose the backend again where it is unpickled."""
        return type(self), (self._use_ffi,)

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
                float64 arrays are read where they lie; do not write to them meanwhile. Gaps (NaN,
                masked samples, markers such as -32768) are for `fill_gaps` beforehand.
            config: how; the default has 500 Hz.

        Raises:
            InvalidSignalError: the samples cannot be analysed: NaN and infinities, beyond 1000 mV,
                or every lead swings by more than 50 mV, as microvolts and ADU taken for mV do.
        """
        config = _config(config)
        copied = 0
        start = time.perf_counter()
        try:
            ready, copied = checks.as_signal(signal)
            raw = self._kernel.analyze(ready, config)
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
        signals: Iterable[ArrayLike],
        config: ECGAnalysisConfig | None = None,
        on_error: Literal["raise", "return"] = "raise",
    ) -> list[Any]:
        """Analyse several recordings on all cores, order kept.

        All of them are analysed, whatever happens to one. Rust takes as many threads as there are
        cores, or `RAYON_NUM_THREADS`.

        Args:
            signals: recordings, each as in `analyze`; their lengths may differ.
            config: the same for all.
            on_error: "return" puts the error in the place of the result; "raise" raises the first
                one at the end, and its `batch_results` holds the others' results.

        Raises:
            InvalidSignalError: `signals` is no sequence, or one of them cannot be analysed.
        """
        if on_error not in ("raise", "return"):
            raise ConfigError(f"on_error must be 'raise' or 'return', not {on_error!r}")
        config = _config(config)
        results = self._all(_listed(signals), config)
        if on_error == "raise":
            for index, result in enumerate(results):
                if isinstance(result, ECGError):
                    result.batch_index, result.batch_results = index, results
                    raise result
        return results

    def get_stats(self) -> dict[str, Any]:
        """Give the counters since the last reset.

        Returns:
            `total` and `errors` (a recording of a batch counts as a call), `calls` (for each
            backend), `ffi_usage_rate` (0 to 1), `mean_ms`, `p50_ms`, `p95_ms`, `p99_ms` (of
            successful calls; percentiles of the latest 10 000), `bytes_copied`, `backend`.
        """
        return {**self._stats.snapshot(), "backend": self._backend}

    def reset_stats(self) -> dict[str, Any]:
        """Set the counters back to zero, and give what they were: no call is lost in between."""
        return {**self._stats.reset(), "backend": self._backend}

    def _all(self, signals: Sequence[ArrayLike], config: ECGAnalysisConfig) -> BatchResults:
        backend = self._backend

        def told(raw: RawAnalysis | ECGError, elapsed_ms: float) -> ECGAnalysisResult | ECGError:
            return raw if isinstance(raw, ECGError) else _result(raw, config, backend, elapsed_ms)

        ready, copied = _all_ready(signals)
        usable = [signal for signal in ready if not isinstance(signal, ECGError)]
        found = iter(self._kernel.analyze_batch(usable, config, told))
        results = [one if isinstance(one, ECGError) else next(found) for one in ready]
        self._stats.record_all(backend, copied, [_elapsed_ms(result) for result in results])
        return results


def _listed(signals: Iterable[ArrayLike]) -> list[ArrayLike]:
    one = isinstance(signals, np.ndarray) and signals.ndim < 2
    if one or isinstance(signals, (str, bytes, Mapping)):
        raise InvalidSignalError(
            "signals must be a sequence of recordings: put a single one into a list"
        )
    try:
        return list(signals)
    except TypeError as error:
        raise InvalidSignalError(f"signals must be a sequence of recordings: {error}") from error


def _all_ready(signals: Sequence[ArrayLike]) -> tuple[list[Signal | ECGError], int]:
    """Each as a kernel takes it, or why not; and the bytes copied."""
    both = [_ready_or_error(signal) for signal in signals]
    return [ready for ready, _ in both], sum(copied for _, copied in both)


def _ready_or_error(signal: ArrayLike) -> tuple[Signal | ECGError, int]:
    try:
        return checks.as_signal(signal)
    except ECGError as error:
        return error, 0


def _config(config: ECGAnalysisConfig | None) -> ECGAnalysisConfig:
    if config is None:
        return DEFAULT
    if not isinstance(config, ECGAnalysisConfig):
        raise ConfigError(f"config must be an ECGAnalysisConfig, not {type(config).__name__}")
    return config


def _elapsed_ms(result: ECGAnalysisResult | ECGError) -> float | None:
    return None if isinstance(result, ECGError) else result.processing_time_ms


def _result(
    raw: RawAnalysis, config: ECGAnalysisConfig, backend: BackendName, elapsed_ms: float
) -> ECGAnalysisResult:
    score, leads = raw["quality"]
    fields = {
        "heart_rate": raw["heart_rate"],
        "rr_intervals": raw["rr_ms"],
        "qrs_peaks": raw["r_peaks"],
        "hrv_metrics": None if raw["hrv"] is None else hrv_of(raw["hrv"]),
        "anomalies": tuple([Anomaly(*anomaly) for anomaly in raw["anomalies"]]),
        "signal_quality": score,
        "lead_quality": lead_qualities(leads),
        "processing_time_ms": elapsed_ms,
        "algorithm_version": ALGORITHM_VERSION,
        "processing_backend": backend,
        "config": config,
    }
    return made(ECGAnalysisResult, fields)
