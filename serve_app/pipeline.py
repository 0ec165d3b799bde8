"""bytes -> Recording -> Prepared -> Scores -> Result, in this process and without Ray."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, TypeVarTuple

import numpy as np
import numpy.typing as npt

from serve_app.decoding import Hints, Limits, Upload, decode
from serve_app.engine.explaining import Explainer, Saliency, Wish, borrow_explainer
from serve_app.engine.protocol import Engine, EngineInfo
from serve_app.errors import InferenceTimeout, InvalidParameter, ModelNotFound
from serve_app.explanations import Explanation, make_explanation
from serve_app.preprocessing import MissingLeads, Prepared, analyze, check, prepare
from serve_app.recording import Recording
from serve_app.reporting import Answer, make_embedding, make_result
from serve_app.results import Embedding, Result, Timing
from serve_app.settings import Settings

__all__ = ["Answer", "InProcessModel", "ModelClient", "Options", "Pipeline"]

Segments = npt.NDArray[np.float32]
_Args = TypeVarTuple("_Args")
_Return = TypeVar("_Return")


@dataclass(frozen=True)
class Options:
    """What a caller may ask for besides the recording.

    Attributes:
        analysis: Whether beats, rhythm and intervals are wanted.
        embedding: Whether the pooled features are wanted.
        missing_leads: ``"refuse"``, or ``"zero"`` to give the model zeros for them.
        model: ``NAME`` or ``NAME@REVISION``; None takes the one that is served.
        precision: Refused unless it is the one that is served.
    """

    analysis: bool = True
    embedding: bool = False
    missing_leads: MissingLeads = "refuse"
    model: str | None = None
    precision: str | None = None


class ModelClient(Protocol):
    """A model, wherever it runs."""

    async def info(self) -> EngineInfo:
        """What is served; raises ModelUnavailable where it cannot be reached."""
        ...

    async def ask(self, segments: Segments) -> Answer:
        """Scores of ``(segments, 12, 2500)`` float32."""
        ...

    async def explain(self, segments: Segments, wish: Wish) -> Saliency:
        """What the model looked at in ``(segments, 12, 2500)`` float32."""
        ...


class InProcessModel:
    """An engine in this process, one call at a time: for the command line and notebooks.

    Args:
        load_engine: Called with the first question, in the engine's own thread.
        make_explainer: Called with the engine when the first explanation is wished for.
    """

    def __init__(
        self,
        load_engine: Callable[[], Engine],
        make_explainer: Callable[[Engine], Explainer] = borrow_explainer,
    ) -> None:
        self._engine = functools.cache(load_engine)
        self._make_explainer = make_explainer
        self._explainer: Explainer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    async def info(self) -> EngineInfo:
        """What the engine serves."""
        engine = await asyncio.get_running_loop().run_in_executor(self._thread, self._engine)
        return engine.info

    async def ask(self, segments: Segments) -> Answer:
        """Scores of ``(segments, 12, 2500)`` float32."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, segments)

    async def explain(self, segments: Segments, wish: Wish) -> Saliency:
        """What the model looked at in ``(segments, 12, 2500)`` float32."""
        engine = await asyncio.get_running_loop().run_in_executor(self._thread, self._engine)
        if self._explainer is None:
            self._explainer = self._make_explainer(engine)
        return await self._explainer.explain(segments, wish)

    def _ask(self, segments: Segments) -> Answer:
        engine, watch = self._engine(), Stopwatch()
        scores = engine.predict(segments)
        return Answer(scores, engine.info, queue_ms=0.0, inference_ms=watch.lap_ms())


