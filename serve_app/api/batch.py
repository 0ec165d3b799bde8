"""POST /v1/predict:batch: many recordings in, a line for each out."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse
from starlette.types import Send

from serve_app.api.answering import timeout_s
from serve_app.api.declarations import (
    NDJSON,
    PRIVATE,
    PROBLEMS,
    BatchOf,
    PredictQuery,
    Services,
    ServicesOf,
    batch_of,
    one_of,
)
from serve_app.api.examples import PREDICT_EXAMPLE
from serve_app.api.problems import Problem, problem_members
from serve_app.batch import predict_batch
from serve_app.decoding import BatchItem, split_batch
from serve_app.errors import EcgServeError, InvalidParameter
from serve_app.results import Result

__all__ = ["BatchLine", "Lines", "batch_router"]

_NAMES: Final = (NDJSON, "application/jsonl")


class BatchLine(BaseModel):
    """One recording's line: a result or an error."""

    index: int = Field(description="Of the recording in the body, from 0.")
    name: str | None = Field(None, description="Of its file; absent in a JSON array.")
    result: Result | None = None
    error: Problem | None = None


class Lines(StreamingResponse):
    """Lines that leave as they come; whoever makes them stops when nobody takes them."""

    body_iterator: AsyncGenerator[bytes, None]

    async def stream_response(self, send: Send) -> None:
        """Send one after the other."""
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


batch_router = APIRouter(tags=["Recordings"])


@batch_router.post(
    "/v1/predict:batch",
    response_class=Lines,
    responses=PROBLEMS
    | {
        200: {
            "description": "A line of JSON for each recording, in their order: BatchLine.",
            "content": {kind: {"schema": {"type": "string"}} for kind in _NAMES},
        }
    },
    openapi_extra=batch_of(PREDICT_EXAMPLE),
    summary="Ask the model about many recordings",
)
async def batch(
    request: Request,
    services: ServicesOf,
    media_type: Annotated[str, Depends(one_of(*_NAMES))],
    query: Annotated[PredictQuery, Query()],
    upload: BatchOf,
) -> Response:
    """A line for each recording as soon as it and those before it are done.

    A zip archive or multipart files (those that a WFDB header names are one recording) or a JSON
    array. A recording that cannot be answered gets its problem as its line; the others go on.
    """
    seconds = timeout_s(request)
    items = await asyncio.to_thread(
        split_batch, upload, services.pipeline.limits, services.settings.max_batch_recordings
    )
    await _check_model(services, query)
    lines = _lines(request, services, query, items, seconds)
    return Lines(lines, headers=dict(PRIVATE), media_type=media_type)


async def _check_model(services: Services, query: PredictQuery) -> None:
    """Tell at once what would be wrong with every line."""
    if not (query.model or query.precision):
        await services.pipeline.default_model()
        return
    info = await services.pipeline.model_info(query.model)
    if query.precision not in (None, info.precision):
        raise InvalidParameter(
            f"Precision {query.precision!r} is not served here; {info.precision} is."
        )


async def _lines(
    request: Request,
    services: Services,
    query: PredictQuery,
    items: Sequence[BatchItem],
    seconds: float | None,
) -> AsyncGenerator[bytes, None]:
    outcomes = predict_batch(
        services.pipeline,
        [item.read for item in items],
        hints=query.hints(),
        options=query.options(),
        request_id=request.scope["request_id"],
        timeout_s=seconds,
        side_by_side=services.settings.batch_concurrency,
    )
    index = 0
    async with aclosing(outcomes):
        async for outcome in outcomes:
            if isinstance(outcome, Result):
                services.metrics.observe_result(outcome)
            yield _line(index, items[index].name, outcome, request)
            index += 1


def _line(index: int, name: str | None, outcome: Result | EcgServeError, request: Request) -> bytes:
    start: dict[str, Any] = {"index": index} | ({"name": name} if name else {})
    if isinstance(outcome, EcgServeError):
        scope = request.scope
        start["error"] = problem_members(outcome, scope["request_id"], scope["trace_id"])
        return json.dumps(start).encode() + b"\n"
    return json.dumps(start).encode()[:-1] + b', "result": ' + outcome.to_json() + b"}\n"
