"""A long recording, answered line by line as it is read."""

import asyncio
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

import ecg_processor_py as core
import numpy as np
import numpy.typing as npt

from serve_app.engine.protocol import EngineInfo
from serve_app.errors import InvalidParameter, ModelUnavailable
from serve_app.pipeline import Options, Pipeline
from serve_app.preprocessing import SEGMENT_S, check_leads
from serve_app.recording import Recording
from serve_app.reporting import Answer, model_info, predictions
from serve_app.results import Prediction, RecordingInfo
from serve_app.streaming.beats import BeatTracker
from serve_app.streaming.lines import (
    AnyLine,
    LabelBurden,
    NotPredicted,
    RecordingLine,
    SummaryLine,
    WindowLine,
    WindowPrediction,
)
from serve_app.streaming.rhythm import RhythmHistory
from serve_app.streaming.source import LongRecording
from serve_app.streaming.windows import Window, measure_windows

__all__ = ["WINDOW_S", "follow"]

# What ECG-FM was trained on: 10 s, standardised as a whole, in segments of 5 s.
WINDOW_S: Final = 10.0
_LONGEST_WINDOW_S: Final = 300.0
_BLOCK_S: Final = 160.0
# Blocks that wait for the model while the next is measured.
_IN_FLIGHT: Final = 3


@dataclass(frozen=True)
class _Block:
    windows: list[Window]
    asked: asyncio.Task[Answer | None] | None


async def follow(
    recording: LongRecording,
    pipeline: Pipeline,
    *,
    options: Options | None = None,
    window_s: float = WINDOW_S,
    request_id: str | None = None,
) -> AsyncGenerator[AnyLine, None]:
    """First what is read, then each window in the order of time, then the summary of all.

    Of the recording a few minutes are in memory at any time. Only the model has a deadline, and a
    new one for each block of 160 s or a window.

    Args:
        recording: Open for as long as lines are taken.
        pipeline: Whose model is asked, under its settings for when that fails.
        options: Which model, and what it is given for leads that are missing; None: no model.
        window_s: A multiple of 5 s, up to 300 s; each window is standardised by itself.
        request_id: The caller's, or one is made.

    Raises:
        InvalidParameter: Such a window cannot be.
        RecordingError: No heart's signal from the start on, leads are missing, or the file is
            damaged further inside.
        Unavailable: The model cannot be reached, or too much is waiting.
        InferenceTimeout: The deadline of a block passed.
    """
    if not (SEGMENT_S <= window_s <= _LONGEST_WINDOW_S and window_s % SEGMENT_S == 0):
        raise InvalidParameter("window_s must be a multiple of 5, from 5 to 300.")
    if options:
        check_leads(recording.leads, options.missing_leads)
    model = await pipeline.answering(options) if options else None
    following = _Following(recording, pipeline, options, window_s, model)
    blocks = following.blocks()
    try:
        # Before anything is told: what is no heart's signal is an error, not an answer.
        first = await anext(blocks, None)
        yield following.opening(request_id or uuid.uuid4().hex)
        waiting = deque([first] if first else [])
        async for block in blocks:
            waiting.append(block)
            if len(waiting) > _IN_FLIGHT:
                for line in await following.lines_of(waiting.popleft()):
                    yield line
        while waiting:
            for line in await following.lines_of(waiting.popleft()):
                yield line
        yield await asyncio.to_thread(following.summary)
    finally:
        await blocks.aclose()
        await following.stop()


