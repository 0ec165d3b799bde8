"""A live stream: beats at once, a Result each 5 s, a summary at the end."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Final

import ecg_processor_py as core
import numpy as np
import numpy.typing as npt

from serve_app.errors import InvalidSignal, PayloadTooLarge
from serve_app.pipeline import Options, Pipeline
from serve_app.preprocessing import SEGMENT_S, Prepared, check, check_leads, measure, prepare
from serve_app.recording import Recording, make_recording, standard_lead_name
from serve_app.reporting import ACCEPTABLE_QUALITY, Answer, make_result, model_info
from serve_app.results import Result, SegmentScores, Timing
from serve_app.stopwatch import Stopwatch
from serve_app.streaming.beats import BeatTracker
from serve_app.streaming.events import (
    BeatEvent,
    ResultEvent,
    StartedEvent,
    StartMessage,
    SummaryEvent,
)
from serve_app.streaming.lines import NotPredicted
from serve_app.streaming.rhythm import RhythmHistory
from serve_app.streaming.windows import measure_windows

__all__ = ["LiveStream"]

Signal = npt.NDArray[np.float32]
Emit = Callable[[StartedEvent | BeatEvent | ResultEvent | SummaryEvent], Awaitable[None]]

# What ECG-FM was trained on: recordings of 10 s, standardised as a whole.
_WINDOW_S: Final = 10.0


class LiveStream:
    """One client's stream.

    Args:
        start: What the client said at first.
        pipeline: Whose model is asked, under its settings for when that fails.
        emit: Takes the events, one after the other; where it waits, the stream waits.
        request_id: Names the stream.
        longest_s: How long it may last.

    Raises:
        InvalidSignal: Leads that the model cannot be asked of, or named twice.
    """

    def __init__(
        self,
        start: StartMessage,
        pipeline: Pipeline,
        emit: Emit,
        request_id: str,
        longest_s: float,
    ) -> None:
        self._fs_hz = start.fs_hz
        self._leads = [standard_lead_name(name) for name in start.leads]
        self._per_mv = np.float32(1.0 if start.units == "mV" else 1e3)
        self._options = (
            Options(missing_leads=start.missing_leads, model=start.model, precision=start.precision)
            if start.predictions
            else None
        )
        self._recording(np.zeros((len(self._leads), 1), np.float32))  # refuses names
        if self._options:
            check_leads(self._leads, self._options.missing_leads)
        self._pipeline = pipeline
        self._emit = emit
        self._request_id = request_id
        self._longest_s = longest_s
        self._step = round(SEGMENT_S * start.fs_hz)
        self._longest = round(_WINDOW_S * start.fs_hz)
        self._past: list[Signal] = []
        self._tracker = BeatTracker(start.fs_hz, len(self._leads))
        self._rhythm = RhythmHistory(start.fs_hz)
        self._results = 0
        self._concluding: asyncio.Task[None] | None = None
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def leads(self) -> int:
        """Rows of what is pushed."""
        return len(self._leads)

    @property
    def duration_s(self) -> float:
        """What has come so far."""
        return self._tracker.position / self._fs_hz

    async def begin(self) -> None:
        """Tell that samples may come, and which model answers.

        Raises:
            ModelUnavailable: It cannot be reached, and settings want no answers without it.
            RequestError: No such model, or not in this precision.
        """
        model = await self._pipeline.answering(self._options) if self._options else None
        await self._emit(
            StartedEvent(
                request_id=self._request_id,
                leads=self._leads,
                model=model_info(model) if model else None,
            )
        )

    async def push(self, signal: Signal) -> None:
        """Take the next samples ``(leads, samples)`` in the client's units, NaN where missing.

        Returns once their beats are told, and at most one Result is still being made: who sends
        faster than that waits.

        Raises:
            PayloadTooLarge: The stream lasts longer than it may.
            EcgServeError: What came of the Result before.
        """
        if self.duration_s > self._longest_s:
            raise PayloadTooLarge(
                f"The stream lasts longer than {self._longest_s / 3600:g} h.",
                hint="Begin another one.",
            )
        for piece in self._to_next_results(signal / self._per_mv):
            await self._tell_beats(await asyncio.to_thread(self._tracker.push, piece))
            self._past.append(piece)
            if self._tracker.position % self._step == 0:
                await self._conclude()

    async def _tell_beats(self, beats: list[core.Beat]) -> None:
        self._rhythm.add(beats)
        for beat in beats:
            await self._emit(
                BeatEvent(
                    time_s=round(beat.time_s, 6),
                    rr_ms=beat.rr_ms,
                    heart_rate_bpm=beat.heart_rate,
                    confidence=round(beat.confidence, 4),
                    premature=beat.premature,
                )
            )

    def _to_next_results(self, signal_mv: Signal) -> Iterator[Signal]:
        """Pieces, each of which ends with the signal or where a Result is due."""
        while signal_mv.shape[1]:
            size = self._step - self._tracker.position % self._step
            yield signal_mv[:, :size]
            signal_mv = signal_mv[:, size:]

    async def finish(self) -> None:
        """The client's end: the last beats, the Result that is being made, and the summary."""
        await self._tell_beats(await asyncio.to_thread(self._tracker.end_stretch))
        if self._concluding:
            await self._concluding
        await self._measure_remainder()
        rhythm = await asyncio.to_thread(
            self._rhythm.summary, self._tracker.stretches, self.duration_s
        )
        await self._emit(
            SummaryEvent(duration_s=round(self.duration_s, 6), results=self._results, rhythm=rhythm)
        )

    async def _measure_remainder(self) -> None:
        """Let the summary count what came after the last Result, if the last 10 s are good."""
        stop = self._tracker.position
        remainder = stop % self._step
        if not remainder:
            return
        window = self._last_window()
        recording = self._recording(window)
        (measured,) = await asyncio.to_thread(measure_windows, recording, 0, window.shape[1], None)
        if measured.usable and not measured.missing:  # as for each Result
            self._rhythm.add_usable(stop - remainder, stop)

    async def stop(self) -> None:
        """Make no more Results: nobody takes them."""
        if self._concluding:
            self._concluding.cancel()
            await asyncio.gather(self._concluding, return_exceptions=True)

    async def _conclude(self) -> None:
        if self._concluding:
            await self._concluding
        window = self._last_window()
        self._past = [window[:, -(self._longest - self._step) :]]
        self._concluding = asyncio.create_task(self._tell_result(window, self._tracker.position))
        self._concluding.add_done_callback(self._note_failure)

    def _last_window(self) -> Signal:
        return np.concatenate(self._past, axis=1)[:, -self._longest :]

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self.broken.done():
            self.broken.set_exception(error)
            self.broken.exception()  # told by whoever waits; no warning where nobody does

    async def _tell_result(self, window: Signal, stop: int) -> None:
        start = stop - window.shape[1]
        result, reason = await self._result(self._recording(window))
        leads = result.quality.leads.values() if result else ()
        if any(lead.score >= ACCEPTABLE_QUALITY for lead in leads):
            self._rhythm.add_usable(stop - self._step, stop)
        self._results += 1
        await self._emit(
            ResultEvent(
                start_s=round(start / self._fs_hz, 6),
                end_s=round(stop / self._fs_hz, 6),
                not_predicted=reason,
                result=result,
            )
        )

    async def _result(self, recording: Recording) -> tuple[Result | None, NotPredicted | None]:
        """The last 5 s predicted, the whole window analysed; or why not."""
        watch = Stopwatch()
        if not np.isfinite(recording.signal_mv).all():
            return None, "missing_samples"
        try:
            check(recording)
            measured = await asyncio.to_thread(measure, recording)
        except InvalidSignal:
            return None, "invalid_signal"
        prepared = await asyncio.to_thread(self._prepared, recording) if self._options else None
        preprocess_ms = watch.lap_ms()
        answer = (
            await self._pipeline.ask(prepared.segments, self._options)
            if self._options and prepared
            else None
        )
        result = make_result(
            recording,
            measured,
            timing=_timing(watch, preprocess_ms, answer),
            request_id=self._request_id,
            prepared=prepared if answer else None,
            answer=answer,
            degraded="signal_only" if prepared and not answer else None,
        )
        if not self._options or answer:
            return _placed(result, recording.duration_s), None
        return result, "model_unavailable" if prepared else "flat"

    def _prepared(self, recording: Recording) -> Prepared | None:
        """The last segment, standardised over the window; None where every lead is flat."""
        assert self._options is not None  # noqa: S101 - asked with options only
        with suppress(InvalidSignal):
            prepared = prepare(recording, self._options.missing_leads)
            return Prepared(prepared.segments[-1:], prepared.zero_filled_leads, 0.0)
        return None

    def _recording(self, window_mv: Signal) -> Recording:
        return make_recording(
            window_mv,
            fs_hz=self._fs_hz,
            leads=self._leads,
            format="stream",
            sha256=hashlib.sha256(window_mv.tobytes()).hexdigest(),
        )


def _timing(watch: Stopwatch, preprocess_ms: float, answer: Answer | None) -> Timing:
    return Timing(
        decode=0.0,
        preprocess=preprocess_ms,
        queue=answer.queue_ms if answer else 0.0,
        inference=answer.inference_ms if answer else 0.0,
        total=watch.total_ms(),
    )


def _placed(result: Result, duration_s: float) -> Result:
    """With its one segment where it is: at the window's end."""
    end = [
        SegmentScores(
            start_s=duration_s - SEGMENT_S, end_s=duration_s, probabilities=each.probabilities
        )
        for each in result.segments
    ]
    return result.model_copy(update={"segments": end})
