"""The accelerator: engines behind `@serve.batch` and a gate."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
from ray import serve

from deployments.batching import BatchGate, Scored
from deployments.choice import Choice
from serve_app.engine.entries import RegistryCounts
from serve_app.engine.explaining import Saliency, Wish
from serve_app.engine.identity import Identity, ModelSource
from serve_app.engine.protocol import EngineInfo
from serve_app.engine.registry import ModelRegistry
from serve_app.errors import EcgServeError
from serve_app.reporting import Answer

__all__ = ["Ask", "EcgFm", "LocalModel", "Outcome", "told"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
# A model that cannot be loaded is not read again at each health check.
_FOLLOW_AGAIN_S: Final = 30.0

Segments = npt.NDArray[np.float32]
# A raised error would lose its class on the way between replicas, and fail its whole batch.
Outcome = Answer | EcgServeError


@dataclass(frozen=True, eq=False)
class Ask:
    """One request to a model replica.

    Attributes:
        segments: ``(segments, 12, 2500)`` float32.
        model: ``NAME[@REVISION]``; None: the default.
    """

    segments: Segments
    model: str | None = None


def count_segments(requests: Sequence[Ask]) -> int:
    """What `@serve.batch` counts: segments, not requests."""
    return sum(len(each.segments) for each in requests)


class LocalModel:
    """Engines in this process that merge what their callers send: the model replica's heart.

    Args:
        registry: The models.
        max_segments: The largest batch.
        choice: Which of them is to be the default; None: what the registry has.
    """

    def __init__(
        self, registry: ModelRegistry, max_segments: int, choice: Choice | None = None
    ) -> None:
        self._registry = registry
        self._max_segments = max_segments
        self._choice = choice
        self._gate = BatchGate(max_segments)
        self._following: asyncio.Task[None] | None = None

    async def info(self, model: str | None = None) -> EngineInfo:
        """What answers."""
        return (await self._registry.engine(model)).info

    async def models(self) -> list[EngineInfo | Identity]:
        """All that can be asked, the default first."""
        return await self._registry.models()

    async def counts(self) -> RegistryCounts:
        """How often models were loaded and dropped here."""
        return self._registry.counts

    async def ask(self, segments: Segments, model: str | None = None) -> Answer:
        """Scores of ``(segments, 12, 2500)`` float32, any number of segments."""
        engine = await self._registry.engine(model)
        chunks = split_segments(segments, self._max_segments)
        shares = await asyncio.gather(*(self._gate.submit(engine, chunk) for chunk in chunks))
        return join_answers([_answer(share, engine.info) for share in shares])

    async def explain(self, segments: Segments, wish: Wish, model: str | None = None) -> Saliency:
        """What the model looked at, beside the predictions."""
        return await (await self._registry.explainer(model)).explain(segments, wish)

    async def prepare(self, source: ModelSource) -> EngineInfo:
        """Load a model that is to become the default; nothing changes yet."""
        return await self._registry.prepare(source)

    async def use(self, source: ModelSource) -> EngineInfo:
        """Make what was prepared the default, here and in every replica that starts later."""
        if self._choice:
            await asyncio.to_thread(self._choice.write, source)
        return self._registry.use(source)

    async def forget(self, source: ModelSource) -> None:
        """Drop what was prepared, since another replica could not load it."""
        self._registry.forget(source)

    def tend(self) -> None:
        """To be called now and then: try again what failed, and come to the chosen model."""
        self._registry.tend()
        if self._choice and (self._following is None or self._following.done()):
            self._following = asyncio.create_task(self._follow(self._choice))

    async def _follow(self, choice: Choice) -> None:
        chosen, default = await asyncio.to_thread(choice.read), self._registry.default
        if chosen is None or (default and default.sha256 == chosen.revision):
            return
        try:
            await self._registry.prepare(chosen)
            self._registry.use(chosen)
        except EcgServeError as error:
            _log.warning("the chosen model is not served here yet: %s", error)
            await asyncio.sleep(_FOLLOW_AGAIN_S)


class EcgFm:
    """A replica of the model; ready once its default is loaded and warm.

    Args:
        make_model: Called once, here, so that weights never travel between processes.
        max_batch_segments: The largest batch; a request may not carry more.
    """

    def __init__(self, make_model: Callable[[], LocalModel], max_batch_segments: int) -> None:
        self._model = make_model()
        self._collect.set_max_batch_size(max_batch_segments)

    async def predict(self, segments: Segments, model: str | None = None) -> Outcome:
        """The answer for ``(segments, 12, 2500)`` float32, or the error that is this caller's."""
        outcome: Outcome = await self._collect(Ask(segments, model))
        return outcome

    # Hands over at once: waiting for company is the gate's work, which knows when the engine is
    # free. Hence no wait here, and no limit on batches in flight but the replica's own.
    @serve.batch(  # type: ignore[untyped-decorator]  # Ray's types are not followed
        max_batch_size=1,
        batch_wait_timeout_s=0.0,
        max_concurrent_batches=1 << 16,
        batch_size_fn=count_segments,
    )
    async def _collect(self, requests: list[Ask]) -> list[Outcome]:
        answers = await asyncio.gather(
            *(self._model.ask(each.segments, each.model) for each in requests),
            return_exceptions=True,
        )
        return [_outcome(answer) for answer in answers]

    async def explain(
        self, segments: Segments, wish: Wish, model: str | None = None
    ) -> Saliency | EcgServeError:
        """What the model looked at, or the error that is this caller's."""
        return await told(self._model.explain(segments, wish, model))

    async def info(self, model: str | None = None) -> EngineInfo | EcgServeError:
        """What answers, or why nothing does."""
        return await told(self._model.info(model))

    async def models(self) -> list[EngineInfo | Identity]:
        """All that can be asked here, the default first."""
        return await self._model.models()

    async def counts(self) -> RegistryCounts:
        """How often models were loaded and dropped here."""
        return await self._model.counts()

    async def prepare_model(self, source: ModelSource) -> EngineInfo | EcgServeError:
        """First step of a swap: load the next default; see `deployments.swapping`."""
        return await told(self._model.prepare(source))

    async def use_model(self, source: ModelSource) -> EngineInfo | EcgServeError:
        """Second step of a swap: make it the default."""
        return await told(self._model.use(source))

    async def forget_model(self, source: ModelSource) -> None:
        """Instead of the second step, where a replica could not do the first."""
        await self._model.forget(source)

    async def check_health(self) -> None:
        """Called by Ray every few seconds."""
        self._model.tend()


async def told(result: Awaitable[_T]) -> _T | EcgServeError:
    """A result, or the error in its place: raised, it would lose its class between replicas."""
    try:
        return await result
    except EcgServeError as error:
        return error


def split_segments(segments: Segments, largest: int) -> list[Segments]:
    """Chunks of at most ``largest`` segments."""
    return [segments[first : first + largest] for first in range(0, len(segments), largest)]


def join_answers(answers: Sequence[Answer]) -> Answer:
    """The answers for the chunks of one recording, as one."""
    first = answers[0]
    if len(answers) == 1:
        return first
    return Answer(
        scores=type(first.scores).concatenate([answer.scores for answer in answers]),
        model=first.model,
        queue_ms=max(answer.queue_ms for answer in answers),
        inference_ms=sum(answer.inference_ms for answer in answers),
    )


def _answer(share: Scored, info: EngineInfo) -> Answer:
    return Answer(share.scores, info, share.queue_ms, share.inference_ms)


def _outcome(answer: Answer | BaseException) -> Outcome:
    if isinstance(answer, (Answer, EcgServeError)):
        return answer
    raise answer
