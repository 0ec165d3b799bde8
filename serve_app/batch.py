"""Many recordings, answered in their order, a few of them under way at a time."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from serve_app.decoding import Hints
from serve_app.errors import EcgServeError, InferenceTimeout, ResourceExhausted
from serve_app.pipeline import Options, Pipeline, Sent
from serve_app.results import Result

__all__ = ["predict_batch"]

_log = logging.getLogger(__name__)

Outcome = Result | EcgServeError


@dataclass(frozen=True)
class _Wish:
    """What is asked of every recording."""

    hints: Hints | None
    options: Options | None
    request_id: str | None
    deadline_s: float


async def predict_batch(
    pipeline: Pipeline,
    recordings: Iterable[Sent],
    *,
    hints: Hints | None = None,
    options: Options | None = None,
    request_id: str | None = None,
    timeout_s: float | None = None,
    side_by_side: int = 4,
) -> AsyncGenerator[Outcome, None]:
    """A Result for each recording, or the error that it met; those after it are not concerned.

    Whoever takes the outcomes slowly slows the work down; whoever stops taking them ends it.

    Args:
        pipeline: What answers.
        recordings: In the order of the outcomes.
        hints: Of each recording.
        options: Of each recording.
        request_id: Put into every Result.
        timeout_s: For all of them together; beside it each has the time that settings give it.
        side_by_side: Recordings under way, those included that are done but not yet taken.
    """
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    wish = _Wish(hints, options, request_id, deadline_s)
    under_way: deque[asyncio.Task[Outcome]] = deque()
    try:
        for recording in recordings:
            under_way.append(asyncio.create_task(_predict(pipeline, recording, wish)))
            if len(under_way) == side_by_side:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _predict(pipeline: Pipeline, recording: Sent, wish: _Wish) -> Outcome:
    left_s = wish.deadline_s - time.monotonic()
    if left_s <= 0:
        return InferenceTimeout(
            "The time for the whole batch is over.", hint="Send fewer at a time."
        )
    try:
        return await pipeline.predict(
            recording,
            hints=wish.hints,
            options=wish.options,
            request_id=wish.request_id,
            timeout_s=left_s,
        )
    except EcgServeError as error:
        return error
    except (MemoryError, OSError):
        return ResourceExhausted("The server ran out of memory or disk for this recording.")
    except Exception:
        _log.exception("a recording of request %s failed", wish.request_id)
        return EcgServeError("The server failed on this recording.")
