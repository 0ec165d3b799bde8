"""Configuration and results: frozen dataclasses, ready for JSON through `to_dict`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from .errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Anomaly",
    "ECGAnalysisConfig",
    "ECGAnalysisResult",
    "HRVMetrics",
    "LeadQuality",
    "SignalQuality",
]

BackendName = Literal["rust", "python"]


@dataclass(frozen=True)
class ECGAnalysisConfig:
    """How one recording is analysed.

    Attributes:
        sampling_rate: samples per second, 100 to 2000.
        enable_hrv: compute heart-rate variability.
        enable_anomaly_detection: look for rhythm anomalies.
        min_heart_rate: alarm limit in bpm; a sustained rate below it is bradycardia of high
            severity.
        max_heart_rate: alarm limit in bpm; a sustained rate above it is tachycardia of high
            severity.
        noise_threshold: ratio of noise to QRS amplitude from which a lead carries the issue "noise"
            and loses quality, in (0, 1].
        min_signal_quality: with no lead better than this (as in noise) no peak, no heart rate, no
            variability and no anomaly is told.

    Raises:
        ConfigError: a value is outside its bounds or of the wrong type.
    """

    sampling_rate: float = 500.0
    enable_hrv: bool = True
    enable_anomaly_detection: bool = True
    min_heart_rate: float = 40.0
    max_heart_rate: float = 200.0
    noise_threshold: float = 0.1
    min_signal_quality: float = 0.5

    # Unknown fields are refused by pydantic, too.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("enable_hrv", "enable_anomaly_detection"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ConfigError(f"{name} must be True or False, not {getattr(self, name)!r}")
        self._require_number("sampling_rate", 100.0, 2000.0)
        self._require_number("min_heart_rate", 10.0, 400.0)
        self._require_number("max_heart_rate", 10.0, 400.0)
        self._require_number("noise_threshold", 1e-6, 1.0)
        self._require_number("min_signal_quality", 0.0, 1.0)
        if self.min_heart_rate >= self.max_heart_rate:
            raise ConfigError(
                f"min_heart_rate ({self.min_heart_rate}) must be below "
                f"max_heart_rate ({self.max_heart_rate})"
            )

    def _require_number(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, (int, float, np.integer, np.floating))
        if not is_number or isinstance(value, bool):
            raise ConfigError(f"{name} must be a number, not {value!r}")
        if not low <= value <= high:
            raise ConfigError(f"{name} must lie in [{low:g}, {high:g}], not {value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain Python values."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class LeadQuality:
    """Quality of one lead.

    Attributes:
        score: 0 (useless) to 1 (clean).
        issues: any of "flat", "clipped", "noise", "baseline", "disconnected", "out_of_range",
            "powerline".
    """

    score: float
    issues: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-able form."""
        return {"score": _plain(self.score), "issues": list(self.issues)}