class Stopwatch:
    """Laps in milliseconds."""

    def __init__(self) -> None:
        self._started_s = self._lap_s = time.perf_counter()

    def lap_ms(self) -> float:
        """Time since the last lap."""
        now_s = time.perf_counter()
        lap_ms, self._lap_s = (now_s - self._lap_s) * 1e3, now_s
        return lap_ms

    def total_ms(self) -> float:
        """Time since the start."""
        return (time.perf_counter() - self._started_s) * 1e3


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
        self._deadline_s = settings.request_timeout_s
        self._limits = Limits(max_unpacked_bytes=settings.max_unpacked_mb << 20)
        self._threads = ThreadPoolExecutor(settings.preprocessor_threads, "preprocess")

    async def models(self) -> list[EngineInfo]:
        """What is served; raises ModelUnavailable where it cannot be reached."""
        return [await self._model.info()]

    async def predict(
        self,
        sent: Upload | Recording | bytes,
        *,
        hints: Hints | None = None,
        options: Options | None = None,
        request_id: str | None = None,
    ) -> Result:
        """Everything: the model's predictions and, unless it is not wanted, the analysis.

        Raises:
            RecordingError: What was sent cannot be decoded, or is no signal for the model.
            RequestError: An option that cannot be had here.
            Unavailable: The model cannot be reached, or too much is waiting.
            InferenceTimeout: The deadline passed.
        """
        options = options or Options()
        watch = Stopwatch()
        async with _deadline(self._deadline_s):
            read, prepared = await self._read_for_model(sent, hints, options)
            asked = asyncio.create_task(self._model.ask(prepared.segments))
            await asyncio.sleep(0)  # on its way, before the core takes this processor
            try:
                # While the model works, the core measures.
                analysis = await self._in_thread(analyze, read.recording)
                answer = await asked
            except BaseException:
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
                raise
        return make_result(
            read.recording,
            analysis,
            timing=_timing(watch, read, answer),
            request_id=request_id,
            prepared=prepared,
            answer=answer,
            show_analysis=options.analysis,
            show_embedding=options.embedding,
        )

    async def embed(
        self,
        sent: Upload | Recording | bytes,
        *,
        hints: Hints | None = None,
        options: Options | None = None,
        request_id: str | None = None,
    ) -> Embedding:
        """The model's pooled features, and nothing that would cost the signal core's time.

        Of the options, ``analysis`` and ``embedding`` say nothing here.

        Raises:
            EcgServeError: As :meth:`predict` does.
        """
        options = options or Options()
        watch = Stopwatch()
        async with _deadline(self._deadline_s):
            read, prepared = await self._read_for_model(sent, hints, options)
            answer = await self._model.ask(prepared.segments)
        return make_embedding(
            read.recording,
            prepared,
            answer,
            timing=_timing(watch, read, answer),
            request_id=request_id,
        )

    async def explain(
        self,
        sent: Upload | Recording | bytes,
        *,
        wish: Wish,
        hints: Hints | None = None,
        options: Options | None = None,
        request_id: str | None = None,
    ) -> Explanation:
        """What the model looked at; of the options, ``analysis`` and ``embedding`` say nothing.

        Raises:
            EcgServeError: As :meth:`predict` does, and as ``Explainer.explain``.
        """
        options = options or Options()
        watch = Stopwatch()
        async with _deadline(self._deadline_s):
            read, prepared = await self._read_for_model(sent, hints, options)
            found = await self._model.explain(prepared.segments, wish)
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
        sent: Upload | Recording | bytes,
        *,
        hints: Hints | None = None,
        request_id: str | None = None,
    ) -> Result:
        """Beats, rhythm and quality; no model is asked.

        Raises:
            RecordingError: What was sent cannot be decoded, or is no signal at all.
            InferenceTimeout: The deadline passed.
        """
        watch = Stopwatch()
        async with _deadline(self._deadline_s):
            read = await self._in_thread(self._read, sent, hints, None)
            analysis = await self._in_thread(analyze, read.recording)
        return make_result(
            read.recording, analysis, timing=_timing(watch, read, None), request_id=request_id
        )

    async def _read_for_model(
        self, sent: Upload | Recording | bytes, hints: Hints | None, options: Options
    ) -> tuple[_Read, Prepared]:
        if options.model or options.precision:
            _refuse_other_model(options, await self._model.info())
        read = await self._in_thread(self._read, sent, hints, options)
        assert read.prepared is not None  # noqa: S101 - options were given
        return read, read.prepared

    def _read(
        self, sent: Upload | Recording | bytes, hints: Hints | None, options: Options | None
    ) -> _Read:
        watch = Stopwatch()
        recording = (
            sent if isinstance(sent, Recording) else decode(sent, hints or Hints(), self._limits)
        )
        decode_ms = watch.lap_ms()
        check(recording)
        prepared = prepare(recording, options.missing_leads) if options else None
        return _Read(recording, prepared, decode_ms, watch.lap_ms())

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


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise InferenceTimeout(f"No answer within {seconds:g} s.") from error


def _refuse_other_model(options: Options, info: EngineInfo) -> None:
    if options.model:
        name, _, revision = options.model.partition("@")
        if name != info.name or (revision and revision != info.revision):
            raise ModelNotFound(f"Model {options.model!r} is not served here.")
    if options.precision and options.precision != info.precision:
        raise InvalidParameter(
            f"Precision {options.precision!r} is not served here; {info.precision} is."
        )
