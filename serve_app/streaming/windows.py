"""Windows of a recording: what is missing, how good the rest is, and what the model is given."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import ecg_processor_py as core
import numpy as np
import numpy.typing as npt

from serve_app.errors import InvalidSignal
from serve_app.preprocessing import SEGMENT_S, MissingLeads, check, prepare
from serve_app.recording import STANDARD_LEADS, Recording
from serve_app.reporting import ACCEPTABLE_QUALITY
from serve_app.results import LeadQualityInfo, Quality
from serve_app.streaming.lines import NotPredicted

__all__ = ["Window", "measure_windows"]

_NO_SEGMENTS: Final = np.zeros((0, 12, 2500), np.float32)
_LEAST_JUDGED_S: Final = 1.0


@dataclass(frozen=True)
class Window:
    """A window of a recording.

    Attributes:
        start: First sample, from the start of the recording.
        stop: After the last sample.
        missing: Part of its samples that a lead misses, where it misses any.
        quality: Of the leads that miss none, or for no longer than 0.2 s.
        segments: ``(segments, 12, 2500)`` float32 for the model, standardised over this window;
            none where it is not asked.
        not_predicted: Why the model cannot be asked, though that was wanted.
        refusal: Why it is no heart's signal at all.
    """

    start: int
    stop: int
    missing: dict[str, float]
    quality: Quality | None
    segments: npt.NDArray[np.float32]
    not_predicted: NotPredicted | None
    refusal: InvalidSignal | None = None

    @property
    def usable(self) -> bool:
        """Whether a lead is good enough for its beats to be relied on, as in the signal core."""
        leads = self.quality.leads.values() if self.quality else ()
        return any(lead.score >= ACCEPTABLE_QUALITY for lead in leads)


def measure_windows(
    stretch: Recording, start: int, window: int, missing_leads: MissingLeads | None
) -> list[Window]:
    """The windows of a stretch; the last may be shorter than the others.

    Args:
        stretch: Missing samples are NaN.
        start: Where it begins in the whole recording, in samples.
        window: Length, in samples.
        missing_leads: As in `serve_app.preprocessing.prepare`; None: no model will be asked.
    """
    samples = stretch.signal_mv.shape[1]
    return [
        _measure(_part(stretch, at, min(at + window, samples)), start + at, missing_leads)
        for at in range(0, samples, window)
    ]


def _part(stretch: Recording, start: int, stop: int) -> Recording:
    return replace(stretch, signal_mv=np.ascontiguousarray(stretch.signal_mv[:, start:stop]))


def _measure(part: Recording, start: int, missing_leads: MissingLeads | None) -> Window:
    absent = (~np.isfinite(part.signal_mv)).mean(axis=1).round(6)
    missing = {
        lead: float(share) for lead, share in zip(part.leads, absent, strict=True) if share > 0
    }
    segments, reason, refusal = _for_model(part, missing, missing_leads)
    stop = start + part.signal_mv.shape[1]
    return Window(start, stop, missing, _quality(part), segments, reason, refusal)


def _quality(part: Recording) -> Quality | None:
    if part.duration_s < _LEAST_JUDGED_S:
        return None
    judged = list(_without_gaps(part))
    try:
        found = core.signal_quality(np.stack([row for _, row in judged]), part.fs_hz)
    except (ValueError, core.InvalidSignalError):  # no lead is left, or none is a heart's
        return None
    leads = {
        name: LeadQualityInfo(score=lead.score, issues=list(lead.issues))
        for (name, _), lead in zip(judged, found.leads, strict=True)
    }
    return Quality(score=found.score, acceptable=found.score >= ACCEPTABLE_QUALITY, leads=leads)


def _without_gaps(part: Recording) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The leads that can be judged: short gaps are bridged for that."""
    for name, row in zip(part.leads, part.signal_mv, strict=True):
        if np.isfinite(row).all():
            yield name, row
        elif np.isfinite(row).any():
            try:
                yield name, core.fill_gaps(np.where(np.isfinite(row), row, np.nan), part.fs_hz)[0]
            except core.InvalidSignalError:
                continue


def _for_model(
    part: Recording, missing: dict[str, float], missing_leads: MissingLeads | None
) -> tuple[npt.NDArray[np.float32], NotPredicted | None, InvalidSignal | None]:
    if missing_leads is None:
        return _NO_SEGMENTS, None, _refusal(part) if not missing else None
    present = [lead for lead in part.leads if lead in STANDARD_LEADS]
    # The standard leads come first; what others miss is no matter to the model.
    own = replace(part, signal_mv=part.signal_mv[: len(present)], leads=tuple(present))
    reason: NotPredicted | None = None
    if any(lead in missing for lead in present):
        reason = "missing_samples"
    elif part.duration_s < SEGMENT_S:
        reason = "too_short"
    elif not np.ptp(own.signal_mv, axis=1).any():
        reason = "flat"
    if reason:
        return _NO_SEGMENTS, reason, None
    try:
        check(own)
        return prepare(own, missing_leads).segments, None, None
    except InvalidSignal as error:
        return _NO_SEGMENTS, "invalid_signal", error


def _refusal(part: Recording) -> InvalidSignal | None:
    try:
        check(part)
    except InvalidSignal as error:
        return error
    return None
