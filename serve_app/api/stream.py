"""WS /v1/stream: samples in, beats at once and a Result each 5 s out."""

import asyncio
import json
import logging
import time
import uuid
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_app.api.declarations import Services
from serve_app.api.problems import problem_members
from serve_app.errors import (
    ClientTimeout,
    EcgServeError,
    PayloadTooLarge,
    SchemaViolation,
)
from serve_app.settings import Settings
from serve_app.streaming.events import StartMessage, start_faults
from serve_app.streaming.live import LiveStream
from serve_app.wording import in_stream

__all__ = ["stream_router"]

_log = logging.getLogger(__name__)
_MAX_MESSAGE_BYTES: Final = 1 << 20
# So much of a stream may come at once, before its speed counts.
_HEAD_START_S: Final = 10.0
_LAST_WORDS_S: Final = 1.0
_POLICY, _TOO_BIG, _INTERNAL, _TRY_AGAIN = 1008, 1009, 1011, 1013
_CLOSE_CODES: Final = {408: _TRY_AGAIN, 413: _TOO_BIG, 503: _TRY_AGAIN}

Signal = npt.NDArray[np.float32]
stream_router = APIRouter()


@stream_router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """See docs/streaming.md: OpenAPI has no words for what goes over a WebSocket."""
    services: Services = socket.app.state.services
    if not _is_own_page(socket, services.settings):
        await socket.close(_POLICY, "origin")  # before it is accepted: 403
        return
    await socket.accept()
    request_id = uuid.uuid4().hex
    try:
        with services.streams.enter(), services.metrics.streams.track_inprogress():
            await _Connection(socket, services, request_id).serve()
    except WebSocketDisconnect:
        return
    except EcgServeError as error:
        await _end(socket, error, request_id)
    except Exception:
        _log.exception("stream %s failed", request_id)
        await _end(socket, EcgServeError("The server failed on this stream."), request_id)


def _is_own_page(socket: WebSocket, settings: Settings) -> bool:
    """A browser tells which page asks; CORS does not guard WebSockets, so this does."""
    origin = socket.headers.get("origin")
    if origin is None or origin in settings.cors_origins or "*" in settings.cors_origins:
        return True
    return urlsplit(origin).netloc == socket.headers.get("host")


async def _end(socket: WebSocket, error: EcgServeError, request_id: str) -> None:
    """Tell the problem, then close with its code as the reason."""
    fallback = _INTERNAL if error.status >= 500 else _POLICY
    with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
        async with asyncio.timeout(_LAST_WORDS_S):
            problem = problem_members(error, request_id)
            told = problem | {"type": "error", "hint": in_stream(error.hint)}
            await socket.send_text(json.dumps(told))
            await socket.close(_CLOSE_CODES.get(error.status, fallback), error.code)


class _Connection:
    """The messages of one client."""

    def __init__(self, socket: WebSocket, services: Services, request_id: str) -> None:
        self._socket = socket
        self._services = services
        self._request_id = request_id
        self._timeout_s = services.settings.client_timeout_s
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        settings = self._services.settings
        start = _start(await self._receive())
        live = LiveStream(
            start,
            self._services.pipeline,
            self._send,
            self._request_id,
            settings.max_long_hours * 3600,
        )
        pace = _Pace(settings.stream_max_speed)
        try:
            await live.begin()
            while (message := await self._receive_while(live)) is not None:
                await live.push(_samples(message, live.leads))
                await pace.keep(live.duration_s)
            await live.finish()
            await self._socket.close()
        finally:
            await live.stop()

    async def _receive_while(self, live: LiveStream) -> dict[str, Any] | None:
        """The next message of samples, None for the end; raises what breaks the stream."""
        receiving = asyncio.create_task(self._receive())
        try:
            either: set[asyncio.Future[Any]] = {receiving, live.broken}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if live.broken.done():
                live.broken.result()
            message = await receiving
        finally:
            receiving.cancel()
        return None if message.get("type") == "end" else message

    async def _receive(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                received = await self._socket.receive()
        except TimeoutError as error:
            raise ClientTimeout(f"Nothing came for {self._timeout_s:g} s.") from error
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        content = received.get("bytes") or received.get("text") or b""
        if len(content) > _MAX_MESSAGE_BYTES:
            raise PayloadTooLarge(
                f"A message is larger than {_MAX_MESSAGE_BYTES >> 10} KiB.",
                hint="Send shorter chunks; 0.1 s is a good length.",
            )
        return {"binary": content} if isinstance(content, bytes) else _json(content)

    async def _send(self, event: Any) -> None:
        try:
            async with asyncio.timeout(self._timeout_s), self._sending:
                await self._socket.send_text(event.to_json())
        except TimeoutError as error:
            raise ClientTimeout(f"No event was taken for {self._timeout_s:g} s.") from error


class _Pace:
    """Lets a stream come some times faster than real time, and no faster.

    Args:
        max_speed: Seconds of signal in a second.
    """

    def __init__(self, max_speed: float) -> None:
        self._max_speed = max_speed
        self._started_s = time.monotonic()

    async def keep(self, duration_s: float) -> None:
        """Wait until so much of the stream may have come."""
        due_s = max(0.0, duration_s - _HEAD_START_S) / self._max_speed
        await asyncio.sleep(max(0.0, self._started_s + due_s - time.monotonic()))


def _json(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise SchemaViolation("A message is no JSON.") from None
    if not isinstance(message, dict):
        raise SchemaViolation("A message is no JSON object.")
    return message


def _start(message: dict[str, Any]) -> StartMessage:
    try:
        return StartMessage.model_validate(message)
    except ValidationError as error:
        fields = start_faults(error)
        detail = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
        raise SchemaViolation(
            f"The first message must be a start: {detail}.",
            hint='Begin with {"type": "start", "fs_hz": 500, "leads": ["I", "II"]}.',
            extra={"errors": fields},
        ) from None


def _samples(message: dict[str, Any], leads: int) -> Signal:
    """``(leads, samples)`` in the client's units; NaN where missing."""
    if "binary" in message:
        values = np.frombuffer(message["binary"], np.uint8)
        if values.size % (4 * leads):
            raise SchemaViolation(f"Binary samples are float32, {leads} of them a frame.")
        return values.view("<f4").reshape(-1, leads).T.astype(np.float32)
    try:
        signal = np.array(message["samples"], np.float32, ndmin=2)
    except (KeyError, ValueError, TypeError, OverflowError):
        raise SchemaViolation(
            'A message is neither {"samples": [[...], ...]} nor {"type": "end"}.'
        ) from None
    if signal.size == 0:
        return np.zeros((leads, 0), np.float32)
    if signal.shape[0] != leads or signal.ndim != 2:
        raise SchemaViolation(f"samples must have {leads} rows, one for each lead.")
    return signal
