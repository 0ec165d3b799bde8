"""Answers in the coding that Accept-Encoding prefers: zstd, gzip, or as they are."""

import asyncio
import gzip
import sys
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.api.negotiation import preferred_coding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["CODINGS", "Compression"]

_SMALLEST_BYTES: Final = 1 << 10
# More than a millisecond's work leaves the event loop.
_LARGE_BYTES: Final = 1 << 17
_COMPRESSIBLE: Final = ("application/json", "image/svg+xml", "text/", "application/javascript")
_COMPRESSIBLE_SUFFIX: Final = "+json"


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, 5, mtime=0)


def _zstd(body: bytes) -> bytes:
    return zstd.compress(body, 3)


# In the order of preference where the client has none.
_CODERS: Final[dict[str, Callable[[bytes], bytes]]] = {"zstd": _zstd, "gzip": _gzip}
CODINGS: Final = tuple(_CODERS)


class Compression:
    """ASGI middleware: compresses what is worth it and comes whole; streams pass line by line.

    A strong ETag names one sequence of bytes, so a compressed answer's has its coding behind it.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        coding = preferred_coding(Headers(scope=scope), CODINGS)
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_compressible(message):
                start = message
                return
            if start is not None:
                first, start = start, None
                if message["type"] == "http.response.body":
                    message = await _compressed(first, message, coding)
                await send(first)
            await send(message)

        await self._app(scope, receive, send_compressed)


def _is_compressible(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "").partition(";")[0]
    return (
        kind.startswith(_COMPRESSIBLE) or kind.endswith(_COMPRESSIBLE_SUFFIX)
    ) and "content-encoding" not in headers


async def _compressed(start: Message, message: Message, coding: str | None) -> Message:
    """The body's message, and in ``start`` the headers that go with it."""
    body = message.get("body", b"")
    if message.get("more_body") or len(body) < _SMALLEST_BYTES:
        return message
    headers = MutableHeaders(scope=start)
    headers.add_vary_header("Accept-Encoding")
    if coding is None:
        return message
    coder = _CODERS[coding]
    if len(body) < _LARGE_BYTES:
        body = coder(body)
    else:
        body = await asyncio.to_thread(coder, body)
    headers["Content-Encoding"] = coding
    headers["Content-Length"] = str(len(body))
    if tag := headers.get("etag"):
        headers["ETag"] = f'{tag[:-1]}-{coding}"'
    return {**message, "body": body}
