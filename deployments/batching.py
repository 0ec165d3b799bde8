"""One processor, many callers: what waits is merged into a batch whenever it is free."""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serve_app.engine.protocol import Engine, Scores
from serve_app.errors import EcgServeError

__all__ = ["BatchGate", "Scored"]

Segments = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """One caller's share of a batch.

    Attributes:
        scores: For the caller's segments, in their order.
        queue_ms: From submission until the batch started.
        inference_ms: The batch's forward pass, in wall time.
        batch_segments: Size of the batch it rode in.
    """

    scores: Scores
    queue_ms: float
    inference_ms: float
    batch_segments: int


@dataclass(frozen=True, eq=False)
class _Waiting:
    engine: Engine
    segments: Segments
    future: asyncio.Future[Scored]
    since_s: float


class BatchGate:
    """Runs engines in one thread of its own, a batch at a time, never idle while work waits.

    `@serve.batch` alone cuts its batches before it knows whether the engine is free: under load
    small batches pile up behind each other and never merge. The gate takes them apart again:
    each time it comes free it takes whoever waits longest and everyone who waits for the same
    engine, up to ``max_segments``. So a batch is of one engine, and none keeps others waiting.

    Args:
        max_segments: The largest batch; a single caller may not submit more.
    """

    def __init__(self, max_segments: int) -> None:
        self._max_segments = max_segments
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, engine: Engine, segments: Segments) -> Scored:
        """Scores of ``(segments, 12, 2500)`` float32.

        Args:
            engine: Called from the gate's thread only.
            segments: Of one caller.

        Raises:
            EcgServeError: What the engine raised for these segments, not for their neighbours.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(engine, segments, loop.create_future(), time.perf_counter())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        return await waiting.future

    @property
    def waiting_segments(self) -> int:
        """Segments that no batch has taken yet."""
        return sum(len(waiting.segments) for waiting in self._waiting)

    async def _work(self) -> None:
        while batch := self._take():
            await self._run(batch)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        passed_over: list[_Waiting] = []
        room = self._max_segments
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting.future.done():  # its caller is gone
                continue
            if batch and waiting.engine is not batch[0].engine:
                passed_over.append(waiting)
                continue
            if batch and len(waiting.segments) > room:
                passed_over.append(waiting)
                break
            batch.append(waiting)
            room -= len(waiting.segments)
        self._waiting.extendleft(reversed(passed_over))
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        started_s = time.perf_counter()
        merged = (
            batch[0].segments
            if len(batch) == 1
            else np.concatenate([waiting.segments for waiting in batch])
        )
        loop = asyncio.get_running_loop()
        try:
            scores = await loop.run_in_executor(self._thread, batch[0].engine.predict, merged)
        except Exception as error:  # whatever it is, it belongs to one caller
            await self._isolate(batch, error)
            return
        inference_ms = (time.perf_counter() - started_s) * 1e3
        first = 0
        for waiting in batch:
            last = first + len(waiting.segments)
            queue_ms = (started_s - waiting.since_s) * 1e3
            share = Scored(scores[first:last], queue_ms, inference_ms, len(merged))
            first = last
            if not waiting.future.done():
                waiting.future.set_result(share)

    async def _isolate(self, batch: list[_Waiting], error: Exception) -> None:
        """One bad item never fails its batch: each is tried alone."""
        if len(batch) > 1:
            for waiting in batch:
                await self._run([waiting])
        elif not batch[0].future.done():
            batch[0].future.set_exception(_as_ours(error))


def _as_ours(error: Exception) -> EcgServeError:
    if isinstance(error, EcgServeError):
        return error
    return EcgServeError(f"The model failed on this recording ({type(error).__name__}).")
