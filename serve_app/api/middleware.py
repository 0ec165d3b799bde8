"""Around every request: its ids, its metrics, its bounds, and a problem for what nobody foresaw."""

import logging
import re
import time
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.api.metrics import Metrics
from serve_app.api.problems import problem_response
from serve_app.api.tracing import TRACEPARENT, trace_of
from serve_app.errors import (
    AddressTooLong,
    EcgServeError,
    HeadersTooLarge,
    RequestError,
    ResourceExhausted,
)

__all__ = ["REQUEST_ID", "RequestScope"]

REQUEST_ID: Final = "X-Request-ID"
_log = logging.getLogger(__name__)
_REQUEST_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)
# A name, an IPv4 or a bracketed IPv6 address, and a port.
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%-]+|\[[0-9A-Fa-f:.%]+\])(?::\d{0,5})?")
_MAX_ADDRESS_BYTES: Final = 8 << 10
_MAX_HEADER_BYTES: Final = 32 << 10


class RequestScope:
    """ASGI middleware: names, traces, counts and times a request, and never lets a trace out.

    HEAD is answered as GET is, without the body.

    Args:
        app: What answers.
        metrics: What counts.
        sets_header: False where the server around it returns X-Request-ID itself.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, sets_header: bool = True) -> None:
        self._app = app
        self._metrics = metrics
        self._sets_header = sets_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = scope["request_id"] = _request_id(headers)
        trace = trace_of(headers.get(TRACEPARENT, ""))
        scope["trace_id"] = trace.trace_id
        started_s = scope["started_s"] = time.perf_counter()
        status, bare = 500, scope["method"] == "HEAD"

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = MutableHeaders(scope=message)
                answered[TRACEPARENT] = trace.traceparent
                if self._sets_header:
                    answered[REQUEST_ID] = request_id
            elif bare:
                message = {**message, "body": b""}
            await send(message)

        try:
            _refuse_oddities(scope)
            if bare:
                scope["method"] = "GET"
            await self._app(scope, receive, send_named)
        except EcgServeError as error:
            await problem_response(error, scope)(scope, receive, send_named)
        except Exception as error:
            _log.exception("request %s of trace %s failed", request_id, trace.trace_id)
            await problem_response(_unforeseen(error), scope)(scope, receive, send_named)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.observe_request(route, status, time.perf_counter() - started_s)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _refuse_oddities(scope: Scope) -> None:
    address = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    if address > _MAX_ADDRESS_BYTES:
        raise AddressTooLong(f"Path and query have more than {_MAX_ADDRESS_BYTES} bytes.")
    size, hosts = 0, 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise RequestError("The Host header is no host.", hint="Send the server's name.")
    if size > _MAX_HEADER_BYTES:
        raise HeadersTooLarge(f"The headers have more than {_MAX_HEADER_BYTES} bytes.")
    if hosts > 1:
        raise RequestError("There are several Host headers.", hint="Send one.")


def _unforeseen(error: Exception) -> EcgServeError:
    if isinstance(error, (MemoryError, OSError)):
        return ResourceExhausted("The server ran out of memory or disk for this request.")
    return EcgServeError("The server failed on this request.")
