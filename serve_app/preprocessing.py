"""Recording -> Prepared: what the model is given, and what the signal core measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import ecg_processor_py as core
import numpy as np
import numpy.typing as npt

from serve_app.errors import InvalidSignal
from serve_app.recording import STANDARD_LEADS, Recording, lead_list

__all__ = [
    "MODEL_FS_HZ",
    "SEGMENT_S",
    "Measured",
    "MissingLeads",
    "Prepared",
    "analyze",
    "check",
    "check_leads",
    "check_rate",
    "measure",
    "prepare",
]

MODEL_FS_HZ: Final = 500.0
SEGMENT_S: Final = 5.0
# Above any heart with any electrode offset; microvolts read as millivolts come to hundreds.
_LARGEST_SPAN_MV: Final = 200.0
_FS_RANGE_HZ: Final = (100.0, 2000.0)
# The signal core's own least.
_LEAST_ANALYSED_S: Final = 1.0

MissingLeads = Literal["refuse", "zero"]

_analyzer = core.ECGAnalyzerFFI()


@dataclass(frozen=True)
class Prepared:
    """The model's input for one recording.

    Attributes:
        segments: ``(segments, 12, 2500)`` float32, standardised, 500 Hz.
        zero_filled_leads: Leads the recording lacks, given as zeros because that was asked for.
        unpredicted_s: Length of the remainder that fills no segment.
    """

    segments: npt.NDArray[np.float32]
    zero_filled_leads: tuple[str, ...]
    unpredicted_s: float


@dataclass(frozen=True)
class Measured:
    """What the signal core says of a recording.

    Attributes:
        analysis: Beats, rhythm and quality.
        snr_db: ``(leads,)`` float64, NaN where it cannot be told.
    """

    analysis: core.ECGAnalysisResult
    snr_db: npt.NDArray[np.float64]


def check(recording: Recording) -> None:
    """Refuse what cannot be a heart's signal, or cannot be worked on.

    Raises:
        InvalidSignal: A sampling rate outside 100-2000 Hz, samples that are not finite, or an
            amplitude that no heart has.
    """
    check_rate(recording.fs_hz)
    # One pass serves both checks: a span is finite exactly when its lead is.
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told below
        spans_mv = np.ptp(recording.signal_mv, axis=1)
    broken = [
        lead for lead, span in zip(recording.leads, spans_mv, strict=True) if not np.isfinite(span)
    ]
    if broken:
        raise InvalidSignal(
            f"Missing or non-finite samples (NaN, Inf) in: {lead_list(broken)}.",
            hint="Cut the gap out or interpolate it, and send the recording again.",
            extra={"leads": broken},
        )
    huge = [
        lead
        for lead, span in zip(recording.leads, spans_mv, strict=True)
        if span > _LARGEST_SPAN_MV
    ]
    if huge:
        raise InvalidSignal(
            f"More than {_LARGEST_SPAN_MV:g} mV from peak to peak in: {lead_list(huge)}.",
            hint="No heart does that. If the samples are microvolts, say units=uV.",
            extra={"leads": huge},
        )


def check_rate(fs_hz: float) -> None:
    """Refuse, as InvalidSignal, a sampling rate outside 100-2000 Hz."""
    low, high = _FS_RANGE_HZ
    if not low <= fs_hz <= high:
        raise InvalidSignal(
            f"A sampling rate of {fs_hz:g} Hz is outside {low:g}-{high:g} Hz.",
            hint="Check fs_hz; resample recordings outside this range first.",
        )


def check_leads(leads: Sequence[str], missing_leads: MissingLeads) -> None:
    """Refuse, as InvalidSignal, leads of which the model cannot be asked, before a sample is there.

    Args:
        leads: By their standard names.
        missing_leads: As in :func:`prepare`.
    """
    missing = [lead for lead in STANDARD_LEADS if lead not in leads]
    problems, hints = _lead_problems(missing, missing_leads)
    if problems:
        raise InvalidSignal(
            f"The model cannot be asked: {'; '.join(problems)}.",
            hint=f"Try this: {'; '.join(hints)}.",
            extra={"missing_leads": missing, "analysis_possible": True},
        )


def prepare(recording: Recording, missing_leads: MissingLeads = "refuse") -> Prepared:
    """The model's input, exactly as ECG-FM was trained: see `ecg_processor_py.prepare_ecg_fm`.

    Args:
        recording: Checked by :func:`check`.
        missing_leads: ``"refuse"``, or ``"zero"`` to give the model zeros for them.

    Raises:
        InvalidSignal: Leads are missing, the recording is shorter than a segment, or every lead
            is flat. ``extra`` says whether analysis alone is possible.
    """
    _refuse_unpredictable(recording, missing_leads)
    present = [lead for lead in recording.leads if lead in STANDARD_LEADS]
    try:
        segments = core.prepare_ecg_fm(
            recording.signal_mv[: len(present)],
            recording.fs_hz,
            present,
            missing_leads=missing_leads,
        )
    except core.InvalidSignalError as error:
        raise InvalidSignal(str(error)) from error
    return Prepared(
        segments=segments,
        zero_filled_leads=recording.missing_leads if missing_leads == "zero" else (),
        unpredicted_s=max(0.0, recording.duration_s - SEGMENT_S * len(segments)),
    )


def analyze(recording: Recording) -> core.ECGAnalysisResult:
    """Beats, rhythm and quality of a checked recording, from the signal core.

    Raises:
        InvalidSignal: The recording is shorter than a second.
    """
    if recording.duration_s < _LEAST_ANALYSED_S:
        raise InvalidSignal(
            f"{recording.duration_s:.3f} s are too short to analyse.",
            hint=f"Send at least {_LEAST_ANALYSED_S:g} s.",
        )
    config = core.ECGAnalysisConfig(sampling_rate=recording.fs_hz)
    try:
        return _analyzer.analyze(recording.signal_mv, config)
    except core.InvalidSignalError as error:
        raise InvalidSignal(str(error)) from error


def measure(recording: Recording) -> Measured:
    """All that a Result tells of a checked recording's signal.

    Raises:
        InvalidSignal: The recording is shorter than a second.
    """
    analysis = analyze(recording)
    ratios_db = core.snr_db(recording.signal_mv, recording.fs_hz, analysis.qrs_peaks)
    return Measured(analysis, ratios_db)


def _refuse_unpredictable(recording: Recording, missing_leads: MissingLeads) -> None:
    missing = recording.missing_leads
    problems, hints = _lead_problems(missing, missing_leads)
    if recording.duration_s < SEGMENT_S:
        problems.append(f"{recording.duration_s:.2f} s are shorter than one segment of 5 s")
        hints.append("send at least 5 s")
    if not np.ptp(recording.signal_mv, axis=1).any():
        problems.append("every lead is flat")
        hints.append("check the electrodes")
    if problems:
        analysis_possible = recording.duration_s >= _LEAST_ANALYSED_S
        if analysis_possible:
            hints.append("or POST /v1/analyze for signal analysis alone")
        raise InvalidSignal(
            f"The model cannot be asked: {'; '.join(problems)}.",
            hint=f"Try this: {'; '.join(hints)}.",
            extra={
                "missing_leads": list(missing),
                "duration_s": round(recording.duration_s, 3),
                "analysis_possible": analysis_possible,
            },
        )


def _lead_problems(
    missing: Sequence[str], missing_leads: MissingLeads
) -> tuple[list[str], list[str]]:
    """What is wrong with the leads, and what can be done about it."""
    if len(missing) == len(STANDARD_LEADS):
        return (
            ["none of the 12 standard leads is there"],
            ["name the leads (?leads=I,II,...) if they are standard ones"],
        )
    if missing and missing_leads == "refuse":
        return (
            [f"leads missing: {', '.join(missing)}"],
            ["add ?missing_leads=zero to give the model zeros for them"],
        )
    return [], []
