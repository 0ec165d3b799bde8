"""bytes -> Recording -> Prepared -> Scores -> Result, in this process and without Ray."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from serve_app.decoding import Hints, Limits, Upload, decode
from serve_app.engine.entries import RegistryCounts
from serve_app.engine.explaining import Saliency, Wish
from serve_app.engine.identity import Identity
from serve_app.engine.protocol import EngineInfo
from serve_app.errors import InferenceTimeout, InvalidParameter, ModelUnavailable
from serve_app.explanations import Explanation, make_explanation
from serve_app.model_client import InProcessModel, ModelClient, Segments
from serve_app.preprocessing import Measured, MissingLeads, Prepared, check, measure, prepare
from serve_app.recording import Recording
from serve_app.reporting import Answer, Scored, make_embedding, make_result
from serve_app.results import Embedding, Result, Timing
from serve_app.settings import Settings
from serve_app.stopwatch import Stopwatch

__all__ = ["Answer", "Answered", "InProcessModel", "ModelClient", "Options", "Pipeline", "Sent"]

# What a recording may come as; a function unpacks it in the thread that decodes it.
Sent = Upload | Recording | bytes | Callable[[], Upload]
_Args = TypeVarTuple("_Args")
_Return = TypeVar("_Return")


@dataclass(frozen=True)
class Options:
    """What a caller may ask for besides the recording.

    Attributes:
        analysis: Whether beats, rhythm and intervals are wanted.
        embedding: Whether the pooled features are wanted.
        missing_leads: ``"refuse"``, or ``"zero"`` to give the model zeros for them.
        model: ``NAME`` or ``NAME@REVISION``; None takes the default.
        precision: Refused unless it is the one that the model is served in.
    """

    analysis: bool = True
    embedding: bool = False
    missing_leads: MissingLeads = "refuse"
    model: str | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Answered:
    """A result beside what it was made of, for whoever tells it in another form."""

    result: Result
    recording: Recording
    answer: Answer | None = None


@dataclass(frozen=True)
class _Read:
    recording: Recording
    prepared: Prepared | None
    decode_ms: float
    preprocess_ms: float


class Pipeline:
    """The whole way of a recording; the event loop only waits, the work is done in threads.

    Args:
        settings: Limits and deadlines.
        model: Whom to ask.
    """

    def __init__(self, settings: Settings, model: ModelClient) -> None:
        self._model = model
        self._answers_without_model = settings.when_model_fails == "signal_only"
        self._deadline_s = settings.request_timeout_s
        self.limits = Limits(max_unpacked_bytes=settings.max_unpacked_mb << 20)
        self._threads = ThreadPoolExecutor(settings.preprocessor_threads, "preprocess")

    async def models(self) -> list[EngineInfo | Identity]:
        """All that can be asked, the default first; raises ModelUnavailable if none is reached."""
        return await self._model.models()

    async def default_model(self) -> EngineInfo | None:
        """What answers where no model is named; None: the signal's analysis alone.

        Raises:
            ModelUnavailable: It cannot be reached, and settings want no answers without it.
        """
        return await self.answering(Options())

    async def model_counts(self) -> RegistryCounts:
        """How often models were loaded and dropped."""
        return await self._model.counts()

    async def answering(self, options: Options) -> EngineInfo | None:
        """What will answer; None: the signal's analysis alone.

        Raises:
            ModelUnavailable: It cannot be reached, and settings want no answers without it.
            RequestError: No such model, or not in this precision.
        """
        try:
            info = await self.model_info(options.model)
        except ModelUnavailable:
            if self._answers_without_model:
                return None
            raise
        if options.precision:
            _refuse_other_precision(options.precision, info)
        return info

    async def ask(self, segments: Segments, options: Options) -> Answer | None:
        """Scores of prepared segments ``(segments, 12, 2500)`` float32, within one deadline.

        None where the model fails and settings want an answer without it.

        Raises:
            Unavailable: The model cannot be reached, or too much is waiting.
            InferenceTimeout: The deadline passed.
        """
        async with self._deadline(None):
            return await self._answer_if_any(self._ask(segments, options))

    async def predict(
        self,
        sent: Sent,
        *,
        hints: Hints | None = None,
        options: Options | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Everything: the model's predictions and, unless it is not wanted, the analysis.

        Where the model fails and settings allow it, the analysis alone, marked ``degraded``.

        Raises:
            RecordingError: What was sent cannot be decoded, or is no signal for the model.
            RequestError: An option that cannot be had here.
            Unavailable: The model cannot be reached, or too much is waiting.
            InferenceTimeout: The deadline passed; ``timeout_s`` may set an earlier one.
        """
        answered = await self.predict_beside(
            sent, hints=hints, options=options, request_id=request_id, timeout_s=timeout_s
        )
        return answered.result

    async def predict_beside(
        self,
        sent: Sent,
        *,
        hints: Hints | None = None,
        options: Options | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Answered:
        """As :meth:`predict`, with the decoded recording and what the model said."""
        options = options or Options()
        watch = Stopwatch()
        async with self._deadline(timeout_s):
            read, prepared = await self._read_for_model(sent, hints, options)
            asked = asyncio.create_task(self._ask(prepared.segments, options))
            await asyncio.sleep(0)  # on its way, before the core takes this processor
            try:
                # While the model works, the core measures.
                measured = await self._in_thread(measure, read.recording)
                answer = await self._answer_if_any(asked)
            except BaseException:
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
                raise
        result = make_result(
            read.recording,
            measured,
            timing=_timing(watch, read, answer),
            request_id=request_id,
            prepared=prepared if answer else None,
            answer=answer,
            show_analysis=options.analysis,
            show_embedding=options.embedding,
            degraded=None if answer else "signal_only",
        )
        return Answered(result, read.recording, answer)

    async def score(
        self,
        sent: Sent,
        *,
        hints: Hints | None = None,
        options: Options | None = None,
        timeout_s: float | None = None,
    ) -> Scored:
        """What the model says of a recording, segment by segment; the signal is not analysed.

        Raises:
            EcgServeError: As :meth:`predict` does.
        """
        options = options or Options()
        watch = Stopwatch()
        async with self._deadline(timeout_s):
            read, prepared = await self._read_for_model(sent, hints, options)
            answer = await self._ask(prepared.segments, options)
        return Scored(read.recording, prepared, answer, _timing(watch, read, answer))

    async def score_segments(self, segments: Segments, options: Options | None = None) -> Answer:
        """What the model says of ``(n, 12, 2500)`` float32 that were prepared elsewhere.

        Raises:
            InvalidSignal: Another shape, or values that are not finite.
            EcgServeError: As :meth:`predict` does.
        """
        async with self._deadline(None):
            return await self._ask(segments, options or Options())

    async def embed(
        self,
        sent: Sent,
        *,
        hints: Hints | None = None,
        options: Options | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Embedding:
        """The model's pooled features, and nothing that would cost the signal core's time.

        Of the options, ``analysis`` and ``embedding`` say nothing here.

        Raises:
            EcgServeError: As :meth:`predict` does.
        """
        scored = await self.score(sent, hints=hints, options=options, timeout_s=timeout_s)
        return make_embedding(
            scored.recording,
            scored.prepared,
            scored.answer,
            timing=scored.timing_ms,
            request_id=request_id,
        )

    async def explain(
        self,
        sent: Sent,
        *,
        wish: Wish,
        hints: Hints | None = None,
        options: Options | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Explanation:
        """What the model looked at; of the options, ``analysis`` and ``embedding`` say nothing.

        Raises:
            EcgServeError: As :meth:`predict` does, and as ``Explainer.explain``.
        """
        options = options or Options()
        if options.precision not in (None, "fp32"):
            raise InvalidParameter("Explanations are always computed in fp32.")
        watch = Stopwatch()
        async with self._deadline(timeout_s):
            read, prepared = await self._read_for_model(sent, hints, options)
            found = await self._model.explain(prepared.segments, wish, options.model)
        return make_explanation(
            read.recording,
            prepared,
            wish,
            found,
            timing=_timing(watch, read, found),
            request_id=request_id,
        )

    async def analyze(
        self,
        sent: Sent,
        *,
        hints: Hints | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Beats, rhythm and quality; no model is asked.

        Raises:
            RecordingError: What was sent cannot be decoded, or is no signal at all.
            InferenceTimeout: The deadline passed.
        """
        answered = await self.analyze_beside(
            sent, hints=hints, request_id=request_id, timeout_s=timeout_s
        )
        return answered.result

    async def analyze_beside(
        self,
        sent: Sent,
        *,
        hints: Hints | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Answered:
        """As :meth:`analyze`, with the decoded recording."""
        watch = Stopwatch()
        async with self._deadline(timeout_s):
            read, measured = await self._in_thread(self._read_and_measure, sent, hints)
        result = make_result(
            read.recording, measured, timing=_timing(watch, read, None), request_id=request_id
        )
        return Answered(result, read.recording)

    async def model_info(self, model: str | None = None) -> EngineInfo:
        """What would answer; raises ModelUnavailable or ModelNotFound where nothing would."""
        return await self._model.info(model) if model else await self._model.info()

    async def _read_for_model(
        self, sent: Sent, hints: Hints | None, options: Options
    ) -> tuple[_Read, Prepared]:
        read = await self._in_thread(self._read, sent, hints, options)
        assert read.prepared is not None  # noqa: S101 - options were given
        return read, read.prepared

    async def _ask(self, segments: Segments, options: Options) -> Answer:
        if options.precision:
            _refuse_other_precision(options.precision, await self._model.info(options.model))
        if options.model:
            return await self._model.ask(segments, options.model)
        return await self._model.ask(segments)

    async def _answer_if_any(self, asked: Awaitable[Answer]) -> Answer | None:
        """None where the model fails and settings want an answer without it."""
        try:
            return await asked
        except ModelUnavailable:
            if self._answers_without_model:
                return None
            raise

    def _read(self, sent: Sent, hints: Hints | None, options: Options | None) -> _Read:
        watch = Stopwatch()
        sent = sent() if callable(sent) else sent
        recording = (
            sent if isinstance(sent, Recording) else decode(sent, hints or Hints(), self.limits)
        )
        decode_ms = watch.lap_ms()
        check(recording)
        prepared = prepare(recording, options.missing_leads) if options else None
        return _Read(recording, prepared, decode_ms, watch.lap_ms())

    def _read_and_measure(self, sent: Sent, hints: Hints | None) -> tuple[_Read, Measured]:
        read = self._read(sent, hints, None)
        return read, measure(read.recording)

    @asynccontextmanager
    async def _deadline(self, timeout_s: float | None) -> AsyncIterator[None]:
        """The settings' time for a request, or the shorter one that its sender wants."""
        seconds = min(self._deadline_s, timeout_s or self._deadline_s)
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise InferenceTimeout(f"No answer within {seconds:.3g} s.") from error

    async def _in_thread(self, function: Callable[[*_Args], _Return], *args: *_Args) -> _Return:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


def _timing(watch: Stopwatch, read: _Read, answer: Answer | Saliency | None) -> Timing:
    return Timing(
        decode=read.decode_ms,
        preprocess=read.preprocess_ms,
        queue=answer.queue_ms if answer else 0.0,
        inference=answer.inference_ms if answer else 0.0,
        total=watch.total_ms(),
    )


def _refuse_other_precision(precision: str, info: EngineInfo) -> None:
    if precision != info.precision:
        raise InvalidParameter(f"Precision {precision!r} is not served here; {info.precision} is.")
