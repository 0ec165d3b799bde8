"""Recording, analysis and scores -> Result or Embedding."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

import ecg_processor_py as core
import numpy as np
import numpy.typing as npt

from serve_app.engine.identity import Identity
from serve_app.engine.protocol import EngineInfo, Scores
from serve_app.model.labels import Label, calibrated, join_segments
from serve_app.preprocessing import SEGMENT_S, Measured, Prepared
from serve_app.recording import Recording
from serve_app.results import (
    Analysis,
    Anomaly,
    Embedding,
    LabelInfo,
    LeadQualityInfo,
    ModelCard,
    ModelInfo,
    Prediction,
    Quality,
    RecordingInfo,
    Result,
    SegmentScores,
    Timing,
)

__all__ = [
    "ACCEPTABLE_QUALITY",
    "Answer",
    "Scored",
    "make_embedding",
    "make_result",
    "model_card",
    "model_info",
    "predictions",
    "recording_info",
]

ACCEPTABLE_QUALITY = 0.5


@dataclass(frozen=True)
class Answer:
    """What a model gave for the segments of one recording, and how long it took."""

    scores: Scores
    model: EngineInfo
    queue_ms: float
    inference_ms: float


@dataclass(frozen=True)
class Scored:
    """What a model said of one recording, and nothing else.

    Attributes:
        recording: As decoded.
        prepared: What the model was given.
        answer: One row of scores for each segment.
        timing_ms: Where the time went.
    """

    recording: Recording
    prepared: Prepared
    answer: Answer
    timing_ms: Timing


def make_result(
    recording: Recording,
    measured: Measured,
    *,
    timing: Timing,
    request_id: str | None = None,
    prepared: Prepared | None = None,
    answer: Answer | None = None,
    show_analysis: bool = True,
    show_embedding: bool = False,
    degraded: Literal["signal_only"] | None = None,
) -> Result:
    """The answer to one recording.

    Args:
        recording: As decoded.
        measured: By the signal core; the quality is always reported.
        timing: Where the time went.
        request_id: The caller's, or one is made.
        prepared: The model's input, where a model was asked.
        answer: The model's output, where one was asked.
        show_analysis: Whether beats and rhythm are reported.
        show_embedding: Whether the pooled features, averaged over the segments, are reported.
        degraded: What the answer lacks that was asked for.
    """
    scores = answer.scores if answer else None
    return Result(
        id=uuid.uuid4().hex,
        created_at=datetime.now(UTC),
        request_id=request_id or uuid.uuid4().hex,
        model=model_info(answer.model) if answer else None,
        recording=recording_info(recording, prepared),
        quality=_quality(recording, measured),
        predictions=predictions(scores.probabilities, answer.model.labels)
        if answer and scores
        else [],
        segments=_segments(scores.probabilities) if scores else [],
        embedding=_mean_embedding(scores) if scores and show_embedding else None,
        analysis=_analysis(recording, measured.analysis) if show_analysis else None,
        timing_ms=timing,
        degraded=degraded,
    )


def make_embedding(
    recording: Recording,
    prepared: Prepared,
    answer: Answer,
    *,
    timing: Timing,
    request_id: str | None = None,
) -> Embedding:
    """The pooled features of one recording.

    Args:
        recording: As decoded.
        prepared: The model's input.
        answer: The model's output.
        timing: Where the time went.
        request_id: The caller's, or one is made.
    """
    return Embedding(
        id=uuid.uuid4().hex,
        created_at=datetime.now(UTC),
        request_id=request_id or uuid.uuid4().hex,
        model=model_info(answer.model),
        recording=recording_info(recording, prepared),
        embedding=_mean_embedding(answer.scores),
        segments=answer.scores.embeddings.tolist(),
        timing_ms=timing,
    )


def predictions(
    probabilities: npt.NDArray[np.float32], labels: Sequence[Label]
) -> list[Prediction]:
    """One Prediction a label, joined over the segments as each label says.

    Args:
        probabilities: ``(segments, labels)``, the model's sigmoid outputs.
        labels: In the order of the outputs.
    """
    joined = join_segments(probabilities, labels)
    corrected = calibrated(joined, labels)
    return [
        Prediction(
            label=label.name,
            probability=probability,
            calibrated_probability=calibrated_probability,
            threshold=label.threshold,
            positive=probability >= label.threshold,
            noisy_label=label.noisy,
            calibration=label.calibration,
        )
        for label, probability, calibrated_probability in zip(
            labels, joined.tolist(), corrected.tolist(), strict=True
        )
    ]


def model_info(info: EngineInfo) -> ModelInfo:
    """The part of what is known of a model that goes into each Result."""
    return ModelInfo(
        name=info.name,
        revision=info.revision,
        sha256=info.sha256,
        precision=info.precision,
        engine=info.engine,
        demo=info.demo,
    )


def model_card(info: EngineInfo | Identity, *, default: bool) -> ModelCard:
    """All that is known of a model, loaded or not."""
    if isinstance(info, Identity):
        return _unloaded_card(info, default=default)
    return ModelCard(
        **model_info(info).model_dump(),
        default=default,
        loaded=True,
        commit=info.commit,
        source=info.source,
        labels=[label.name for label in info.labels],
        label_details=[
            LabelInfo(**asdict(label), calibration=label.calibration) for label in info.labels
        ],
        loaded_at=info.loaded_at,
        fs_hz=info.fs_hz,
        segment_samples=info.segment_samples,
        embedding_dim=info.embedding_dim,
        max_batch=info.max_batch,
        threads=info.threads,
    )


def _unloaded_card(known: Identity, *, default: bool) -> ModelCard:
    return ModelCard(
        name=known.name,
        revision=known.revision,
        sha256=known.sha256,
        source=known.source,
        commit=known.commit,
        default=default,
        loaded=False,
        loaded_at=None,
        precision=None,
        engine=None,
        demo=None,
        labels=[],
        label_details=[],
        fs_hz=None,
        segment_samples=None,
        embedding_dim=None,
        max_batch=None,
        threads=None,
    )


def recording_info(recording: Recording, prepared: Prepared | None) -> RecordingInfo:
    """The part of what was sent that goes into each answer; ``prepared`` where a model is asked."""
    return RecordingInfo(
        format=recording.format,
        fs_hz=recording.fs_hz,
        duration_s=round(recording.duration_s, 6),
        leads=list(recording.leads),
        missing_leads=list(recording.missing_leads),
        zero_filled_leads=list(prepared.zero_filled_leads) if prepared else [],
        unpredicted_s=round(prepared.unpredicted_s, 6) if prepared else 0.0,
        units_assumed=recording.units_assumed,
        sha256=recording.sha256,
    )


def _quality(recording: Recording, measured: Measured) -> Quality:
    analysis = measured.analysis
    leads = {
        name: LeadQualityInfo(score=lead.score, issues=list(lead.issues), snr_db=round(ratio_db, 2))
        for name, lead, ratio_db in zip(
            recording.leads, analysis.lead_quality, measured.snr_db.tolist(), strict=True
        )
    }
    score = analysis.signal_quality
    return Quality(score=score, acceptable=score >= ACCEPTABLE_QUALITY, leads=leads)


def _mean_embedding(scores: Scores) -> list[float]:
    mean: list[float] = scores.embeddings.mean(axis=0).tolist()
    return mean


def _segments(probabilities: npt.NDArray[np.float32]) -> list[SegmentScores]:
    return [
        SegmentScores(start_s=i * SEGMENT_S, end_s=(i + 1) * SEGMENT_S, probabilities=row)
        for i, row in enumerate(probabilities.tolist())
    ]


def _analysis(recording: Recording, analysis: core.ECGAnalysisResult) -> Analysis:
    return Analysis(
        heart_rate_bpm=analysis.heart_rate,
        r_peaks_s=(analysis.qrs_peaks / recording.fs_hz).round(6).tolist(),
        rr_intervals_ms=analysis.rr_intervals.round(3).tolist(),
        hrv=asdict(analysis.hrv_metrics) if analysis.hrv_metrics else {},
        intervals={},
        anomalies=[Anomaly(**asdict(anomaly)) for anomaly in analysis.anomalies],
        backend=analysis.processing_backend,
        algorithm_version=analysis.algorithm_version,
    )
