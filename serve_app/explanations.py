"""Recording and saliency -> Explanation, the answer of /v1/explain."""

import io
import uuid
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from serve_app.engine.explaining import Saliency, Wish
from serve_app.preprocessing import SEGMENT_S, Prepared
from serve_app.recording import STANDARD_LEADS, Recording
from serve_app.reporting import model_info, recording_info
from serve_app.results import ModelInfo, RecordingInfo, Timing, _Answer, _Frozen

__all__ = ["Explanation", "SegmentSaliency", "make_explanation"]

# float32 carries no more; a gradient of 1e-7 must not become 0.
_DIGITS = 6


class SegmentSaliency(_Frozen):
    """One segment of 5 s."""

    start_s: float
    end_s: float
    values: list[float] | list[list[float]] = Field(
        description="Of attention one a token; else one list a lead, in the order of `leads`, with "
        "a value each resolution_ms."
    )
    logit: float | None = Field(description="Of the label in this segment; null for attention.")
    baseline_logit: float | None = Field(
        description="Of the label, for the segment with its beats smoothed away, where integrated "
        "gradients start; null for other methods."
    )
    completeness_error: float | None = Field(
        description="By how much the sum of integrated gradients misses logit - baseline_logit; "
        "more steps make it smaller. Null for other methods."
    )


class Explanation(_Answer):
    """What moved a label's logit, or where the model's attention went."""

    id: str
    created_at: datetime
    request_id: str
    model: ModelInfo = Field(description="As it was run for this: always fp32 in torch.")
    recording: RecordingInfo
    method: Literal["attention", "gradient", "integrated_gradients"]
    label: str | None = Field(description="Null for attention, which knows no label.")
    steps: int | None = Field(description="Of integrated gradients, for a segment at most.")
    leads: list[str] = Field(description="Of the values; none for attention.")
    resolution_ms: float = Field(description="From one value to the next.")
    segments: list[SegmentSaliency]
    timing_ms: Timing

    def to_array(self) -> npt.NDArray[np.float32]:
        """``(segments, tokens)`` of attention, else ``(segments, leads, bins)``; float32."""
        return np.array([segment.values for segment in self.segments], np.float32)

    def to_npy(self) -> bytes:
        """The same array in NumPy's file format."""
        file = io.BytesIO()
        np.save(file, self.to_array(), allow_pickle=False)
        return file.getvalue()


def make_explanation(
    recording: Recording,
    prepared: Prepared,
    wish: Wish,
    found: Saliency,
    *,
    timing: Timing,
    request_id: str | None = None,
) -> Explanation:
    """The answer to one recording.

    Args:
        recording: As decoded.
        prepared: The model's input.
        wish: What was asked.
        found: What the model gave.
        timing: Where the time went.
        request_id: The caller's, or one is made.
    """
    return Explanation(
        id=uuid.uuid4().hex,
        created_at=datetime.now(UTC),
        request_id=request_id or uuid.uuid4().hex,
        model=model_info(found.model),
        recording=recording_info(recording, prepared),
        method=wish.method,
        label=found.label,
        steps=found.steps,
        leads=list(STANDARD_LEADS) if found.values.ndim == 3 else [],
        resolution_ms=found.resolution_ms,
        segments=[
            SegmentSaliency(
                start_s=i * SEGMENT_S,
                end_s=(i + 1) * SEGMENT_S,
                values=_short(values),
                logit=_at(found.logits, i),
                baseline_logit=_at(found.baseline_logits, i),
                completeness_error=_at(found.errors, i),
            )
            for i, values in enumerate(found.values)
        ],
        timing_ms=timing,
    )


def _at(values: npt.NDArray[np.float32] | None, i: int) -> float | None:
    return None if values is None else float(values[i])


def _short(values: npt.NDArray[np.float32]) -> list[float] | list[list[float]]:
    """As JSON numbers of six digits: a third of the bytes of all that a double would print."""
    flat = [float(f"{value:.{_DIGITS}g}") for value in values.ravel().tolist()]
    if values.ndim == 1:
        return flat
    width = values.shape[1]
    return [flat[first : first + width] for first in range(0, len(flat), width)]
