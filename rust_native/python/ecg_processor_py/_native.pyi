"""The Rust core: `kernel.Kernel`, and what only it can tell."""

from collections.abc import Callable, Sequence
from typing import TypedDict, final

import numpy as np
from numpy.typing import NDArray

from .errors import ECGError
from .kernel import (
    RawAnalysis,
    RawAnomaly,
    RawBeat,
    RawGap,
    RawHRV,
    RawIndices,
    RawQuality,
    RawReversal,
    Signal,
    T,
)
from .types import ECGAnalysisConfig

__all__ = [
    "BeatStream",
    "_panic_for_test",
    "analyze",
    "analyze_batch",
    "available_simd_paths",
    "bandpass",
    "build_info",
    "check_lead_reversal",
    "detect_r_peaks",
    "fill_gaps",
    "find_anomalies",
    "force_simd_path",
    "hrv",
    "normal_intervals",
    "notch",
    "open_stream",
    "prepare_ecg_fm",
    "quality_indices",
    "remove_baseline",
    "resample",
    "segment",
    "signal_quality",
    "simd_path",
    "snr_db",
    "standardize",
    "take_json_numbers",
]

@final
class BeatStream:
    def push(self, x: Signal) -> list[RawBeat]: ...
    def flush(self) -> list[RawBeat]: ...

def open_stream(fs_hz: float, leads: int) -> BeatStream: ...

class _BuildInfo(TypedDict):
    version: str
    algorithm_version: str
    rustc: str
    profile: str
    target: str
    features: list[str]
    cpu_features: list[str]
    simd_path: str

def resample(x: Signal, fs_in: float, fs_out: float, polyphase: bool, out: Signal) -> None: ...
def standardize(x: Signal, out: Signal) -> None: ...
def segment(x: Signal, window: int, hop: int, out: Signal) -> None: ...
def prepare_ecg_fm(
    x: Signal, fs_hz: float, order: Sequence[int | None], out: NDArray[np.float32]
) -> None: ...
def bandpass(
    x: Signal,
    fs_hz: float,
    low_hz: float,
    high_hz: float,
    order: int,
    mains_hz: float | None,
    q: float,
    out: Signal,
) -> None: ...
def notch(x: Signal, fs_hz: float, mains_hz: float, q: float, out: Signal) -> None: ...
def remove_baseline(x: Signal, fs_hz: float, cutoff_hz: float | None, out: Signal) -> None: ...
def detect_r_peaks(x: Signal, fs_hz: float) -> NDArray[np.int64]: ...
def signal_quality(x: Signal, fs_hz: float, noise_threshold: float) -> RawQuality: ...
def hrv(rr_ms: NDArray[np.float64]) -> RawHRV: ...
def normal_intervals(
    rr_ms: NDArray[np.float64], unlike: NDArray[np.bool_] | None
) -> NDArray[np.bool_]: ...
def find_anomalies(
    peaks_s: NDArray[np.float64],
    duration_s: float,
    unlike: NDArray[np.bool_] | None,
    measurable: list[tuple[float, float]] | None,
    min_heart_rate: float,
    max_heart_rate: float,
) -> list[RawAnomaly]: ...
def analyze(x: Signal, config: ECGAnalysisConfig) -> RawAnalysis: ...
def analyze_batch(
    signals: Sequence[Signal],
    config: ECGAnalysisConfig,
    tell: Callable[[RawAnalysis | ECGError, float], T],
) -> list[T]: ...
def fill_gaps(
    x: Signal, fs_hz: float, longest_s: float, marker: float | None
) -> tuple[Signal, list[RawGap]]: ...
def quality_indices(x: Signal, fs_hz: float) -> RawIndices: ...
def take_json_numbers(text: bytes, fewest: int) -> tuple[bytes, NDArray[np.float64], list[int]]: ...
def snr_db(x: Signal, fs_hz: float, peaks: Sequence[int]) -> list[float]: ...
def check_lead_reversal(
    x: Signal, fs_hz: float, order: Sequence[int | None]
) -> list[RawReversal]: ...
def build_info() -> _BuildInfo: ...
def simd_path() -> str: ...
def available_simd_paths() -> list[str]: ...
def force_simd_path(name: str) -> None: ...
def _panic_for_test(message: str) -> None: ...
