"""The Rust core: `kernel.Kernel`, and what only it can tell."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from .kernel import RawAnalysis, RawGap, RawHRV, RawItem, RawQuality, Signal

__all__ = [
    "_panic_for_test",
    "analyze",
    "analyze_batch",
    "bandpass",
    "build_info",
    "detect_r_peaks",
    "fill_gaps",
    "hrv",
    "prepare_ecg_fm",
    "remove_baseline",
    "resample",
    "segment",
    "signal_quality",
    "standardize",
]

class _BuildInfo(TypedDict):
    version: str
    algorithm_version: str
    rustc: str
    profile: str
    target: str
    features: list[str]
    cpu_features: list[str]

def resample(x: Signal, fs_in: float, fs_out: float) -> Signal: ...
def standardize(x: Signal) -> Signal: ...
def segment(x: Signal, window: int, hop: int) -> Signal: ...
def prepare_ecg_fm(x: Signal, fs_hz: float, order: Sequence[int | None]) -> NDArray[np.float32]: ...
def bandpass(x: Signal, fs_hz: float, low_hz: float, high_hz: float, order: int) -> Signal: ...
def remove_baseline(x: Signal, fs_hz: float, cutoff_hz: float) -> Signal: ...
def detect_r_peaks(x: Signal, fs_hz: float) -> NDArray[np.int64]: ...
def signal_quality(x: Signal, fs_hz: float, noise_threshold: float) -> RawQuality: ...
def hrv(rr_ms: NDArray[np.float64]) -> RawHRV: ...
def analyze(
    x: Signal,
    fs_hz: float,
    enable_hrv: bool,
    enable_anomaly_detection: bool,
    min_heart_rate: float,
    max_heart_rate: float,
    noise_threshold: float,
    min_signal_quality: float,
) -> RawAnalysis: ...
def analyze_batch(
    signals: Sequence[Signal],
    fs_hz: float,
    enable_hrv: bool,
    enable_anomaly_detection: bool,
    min_heart_rate: float,
    max_heart_rate: float,
    noise_threshold: float,
    min_signal_quality: float,
) -> list[RawItem]: ...
def fill_gaps(
    x: Signal, fs_hz: float, longest_s: float, marker: float | None
) -> tuple[Signal, list[RawGap]]: ...
def build_info() -> _BuildInfo: ...
def _panic_for_test(message: str) -> None: ...
