"""The lines of an NDJSON answer to a long recording."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.results import (
    Anomaly,
    Measured,
    ModelInfo,
    Prediction,
    Probability,
    Quality,
    RecordingInfo,
)

__all__ = [
    "AnyLine",
    "HeartRate",
    "HourlyRate",
    "LabelBurden",
    "NotPredicted",
    "RecordingLine",
    "RhythmSummary",
    "SummaryLine",
    "WindowLine",
    "WindowPrediction",
]

NotPredicted = Literal[
    "missing_samples", "invalid_signal", "flat", "too_short", "model_unavailable"
]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON, without a line's end."""
        return self.model_dump_json().encode()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able members."""
        return self.model_dump(mode="json")


class RecordingLine(_Line):
    """The first line: what is read, and who answers."""

    type: Literal["recording"] = "recording"
    id: str
    request_id: str
    recording: RecordingInfo
    model: ModelInfo | None = Field(description="Null where no model is asked.")
    window_s: float = Field(description="Length of a window; each is standardised by itself.")
    windows: int


class WindowPrediction(_Line):
    """One label's answer for a window, joined over its segments of 5 s."""

    label: str
    probability: Probability
    calibrated_probability: Probability
    positive: bool


class WindowLine(_Line):
    """One window, in the order of time."""

    type: Literal["window"] = "window"
    start_s: float
    end_s: float
    quality: Quality | None = Field(
        description="Of the leads without missing samples; null where none is, or under 1 s."
    )
    missing: dict[str, Probability] = Field(description="Part of a lead's samples that is missing.")
    r_peaks_s: list[float] = Field(description="From the start of the recording.")
    predictions: list[WindowPrediction]
    not_predicted: NotPredicted | None = Field(
        description="Why the model was asked, and gave nothing; null also where it is not asked."
    )


class HeartRate(_Line):
    """Mean over all intervals, and the least and the greatest mean of a minute."""

    mean_bpm: Measured
    min_bpm: Measured
    max_bpm: Measured


class HourlyRate(HeartRate):
    """The same for one hour, counted from the start."""

    start_s: float
    end_s: float
    measured_s: float = Field(description="Sum of the intervals that were measured.")


class RhythmSummary(_Line):
    """What the beats of the whole say, where quality allows to rely on them."""

    beats: int = Field(description="All, also those in windows of poor quality.")
    measured_s: float = Field(description="Without gaps and windows of poor quality.")
    heart_rate: HeartRate
    heart_rate_by_hour: list[HourlyRate]
    hrv: dict[str, Measured]
    anomaly_counts: dict[str, int]
    anomalies: list[Anomaly] = Field(description="Of more than 1000 the most severe and longest.")
    anomalies_omitted: int


class LabelBurden(_Line):
    """In how many of the predicted windows a label is positive."""

    label: str
    windows: int
    fraction: Probability


class SummaryLine(_Line):
    """The last line."""

    type: Literal["summary"] = "summary"
    duration_s: float
    windows: int
    windows_predicted: int
    windows_not_predicted: dict[NotPredicted, int]
    windows_acceptable: int = Field(description="Of acceptable quality.")
    rhythm: RhythmSummary
    predictions: list[Prediction] = Field(
        description="Joined over the segments of all windows, as each label says."
    )
    burden: list[LabelBurden]
    degraded: Literal["signal_only"] | None = Field(
        description="signal_only: some windows lack the predictions that were asked for."
    )
    elapsed_s: float


AnyLine = RecordingLine | WindowLine | SummaryLine
