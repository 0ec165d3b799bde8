"""The accelerator: an engine behind `@serve.batch` and a gate."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from ray import serve

from deployments.batching import BatchGate, Scored
from serve_app.engine.explaining import Explainer, Saliency, Wish, borrow_explainer
from serve_app.engine.protocol import Engine, EngineInfo
from serve_app.errors import EcgServeError
from serve_app.reporting import Answer

__all__ = ["EcgFm", "LocalModel", "Outcome"]

Segments = npt.NDArray[np.float32]
# A raised error would lose its class on the way between replicas, and fail its whole batch.
Outcome = Answer | EcgServeError
MakeExplainer = Callable[[Engine], Explainer]


class LocalModel:
    """An engine in this process that merges what its callers send: the model replica's heart."""

    def __init__(
        self,
        engine: Engine,
        max_segments: int,
        make_explainer: MakeExplainer = borrow_explainer,
    ) -> None:
        self._engine = engine
        self._make_explainer = make_explainer
        self._explainer: Explainer | None = None
        self._max_segments = max_segments
        self._gate = BatchGate(engine, max_segments)

    async def info(self) -> EngineInfo:
        """What is served."""
        return self._engine.info

    async def ask(self, segments: Segments) -> Answer:
        """Scores of ``(segments, 12, 2500)`` float32, any number of segments."""
        chunks = split_segments(segments, self._max_segments)
        shares = await asyncio.gather(*(self._gate.submit(chunk) for chunk in chunks))
        return join_answers([self._answer(share) for share in shares])

    async def explain(self, segments: Segments, wish: Wish) -> Saliency:
        """What the model looked at, beside the predictions."""
        if self._explainer is None:
            self._explainer = self._make_explainer(self._engine)
        return await self._explainer.explain(segments, wish)

    def _answer(self, share: Scored) -> Answer:
        return Answer(share.scores, self._engine.info, share.queue_ms, share.inference_ms)


def count_segments(requests: Sequence[Segments]) -> int:
    """What `@serve.batch` counts: segments, not requests."""
    return sum(len(segments) for segments in requests)


class EcgFm:
    """A replica of the model; ready once it is loaded and warm.

    Args:
        load_engine: Called once, here, so that weights never travel between processes.
        max_batch_segments: The largest batch; a request may not carry more.
        make_explainer: Called with the engine when the first explanation is wished for.
    """

    def __init__(
        self,
        load_engine: Callable[[], Engine],
        max_batch_segments: int,
        make_explainer: MakeExplainer = borrow_explainer,
    ) -> None:
        engine = load_engine()
        engine.warm()
        self._model = LocalModel(engine, max_batch_segments, make_explainer)
        self._collect.set_max_batch_size(max_batch_segments)

    async def predict(self, segments: Segments) -> Outcome:
        """The answer for ``(segments, 12, 2500)`` float32, or the error that is this caller's."""
        outcome: Outcome = await self._collect(segments)
        return outcome

    # Hands over at once: waiting for company is the gate's work, which knows when the engine is
    # free. Hence no wait here, and no limit on batches in flight but the replica's own.
    @serve.batch(  # type: ignore[untyped-decorator]  # Ray's types are not followed
        max_batch_size=1,
        batch_wait_timeout_s=0.0,
        max_concurrent_batches=1 << 16,
        batch_size_fn=count_segments,
    )
    async def _collect(self, requests: list[Segments]) -> list[Outcome]:
        answers = await asyncio.gather(
            *(self._model.ask(segments) for segments in requests), return_exceptions=True
        )
        return [_outcome(answer) for answer in answers]

    async def explain(self, segments: Segments, wish: Wish) -> Saliency | EcgServeError:
        """What the model looked at, or the error that is this caller's."""
        try:
            return await self._model.explain(segments, wish)
        except EcgServeError as error:
            return error

    async def info(self) -> EngineInfo:
        """What this replica serves."""
        return await self._model.info()


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


def _outcome(answer: Answer | BaseException) -> Outcome:
    if isinstance(answer, (Answer, EcgServeError)):
        return answer
    raise answer
