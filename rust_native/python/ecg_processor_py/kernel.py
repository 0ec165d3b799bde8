"""What a backend must offer: the Rust module and the NumPy reference both satisfy `Kernel`.

A kernel takes signals that are already `(leads, samples)`, C-contiguous, float32 or float64 (see
`checks.as_signal`). It refuses NaN, infinities and absurd amplitudes itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import ECGError
from .types import ECGAnalysisConfig

ALGORITHM_VERSION = "0.3.0"

# float32 or float64; a kernel answers in the dtype it was asked in.
Signal = NDArray[np.floating[Any]]
# (score, [(score of a lead, its issues), ...])
RawQuality = tuple[float, list[tuple[float, list[str]]]]
# Kind, start and end in seconds, severity.
RawAnomaly = tuple[str, float, float, str]


class RawHRV(TypedDict):
    """Fields of `HRVMetrics`."""

    nn_count: int
    mean_nn_ms: float
    sdnn_ms: float
    rmssd_ms: float
    pnn50: float
    pnn20: float
    sd1_ms: float
    sd2_ms: float
    sample_entropy: float
    dfa_alpha1: float
    vlf_ms2: float
    lf_ms2: float
    hf_ms2: float
    lf_hf: float


class RawAnalysis(TypedDict):
    """One analysis, before it becomes an `ECGAnalysisResult`."""

    heart_rate: float
    rr_ms: NDArray[np.float64]
    r_peaks: NDArray[np.int64]
    hrv: RawHRV | None
    anomalies: list[RawAnomaly]
    quality: RawQuality


# The fields of `QualityIndices` of each lead.
RawIndices = list[list[float]]
# Kind, confidence, what was seen, and the same once the exchange is undone.
RawReversal = tuple[str, float, list[float], list[float]]
# (lead, first missing sample, sample after the last)
RawGap = tuple[int, int, int]
# (index, time_s, rr_ms, heart_rate, confidence, premature)
RawBeat = tuple[int, float, float, float, float, bool]
# What becomes of one recording of a batch.
T = TypeVar("T")


class BeatStream(Protocol):
    """A stream of samples in, beats out."""

    def push(self, x: Signal) -> list[RawBeat]:
        """Take the next samples."""

    def flush(self) -> list[RawBeat]:
        """Give the remaining beats and begin anew."""


class Kernel(Protocol):
    """The functions on arrays that each backend implements.

    Those with `out` write there: C-contiguous, of the size of the result, apart from `x`.
    """

    def resample(
        self, x: Signal, fs_in: float, fs_out: float, polyphase: bool, out: Signal
    ) -> None:
        """Linear interpolation or a polyphase filter onto the new rate."""

    def standardize(self, x: Signal, out: Signal) -> None:
        """Zero mean and unit population deviation for each lead."""

    def segment(self, x: Signal, window: int, hop: int, out: Signal) -> None:
        """Cut into `(segments, leads, window)`."""

    def prepare_ecg_fm(
        self, x: Signal, fs_hz: float, order: Sequence[int | None], out: NDArray[np.float32]
    ) -> None:
        """ECG-FM input `(segments, 12, 2500)`; `order` names the row of each standard lead."""

    def bandpass(
        self,
        x: Signal,
        fs_hz: float,
        low_hz: float,
        high_hz: float,
        order: int,
        mains_hz: float | None,
        q: float,
        out: Signal,
    ) -> None:
        """Zero-phase Butterworth high-pass and low-pass, and a notch if `mains_hz` is given."""

    def notch(self, x: Signal, fs_hz: float, mains_hz: float, q: float, out: Signal) -> None:
        """Zero-phase notch."""

    def remove_baseline(
        self, x: Signal, fs_hz: float, cutoff_hz: float | None, out: Signal
    ) -> None:
        """Zero-phase Butterworth high-pass, or running medians without a cut-off."""

    def detect_r_peaks(self, x: Signal, fs_hz: float) -> NDArray[np.int64]:
        """R peaks as sample indices."""

    def open_stream(self, fs_hz: float, leads: int) -> BeatStream:
        """Begin a stream."""

    def signal_quality(self, x: Signal, fs_hz: float, noise_threshold: float) -> RawQuality:
        """Score and issues of each lead."""

    def hrv(self, rr_ms: NDArray[np.float64]) -> RawHRV:
        """Variability of normal intervals."""

    def normal_intervals(
        self, rr_ms: NDArray[np.float64], unlike: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """Which intervals run from one normal beat to the next; `unlike` has one mark a beat."""

    def find_anomalies(
        self,
        peaks_s: NDArray[np.float64],
        duration_s: float,
        unlike: NDArray[np.bool_] | None,
        measurable: list[tuple[float, float]] | None,
        min_heart_rate: float,
        max_heart_rate: float,
    ) -> list[RawAnomaly]:
        """Findings as kind, start and end in seconds, severity."""

    def analyze(self, x: Signal, config: ECGAnalysisConfig) -> RawAnalysis:
        """Beats, rate, variability, anomalies and quality."""

    def analyze_batch(
        self,
        signals: Sequence[Signal],
        config: ECGAnalysisConfig,
        tell: Callable[[RawAnalysis | ECGError, float], T],
    ) -> list[T]:
        """Analyse each on all cores, and list in order what `tell` makes of it.

        `tell` takes what `analyze` gives, or the error that it raises, and the milliseconds.
        """

    def fill_gaps(
        self, x: Signal, fs_hz: float, longest_s: float, marker: float | None
    ) -> tuple[Signal, list[RawGap]]:
        """Fill short runs of NaN and of `marker`; tell where."""

    def quality_indices(self, x: Signal, fs_hz: float) -> RawIndices:
        """Indices of each lead from the literature."""

    def snr_db(self, x: Signal, fs_hz: float, peaks: Sequence[int]) -> list[float]:
        """Signal-to-noise ratio of each lead, in dB."""

    def check_lead_reversal(
        self, x: Signal, fs_hz: float, order: Sequence[int | None]
    ) -> list[RawReversal]:
        """Exchanged electrodes; `order` names the row of each standard lead."""

    def take_json_numbers(
        self, text: bytes, fewest: int
    ) -> tuple[bytes, NDArray[np.float64], list[int]]:
        """Text without its long arrays, their values, and how many of these each had."""
