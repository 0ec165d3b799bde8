"""POST /v1/predict and /v1/analyze for who accepts NDJSON: recordings of any length, in lines."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.responses import StreamingResponse
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from serve_app.api.declarations import (
    JSON,
    NDJSON,
    PRIVATE,
    HintsQuery,
    ModelQuery,
    Services,
    ServicesOf,
)
from serve_app.api.negotiation import choose_media_type
from serve_app.api.problems import problem_members
from serve_app.api.spooling import spool
from serve_app.errors import EcgServeError, NotAcceptable
from serve_app.pipeline import Options
from serve_app.streaming.following import WINDOW_S, follow
from serve_app.streaming.lines import AnyLine
from serve_app.streaming.source import open_spooled

__all__ = ["long_router"]

_log = logging.getLogger(__name__)
_Lines = AsyncGenerator[AnyLine, None]


class _NdjsonRoute(APIRoute):
    """Matches who wants NDJSON rather than JSON; everybody else goes on to the next route."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.FULL and not _is_wanted(Headers(scope=scope)):
            return Match.NONE, {}
        return (match, child) if match is Match.FULL else (Match.NONE, {})


def _is_wanted(headers: Headers) -> bool:
    if NDJSON not in headers.get("accept", ""):
        return False
    with contextlib.suppress(NotAcceptable):
        return choose_media_type(headers, (JSON, NDJSON)) == NDJSON
    return False


class _Windows(BaseModel):
    window_s: float = Field(
        WINDOW_S, ge=5, le=300, multiple_of=5, description="Length of a window, seconds."
    )


class LongAnalyzeQuery(HintsQuery, _Windows):
    """As for JSON, and the length of a window."""


class LongPredictQuery(ModelQuery, _Windows):
    """As for JSON, and the length of a window."""


long_router = APIRouter(route_class=_NdjsonRoute, include_in_schema=False)


@long_router.post("/v1/predict")
async def predict_long(
    request: Request, services: ServicesOf, query: Annotated[LongPredictQuery, Query()]
) -> Response:
    """Predictions for each window, with quality, and beats and rhythm over the whole."""
    return await _answer(request, services, query, query.window_s, query.options())


@long_router.post("/v1/analyze")
async def analyze_long(
    request: Request, services: ServicesOf, query: Annotated[LongAnalyzeQuery, Query()]
) -> Response:
    """Quality for each window, and beats and rhythm over the whole; no model is asked."""
    return await _answer(request, services, query, query.window_s, None)


async def _answer(
    request: Request,
    services: Services,
    query: HintsQuery,
    window_s: float,
    options: Options | None,
) -> Response:
    request_id = request.scope["request_id"]
    async with AsyncExitStack() as stack:
        stack.enter_context(services.long_recordings.enter())
        settings = services.settings
        sent = await spool(request, settings, stack)
        opening = open_spooled(sent.files, sent.content_type, sent.sha256, settings, query.hints())
        recording = await asyncio.to_thread(opening.__enter__)
        stack.push(opening.__exit__)
        lines = follow(
            recording,
            services.pipeline,
            options=options,
            window_s=window_s,
            request_id=request_id,
        )
        stack.push_async_callback(lines.aclose)
        first = await anext(lines)
        services.metrics.observe_format(recording.format)
        body = _told(first, lines, request_id)
        return _LineStream(body, stack.pop_all(), settings.client_timeout_s)


async def _told(first: AnyLine, lines: _Lines, request_id: str) -> AsyncIterator[bytes]:
    """The lines as bytes; an error in their midst becomes the last one."""
    yield first.to_json() + b"\n"
    try:
        async for line in lines:
            yield line.to_json() + b"\n"
    except EcgServeError as error:
        yield _error_line(error, request_id)
    except Exception:
        _log.exception("request %s failed", request_id)
        yield _error_line(EcgServeError("The server failed on this recording."), request_id)


def _error_line(error: EcgServeError, request_id: str) -> bytes:
    # The line's type stands in the place of the problem's, whose code says as much.
    return json.dumps(problem_members(error, request_id) | {"type": "error"}).encode() + b"\n"


class _LineStream(StreamingResponse):
    """Lines as they come, to a client that keeps taking them.

    Args:
        lines: With their ends.
        stack: Closed when the last line is out, or when nobody takes any more.
        timeout_s: For which a client may take nothing.
    """

    def __init__(
        self, lines: AsyncIterator[bytes], stack: AsyncExitStack, timeout_s: float
    ) -> None:
        # Proxies must not collect the lines.
        headers = {**PRIVATE, "X-Accel-Buffering": "no", "Vary": "Accept"}
        super().__init__(lines, headers=headers, media_type=NDJSON)
        self._stack = stack
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._timeout_s):
                await send(message)

        async with self._stack:
            try:
                await super().__call__(scope, receive, send_in_time)
            except TimeoutError:  # without its last chunk the answer is known to be cut
                _log.warning("a client took nothing for %g s", self._timeout_s)