@dataclass(frozen=True)
class SignalQuality:
    """Quality of a recording: the mean of its leads, and each lead in the order given."""

    score: float
    leads: tuple[LeadQuality, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-able form."""
        return {"score": _plain(self.score), "leads": [lead.to_dict() for lead in self.leads]}


@dataclass(frozen=True)
class Anomaly:
    """Something in the rhythm that deserves a look.

    - tachycardia: a rate above 100 bpm, or above `max_heart_rate` if that is lower, for 5 intervals
      or more; medium above 130, high above 150 or `max_heart_rate`.
    - bradycardia: a rate of 50 bpm or less (Kusumoto et al., 2018), or below `min_heart_rate` if
      that is higher, as long; medium below 45, high below 40 or `min_heart_rate`.
    - pause: 2 to 4 s between two beats; medium, high above 3 s.
    - asystole: 4 s or more without a beat (Clifford et al., 2015), also before the first and after
      the last one; high.
    - irregular_rhythm: a median step between intervals above 10 % of the median interval, which
      neither premature beats nor breathing explain; low, medium above 16 %.
    - atrial_fibrillation_suspected: an irregular rhythm, from 6 % on, whose coefficient of sample
      entropy (Lake and Moorman, 2011) over 30 intervals is above -1.1; medium, high above 110 bpm.
    - premature_beat: in a rhythm that is steady otherwise or by its shape, from the beat before to
      the beat after; low, medium for couplets and bigeminy, high for three or more in a row.

    Attributes:
        kind: one of the above.
        start_s: where it starts, in seconds from the first sample.
        end_s: where it ends, in seconds.
        severity: "low", "medium" or "high".
    """

    kind: str
    start_s: float
    end_s: float
    severity: str

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-able form."""
        return asdict(self)


@dataclass(frozen=True)
class HRVMetrics:
    """Heart-rate variability (Task Force of ESC and NASPE, 1996).

    Attributes:
        nn_count: number of normal-to-normal intervals used.
        mean_nn_ms: their mean.
        sdnn_ms: their standard deviation (ddof 1); from 2 intervals.
        rmssd_ms: root mean square of successive differences; from 2 intervals.
        pnn50: successive differences above 50 ms, in percent; from 2 intervals. Where the intervals
            are no whole ms, a difference of exactly 50 ms counts half: rounding alone decides on
            which side it comes out.
        pnn20: the same for 20 ms.
        sd1_ms: Poincaré short axis (Brennan et al., 2001); from 3 intervals.
        sd2_ms: Poincaré long axis; from 3 intervals.
        sample_entropy: m = 2, r = 0.2 SDNN (Richman and Moorman, 2000); from 100 intervals, of
            more than 4096 the first 4096.
        dfa_alpha1: detrended fluctuations over 4 to 16 intervals, every scale, windows that do not
            overlap (Peng et al., 1995); from 64 intervals.
        vlf_ms2: power from 0.0033 Hz to below 0.04 Hz; from 64 s, as the other bands. The intervals
            are read at 4 Hz from a natural cubic spline through the times of their second beats;
            Welch's periodogram of 256 samples, periodic Hann window, half overlapping, mean
            removed; trapezoidal integral over the bins of the band.
        lf_ms2: power from 0.04 Hz to below 0.15 Hz.
        hf_ms2: power from 0.15 Hz to below 0.4 Hz.
        lf_hf: `lf_ms2` over `hf_ms2`.

    A value that needs more intervals than there are is NaN.
    """

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

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-able form, NaN as None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


# Arrays do not compare to one truth: a result equals itself alone.
@dataclass(frozen=True, eq=False)
class ECGAnalysisResult:
    """What one recording says.

    Attributes:
        heart_rate: mean rate in bpm; NaN where none can be told.
        rr_intervals: intervals between successive R peaks, ms, float64 `(beats - 1,)`.
        qrs_peaks: R peaks, sample indices, int64 `(beats,)`; none where the quality is too low
            (`detect_r_peaks` gives the candidates of such a signal).
        hrv_metrics: variability of normal beats; None if switched off or the quality is too low.
        anomalies: rhythm findings; empty if switched off or the beats' confidence is below 0.7.
        signal_quality: 0 to 1, the mean over leads.
        lead_quality: each lead's score and issues.
        processing_time_ms: wall time of the analysis.
        algorithm_version: semantic version of the algorithms, the same in both backends.
        processing_backend: "rust" or "python".
    """

    heart_rate: float
    rr_intervals: NDArray[np.float64]
    qrs_peaks: NDArray[np.int64]
    hrv_metrics: HRVMetrics | None
    anomalies: tuple[Anomaly, ...]
    signal_quality: float
    lead_quality: tuple[LeadQuality, ...]
    processing_time_ms: float
    algorithm_version: str
    processing_backend: BackendName
    config: ECGAnalysisConfig = field(default_factory=ECGAnalysisConfig)

    def to_dict(self) -> dict[str, Any]:
        """Give a form that `json.dumps(..., allow_nan=False)` takes: NaN becomes None."""
        return {
            "heart_rate": _plain(self.heart_rate),
            "rr_intervals": self.rr_intervals.tolist(),
            "qrs_peaks": self.qrs_peaks.tolist(),
            "hrv_metrics": self.hrv_metrics.to_dict() if self.hrv_metrics else None,
            "anomalies": [anomaly.to_dict() for anomaly in self.anomalies],
            "signal_quality": _plain(self.signal_quality),
            "lead_quality": [lead.to_dict() for lead in self.lead_quality],
            "processing_time_ms": _plain(self.processing_time_ms),
            "algorithm_version": self.algorithm_version,
            "processing_backend": self.processing_backend,
            "config": self.config.to_dict(),
        }

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: Any) -> Any:
        """Let a result be the field of a pydantic model."""
        from .schema import of_result

        return of_result(handler)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        """Describe the JSON form, whether read or written."""
        return handler(schema["json_schema"])


def _plain(value: Any) -> Any:
    """Turn a NumPy scalar into a Python one and a non-finite float into None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
