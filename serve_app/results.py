"""The answers that HTTP, deployment handles and the command line give alike."""

import io
import math
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "Analysis",
    "Anomaly",
    "Embedding",
    "LabelInfo",
    "LeadQualityInfo",
    "Measured",
    "ModelCard",
    "ModelInfo",
    "Prediction",
    "Probability",
    "Quality",
    "RecordingInfo",
    "Result",
    "SegmentScores",
    "Timing",
]


def _finite_or_none(value: float | None) -> float | None:
    """JSON knows no NaN: what could not be measured is null."""
    return value if value is not None and math.isfinite(value) else None


Measured = Annotated[float | None, BeforeValidator(_finite_or_none)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
CalibrationMethod = Literal["prior_correction", "platt"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelInfo(_Frozen):
    """Which model answered."""

    name: str
    revision: str
    sha256: str = Field(description="Of the weights.")
    precision: str
    engine: str
    demo: bool = Field(
        description="True: a small model trained on simulated and a few public recordings; "
        "research demonstration only."
    )


class LabelInfo(_Frozen):
    """How one output of the model is read."""

    name: str
    join: Literal["mean", "max"] = Field(description="Over the segments of a recording.")
    pos_weight: float = Field(description="Of the positives in training; see the correction.")
    threshold: Probability
    noisy: bool = Field(description="True: the training labels of this class are implausible.")
    calibration: CalibrationMethod = "prior_correction"
    slope: float = Field(1.0, description="Of the calibration, on the logit of the joined score.")
    intercept: float | None = Field(
        None, description="Of the calibration; null: minus the logarithm of pos_weight."
    )


class ModelCard(_Frozen):
    """What is known of a model that can be asked for; null what only loading it will show."""

    name: str
    revision: str | None
    sha256: str | None = Field(description="Of the weights.")
    source: str = Field(description="What kind of place it is loaded from; never a path.")
    commit: str | None = Field(description="Of the Hub's repository it came from, else null.")
    default: bool = Field(description="True: it answers where no model is named.")
    loaded: bool = Field(description="In the memory of the replica that told this.")
    loaded_at: datetime | None
    precision: str | None
    engine: str | None
    demo: bool | None = Field(description="True: for demonstration only; see ModelInfo.")
    labels: list[str]
    label_details: list[LabelInfo]
    fs_hz: float | None
    segment_samples: int | None
    embedding_dim: int | None
    max_batch: int | None
    threads: int | None


class RecordingInfo(_Frozen):
    """What was sent, without anything of a patient."""

    format: str
    fs_hz: float
    duration_s: float
    leads: list[str]
    missing_leads: list[str]
    zero_filled_leads: list[str] = Field(
        default=[], description="Missing leads that the model was given as zeros, as asked."
    )
    unpredicted_s: float = Field(
        default=0.0, description="Remainder at the end, too short for a segment of 5 s."
    )
    units_assumed: bool = Field(
        default=False, description="True: nothing said the units, millivolts were taken."
    )
    sha256: str


class LeadQualityInfo(_Frozen):
    """One lead's quality."""

    score: Probability
    issues: list[str]
    snr_db: Measured = Field(
        default=None,
        description="Signal-to-noise ratio: beats against what does not repeat from beat to beat. "
        "Null with fewer than three beats, and in the windows of a day-long recording.",
    )


class Quality(_Frozen):
    """The recording's quality."""

    score: Probability
    acceptable: bool
    leads: dict[str, LeadQualityInfo]


class Prediction(_Frozen):
    """One label's answer, joined over the segments."""

    label: str
    probability: Probability = Field(description="The model's score, as upstream reports it.")
    calibrated_probability: Probability = Field(
        description="Corrected for the positive weight used in training, or as fitted on labelled "
        "recordings: see calibration."
    )
    threshold: Probability
    positive: bool
    noisy_label: bool = Field(
        default=False, description="True: the training labels of this class are implausible."
    )
    calibration: CalibrationMethod = Field(
        default="prior_correction", description="Where calibrated_probability comes from."
    )


class SegmentScores(_Frozen):
    """One segment's probabilities, in the order of the labels."""

    start_s: float
    end_s: float
    probabilities: list[Probability]


class Anomaly(_Frozen):
    """A rhythm finding with its time span."""

    kind: str
    start_s: float
    end_s: float
    severity: str


class Analysis(_Frozen):
    """What the signal core measured; null where it could not tell."""

    heart_rate_bpm: Measured
    r_peaks_s: list[float]
    rr_intervals_ms: list[float]
    hrv: dict[str, Measured]
    intervals: dict[str, Measured]
    anomalies: list[Anomaly]
    backend: str
    algorithm_version: str


class Timing(_Frozen):
    """Where the time went, in milliseconds."""

    decode: float
    preprocess: float
    queue: float
    inference: float
    total: float


class _Answer(_Frozen):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON."""
        return self.model_dump_json().encode()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able members."""
        return self.model_dump(mode="json")


class Result(_Answer):
    """The answer to one recording."""

    id: str
    created_at: datetime
    request_id: str
    model: ModelInfo | None = Field(description="Null where no model was asked.")
    recording: RecordingInfo
    quality: Quality
    predictions: list[Prediction]
    segments: list[SegmentScores]
    embedding: list[float] | None = Field(default=None, exclude_if=lambda value: value is None)
    analysis: Analysis | None
    timing_ms: Timing
    cached: bool = False
    degraded: Literal["signal_only", "stale"] | None = None


class Embedding(_Answer):
    """The model's pooled features of one recording; its signal was not analysed."""

    id: str
    created_at: datetime
    request_id: str
    model: ModelInfo
    recording: RecordingInfo
    embedding: list[float] = Field(description="Mean over the segments.")
    segments: list[list[float]] = Field(
        description="The features of each 5 s of the recording, from its start on."
    )
    timing_ms: Timing

    def to_array(self) -> npt.NDArray[np.float32]:
        """The features of the segments, ``(segments, embedding_dim)`` float32."""
        return np.array(self.segments, np.float32)

    def to_npy(self) -> bytes:
        """The same array in NumPy's file format."""
        file = io.BytesIO()
        np.save(file, self.to_array(), allow_pickle=False)
        return file.getvalue()
