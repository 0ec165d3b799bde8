"""What goes over a live stream: the client's messages, and the events that it gets."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve_app.results import Measured, ModelInfo, Result
from serve_app.streaming.lines import NotPredicted, RhythmSummary

__all__ = [
    "BeatEvent",
    "ErrorEvent",
    "Event",
    "ResultEvent",
    "StartMessage",
    "StartedEvent",
    "SummaryEvent",
    "start_faults",
]


class StartMessage(BaseModel):
    """A client's first message."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    type: Literal["start"] = "start"
    fs_hz: float = Field(ge=100, le=2000, allow_inf_nan=False)
    leads: list[Annotated[str, Field(min_length=1, max_length=40)]] = Field(
        min_length=1, max_length=100, description="A name for each row of what follows."
    )
    units: Literal["mV", "uV"] = "mV"
    predictions: bool = Field(True, description="False: no model is asked.")
    missing_leads: Literal["refuse", "zero"] = "refuse"
    model: str | None = Field(None, max_length=500)
    precision: str | None = Field(None, max_length=20)


def start_faults(error: ValidationError) -> list[dict[str, str]]:
    """What is wrong with a start, for people: ``field`` and ``message`` of each fault."""
    return [
        {"field": ".".join(map(str, item["loc"])), "message": item["msg"]}
        for item in error.errors(include_url=False, include_input=False)
    ]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def to_json(self) -> str:
        """Compact JSON."""
        return self.model_dump_json()


class StartedEvent(_Event):
    """The answer to a start: samples may come now."""

    type: Literal["started"] = "started"
    request_id: str
    leads: list[str] = Field(description="By their standard names, in the client's order.")
    model: ModelInfo | None = Field(description="Null where none is asked.")


class BeatEvent(_Event):
    """A beat, about 0.4 s of signal after its R peak."""

    type: Literal["beat"] = "beat"
    time_s: float = Field(description="R peak, from the first sample of the stream.")
    rr_ms: Measured = Field(description="From the beat before; null after a gap.")
    heart_rate_bpm: Measured = Field(description="Over the last eight intervals.")
    confidence: float
    premature: bool


class ResultEvent(_Event):
    """Each 5 s: the last 10 s, analysed and standardised as one recording."""

    type: Literal["result"] = "result"
    start_s: float = Field(description="Of the window; times in `result` count from here.")
    end_s: float
    not_predicted: NotPredicted | None
    result: Result | None = Field(
        description="Its predictions are of the last 5 s. Null where samples are missing, or no "
        "heart's."
    )


class SummaryEvent(_Event):
    """The last event, after the client's end."""

    type: Literal["summary"] = "summary"
    duration_s: float
    results: int
    rhythm: RhythmSummary


class ErrorEvent(BaseModel):
    """Why the server ends the stream: a problem document; the connection is closed next."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: Literal["error"] = "error"
    code: str
    title: str
    status: int
    detail: str
    hint: str
    request_id: str


Event = Annotated[
    StartedEvent | BeatEvent | ResultEvent | SummaryEvent | ErrorEvent,
    Field(discriminator="type"),
]