class _Following:
    """What is known so far of one recording that is being read."""

    def __init__(
        self,
        recording: LongRecording,
        pipeline: Pipeline,
        options: Options | None,
        window_s: float,
        model: EngineInfo | None,
    ) -> None:
        self._recording = recording
        self._pipeline = pipeline
        self._options = options
        self._model = model
        self._window_s = window_s
        self._window = round(window_s * recording.fs_hz)
        self._tracker = BeatTracker(recording.fs_hz, len(recording.leads))
        self._rhythm = RhythmHistory(recording.fs_hz)
        self._counts: Counter[NotPredicted | None] = Counter()
        self._acceptable = self._windows = 0
        self._positive: Counter[str] = Counter()
        self._probabilities: list[npt.NDArray[np.float32]] = []
        self._asked: set[asyncio.Task[Answer | None]] = set()
        self._started_s = time.perf_counter()

    async def blocks(self) -> AsyncGenerator[_Block, None]:
        """Read and measure a block after the other; the model is asked of each at once."""
        size = self._window * max(1, int(_BLOCK_S / self._window_s))
        for start in range(0, self._recording.samples, size):
            stop = min(start + size, self._recording.samples)
            stretch = await asyncio.to_thread(self._recording.read, start, stop)
            windows = await self._measured(stretch, start)
            if start == 0:
                _refuse_foreign(windows)
            yield _Block(windows, self._ask(windows))
        self._rhythm.add(await asyncio.to_thread(self._tracker.end_stretch))

    async def _measured(self, stretch: Recording, start: int) -> list[Window]:
        """Beats are found one after the other, windows beside that in another thread."""
        zeros = self._options.missing_leads if self._options else None
        beats, windows = await asyncio.gather(
            asyncio.to_thread(self._track, stretch),
            asyncio.to_thread(measure_windows, stretch, start, self._window, zeros),
        )
        self._rhythm.add(beats)
        for window in windows:
            if window.usable:
                self._rhythm.add_usable(window.start, window.stop)
        return windows

    def _track(self, stretch: Recording) -> list[core.Beat]:
        # By windows: an artefact that the signal core refuses takes no more than that with it.
        starts = range(0, stretch.signal_mv.shape[1], self._window)
        pieces = (stretch.signal_mv[:, at : at + self._window] for at in starts)
        return [beat for piece in pieces for beat in self._tracker.push(piece)]

    def _ask(self, windows: list[Window]) -> asyncio.Task[Answer | None] | None:
        segments = np.concatenate([window.segments for window in windows])
        if self._options is None or not len(segments):
            return None
        asked = asyncio.create_task(self._pipeline.ask(segments, self._options))
        self._asked.add(asked)
        asked.add_done_callback(self._forget)
        return asked

    def _forget(self, asked: asyncio.Task[Answer | None]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled():
            asked.exception()  # seen: an error before it ends the answer, or this one did

    async def stop(self) -> None:
        """Ask no more: nobody takes the answers."""
        for asked in list(self._asked):
            asked.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)

    def opening(self, request_id: str) -> RecordingLine:
        """The first line."""
        known = self._recording
        zeros = self._options is not None and self._options.missing_leads == "zero"
        return RecordingLine(
            id=uuid.uuid4().hex,
            request_id=request_id,
            recording=RecordingInfo(
                format=known.format,
                fs_hz=known.fs_hz,
                duration_s=round(known.duration_s, 6),
                leads=list(known.leads),
                missing_leads=list(known.missing_leads),
                zero_filled_leads=list(known.missing_leads) if zeros else [],
                units_assumed=known.units_assumed,
                sha256=known.sha256,
            ),
            model=model_info(self._model) if self._model else None,
            window_s=self._window_s,
            windows=-(-known.samples // self._window),
        )

    async def lines_of(self, block: _Block) -> list[WindowLine]:
        """The lines of a block, once the model has answered; its beats are all known by then."""
        answer = await block.asked if block.asked else None
        if answer and self._model and answer.model.sha256 != self._model.sha256:
            raise ModelUnavailable("The model was replaced while the recording was being read.")
        return await asyncio.to_thread(self._tell, block.windows, answer)

    def _tell(self, windows: list[Window], answer: Answer | None) -> list[WindowLine]:
        lines, first = [], 0
        for window in windows:
            last = first + len(window.segments)
            found = self._predictions(answer, slice(first, last)) if answer and last > first else []
            first = last
            lines.append(self._line(window, found))
        return lines

    def _predictions(self, answer: Answer, of_window: slice) -> list[Prediction]:
        self._model = self._model or answer.model  # it may have come back only now
        probabilities = answer.scores.probabilities[of_window]
        self._probabilities.append(probabilities)
        found = predictions(probabilities, answer.model.labels)
        self._positive.update(each.label for each in found if each.positive)
        return found

    def _line(self, window: Window, found: list[Prediction]) -> WindowLine:
        reason = window.not_predicted
        if self._options and not found and reason is None:
            reason = "model_unavailable"
        self._windows += 1
        self._counts[reason] += 1
        self._acceptable += bool(window.quality and window.quality.acceptable)
        fs_hz = self._recording.fs_hz
        return WindowLine(
            start_s=round(window.start / fs_hz, 6),
            end_s=round(window.stop / fs_hz, 6),
            quality=window.quality,
            missing=window.missing,
            r_peaks_s=self._rhythm.times_s(window.start, window.stop),
            predictions=[
                WindowPrediction(
                    label=each.label,
                    probability=each.probability,
                    calibrated_probability=each.calibrated_probability,
                    positive=each.positive,
                )
                for each in found
            ],
            not_predicted=reason,
        )

    def summary(self) -> SummaryLine:
        """The last line."""
        predicted = len(self._probabilities)
        joined = (
            predictions(np.concatenate(self._probabilities), self._model.labels)
            if self._model and predicted
            else []
        )
        return SummaryLine(
            duration_s=round(self._recording.duration_s, 6),
            windows=self._windows,
            windows_predicted=predicted,
            windows_not_predicted={k: n for k, n in sorted(self._counts.items(), key=str) if k},
            windows_acceptable=self._acceptable,
            rhythm=self._rhythm.summary(self._tracker.stretches, self._recording.duration_s),
            predictions=joined,
            burden=[
                LabelBurden(
                    label=each.label,
                    windows=self._positive[each.label],
                    fraction=self._positive[each.label] / predicted,
                )
                for each in joined
            ],
            degraded="signal_only" if self._counts["model_unavailable"] else None,
            elapsed_s=round(time.perf_counter() - self._started_s, 3),
        )


def _refuse_foreign(windows: list[Window]) -> None:
    """Where no window of the first block is a heart's signal, the rest will be none either."""
    refusals = [window.refusal for window in windows if not window.missing]
    if refusals and all(refusals) and refusals[0]:
        raise refusals[0]
