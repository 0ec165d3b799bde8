"""The Rust-backed pool, which is the HTTP ingress too."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from deployments.backpressure import BoundedReceive
from deployments.ecg_fm import LocalModel, Outcome, join_answers, split_segments, told
from deployments.grpc_service import GrpcMethods
from deployments.reachability import Reachability, running_replicas
from serve_app import decoding
from serve_app.api import create_app
from serve_app.api.declarations import Services
from serve_app.batch import predict_batch
from serve_app.decoding import Hints, Upload
from serve_app.engine.entries import RegistryCounts
from serve_app.engine.explaining import Method, Saliency, Wish
from serve_app.engine.identity import Identity, ModelSource
from serve_app.engine.protocol import EngineInfo
from serve_app.errors import EcgServeError, ModelUnavailable, Overloaded
from serve_app.explanations import Explanation
from serve_app.pipeline import Options, Pipeline
from serve_app.preprocessing import MissingLeads
from serve_app.recording import Recording
from serve_app.reporting import Answer
from serve_app.results import Embedding, Result
from serve_app.settings import Settings
from serve_app.streaming.following import WINDOW_S, follow
from serve_app.streaming.lines import AnyLine
from serve_app.streaming.source import open_sent

__all__ = ["HandleModel", "Preprocessor"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_TRIES: Final = 3
# A message between replicas stays below 1 MB; the model replica merges what belongs together.
_MESSAGE_SEGMENTS: Final = 8
_MESSAGES_IN_FLIGHT: Final = 4
_INFO_TIMEOUT_S: Final = 2.0
_SWAP_S: Final = 0.2


class HandleModel:
    """The model replicas, seen from the ingress: a lost replica is retried on another.

    Scoring is pure, so that asking twice does no harm.
    """

    def __init__(self, handle: DeploymentHandle[object], max_batch_segments: int) -> None:
        self._handle = handle
        self._chunk = min(_MESSAGE_SEGMENTS, max_batch_segments)
        self._reachability = Reachability(lambda: running_replicas(handle))

    async def info(self, model: str | None = None) -> EngineInfo:
        """What answers; raises ModelUnavailable where no replica does so in time."""
        answer = _with_retries(lambda: self._handle.info.remote(model))
        # A model other than the default may have to be loaded first: no limit but the request's.
        info = await (answer if model else _in_time(answer))
        return _value(cast(EngineInfo | EcgServeError, info))

    async def models(self) -> list[EngineInfo | Identity]:
        """All that can be asked, as one of the replicas has it."""
        models = await _in_time(_with_retries(self._handle.models.remote))
        return cast(list[EngineInfo | Identity], models)

    async def counts(self) -> RegistryCounts:
        """How often models were loaded and dropped, over all replicas."""
        counts = await _in_time(
            _with_retries(lambda: self._handle.broadcast("counts").results_async())
        )
        return sum(cast(list[RegistryCounts], counts), RegistryCounts())

    async def ask(self, segments: npt.NDArray[np.float32], model: str | None = None) -> Answer:
        """Scores of ``(segments, 12, 2500)`` float32, any number of segments, by one model."""
        chunks = split_segments(segments, self._chunk)
        for _ in range(_TRIES):
            answers = await self._reachability.wait_for(self._ask_chunks(chunks, model))
            if len({answer.model.sha256 for answer in answers}) == 1:
                return join_answers(answers)
            # Replicas come to another default one after the other, within milliseconds.
            await asyncio.sleep(_SWAP_S)
        raise ModelUnavailable("The model is being replaced.")

    async def _ask_chunks(
        self, chunks: list[npt.NDArray[np.float32]], model: str | None
    ) -> list[Answer]:
        in_flight = asyncio.Semaphore(_MESSAGES_IN_FLIGHT)

        async def ask_chunk(chunk: npt.NDArray[np.float32]) -> Answer:
            async with in_flight:
                outcome = await _with_retries(lambda: self._handle.predict.remote(chunk, model))
            return _value(cast(Outcome, outcome))

        return await asyncio.gather(*map(ask_chunk, chunks))

    async def explain(
        self, segments: npt.NDArray[np.float32], wish: Wish, model: str | None = None
    ) -> Saliency:
        """What the model looked at, in one message."""
        outcome = await self._reachability.wait_for(
            _with_retries(lambda: self._handle.explain.remote(segments, wish, model))
        )
        return _value(cast(Saliency | EcgServeError, outcome))


async def _in_time(answer: Awaitable[_T]) -> _T:
    try:
        async with asyncio.timeout(_INFO_TIMEOUT_S):
            return await answer
    except TimeoutError as error:
        raise ModelUnavailable("The model does not answer.") from error


async def _with_retries(call: Callable[[], Awaitable[_T]]) -> _T:
    for tries_left in reversed(range(_TRIES)):
        try:
            return await call()
        except BackPressureError as error:
            raise Overloaded("Too many recordings wait for the model.") from error
        except (RayActorError, DeploymentUnavailableError) as error:
            _log.warning("a model replica was lost (%s)", type(error).__name__)
            if not tries_left:
                raise ModelUnavailable("The model's replicas are gone.") from error
    raise AssertionError


def _value(result: _T | EcgServeError) -> _T:
    if isinstance(result, EcgServeError):
        raise result
    return result


class Preprocessor(GrpcMethods):
    """An ingress replica: HTTP, decoding, the signal core, and the way to the model.

    Args:
        settings: Of the whole application.
        model: The model deployment's handle, or what makes models in this process (`mono`).
    """

    def __init__(
        self, settings: Settings, model: DeploymentHandle[object] | Callable[[], LocalModel]
    ) -> None:
        self._settings = settings
        self._model = (
            HandleModel(model, settings.max_batch_segments)
            if isinstance(model, DeploymentHandle)
            else model()
        )
        self._pipeline = Pipeline(settings, self._model)
        decoding.warm()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Ray Serve after the constructor."""
        # Ray Serve returns X-Request-ID itself, on every answer.
        self._app = create_app(self._pipeline, self._settings, sets_request_id=False)
        self._app.add_middleware(BoundedReceive)
        return self._app

    @property
    def services(self) -> Services:
        """What HTTP and gRPC work with."""
        return cast(Services, self._app.state.services)

    async def predict(
        self,
        recording: Recording | Upload | bytes,
        *,
        fs_hz: float | None = None,
        units: Literal["mV", "uV"] | None = None,
        leads: tuple[str, ...] | None = None,
        analysis: bool = True,
        embedding: bool = False,
        missing_leads: MissingLeads = "refuse",
        model: str | None = None,
        precision: str | None = None,
    ) -> Result:
        """As POST /v1/predict, for deployment handles."""
        return await self._pipeline.predict(
            recording,
            hints=Hints(fs_hz, units, leads),
            options=Options(analysis, embedding, missing_leads, model, precision),
        )

    async def predict_batch(
        self,
        recordings: Sequence[Recording | Upload | bytes],
        *,
        fs_hz: float | None = None,
        units: Literal["mV", "uV"] | None = None,
        leads: tuple[str, ...] | None = None,
        analysis: bool = True,
        embedding: bool = False,
        missing_leads: MissingLeads = "refuse",
        model: str | None = None,
        precision: str | None = None,
    ) -> AsyncGenerator[Result | EcgServeError, None]:
        """As POST /v1/predict:batch, for handles with ``options(stream=True)``; in their order."""
        outcomes = predict_batch(
            self._pipeline,
            recordings,
            hints=Hints(fs_hz, units, leads),
            options=Options(analysis, embedding, missing_leads, model, precision),
            side_by_side=self._settings.batch_concurrency,
        )
        async with aclosing(outcomes):
            async for outcome in outcomes:
                yield outcome

    async def embed(
        self,
        recording: Recording | Upload | bytes,
        *,
        fs_hz: float | None = None,
        units: Literal["mV", "uV"] | None = None,
        leads: tuple[str, ...] | None = None,
        missing_leads: MissingLeads = "refuse",
        model: str | None = None,
        precision: str | None = None,
    ) -> Embedding:
        """As POST /v1/embed, for deployment handles."""
        return await self._pipeline.embed(
            recording,
            hints=Hints(fs_hz, units, leads),
            options=Options(missing_leads=missing_leads, model=model, precision=precision),
        )

    async def explain(
        self,
        recording: Recording | Upload | bytes,
        *,
        method: Method = "attention",
        label: str | None = None,
        steps: int | None = None,
        resolution_ms: float | None = None,
        fs_hz: float | None = None,
        units: Literal["mV", "uV"] | None = None,
        leads: tuple[str, ...] | None = None,
        missing_leads: MissingLeads = "refuse",
        model: str | None = None,
        precision: str | None = None,
    ) -> Explanation:
        """As POST /v1/explain, for deployment handles."""
        return await self._pipeline.explain(
            recording,
            wish=Wish(method, label, steps, resolution_ms),
            hints=Hints(fs_hz, units, leads),
            options=Options(missing_leads=missing_leads, model=model, precision=precision),
        )

    async def analyze(
        self,
        recording: Recording | Upload | bytes,
        *,
        fs_hz: float | None = None,
        units: Literal["mV", "uV"] | None = None,
        leads: tuple[str, ...] | None = None,
    ) -> Result:
        """As POST /v1/analyze, for deployment handles."""
        return await self._pipeline.analyze(recording, hints=Hints(fs_hz, units, leads))

    async def follow(
        self,
        recording: Recording | Upload | bytes | Path,
        *,
        predict: bool = True,
        window_s: float = WINDOW_S,
        fs_hz: float | None = None,
        units: Literal["mV", "uV"] | None = None,
        leads: tuple[str, ...] | None = None,
        missing_leads: MissingLeads = "refuse",
        model: str | None = None,
        precision: str | None = None,
    ) -> AsyncIterator[AnyLine]:
        """As POST /v1/predict (or analyze) with NDJSON, for ``handle.options(stream=True)``.

        A path is one that this replica can read: day-long recordings are too large for messages.
        """
        options = Options(missing_leads=missing_leads, model=model, precision=precision)
        with open_sent(recording, self._settings, Hints(fs_hz, units, leads)) as opened:
            lines = follow(
                opened, self._pipeline, options=options if predict else None, window_s=window_s
            )
            async for line in lines:
                yield line

    async def prepare_model(self, source: ModelSource) -> EngineInfo | EcgServeError:
        """As EcgFm.prepare_model, for `mono`."""
        return await told(self._own_model.prepare(source))

    async def use_model(self, source: ModelSource) -> EngineInfo | EcgServeError:
        """As EcgFm.use_model, for `mono`."""
        return await told(self._own_model.use(source))

    async def forget_model(self, source: ModelSource) -> None:
        """As EcgFm.forget_model, for `mono`."""
        await self._own_model.forget(source)

    async def check_health(self) -> None:
        """Called by Ray every few seconds."""
        if isinstance(self._model, LocalModel):
            self._model.tend()

    @property
    def _own_model(self) -> LocalModel:
        if isinstance(self._model, LocalModel):
            return self._model
        raise TypeError("the models of profile graph are in EcgFm")
