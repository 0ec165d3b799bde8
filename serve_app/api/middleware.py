"""Around every request: its id, its metrics, and a problem for whatever nobody foresaw."""

import logging
import re
import time
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.api.metrics import Metrics
from serve_app.api.problems import problem_response
from serve_app.errors import EcgServeError, ResourceExhausted

__all__ = ["RequestScope"]

_log = logging.getLogger(__name__)
_REQUEST_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class RequestScope:
    """ASGI middleware: takes or makes X-Request-ID, counts and times, never lets a trace out.

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
        request_id = scope["request_id"] = _request_id(Headers(scope=scope))
        started_s, status = time.perf_counter(), 500

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._sets_header:
                    MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception as error:
            _log.exception("request %s failed", request_id)
            await problem_response(_unforeseen(error), request_id)(scope, receive, send_named)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.observe_request(route, status, time.perf_counter() - started_s)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _unforeseen(error: Exception) -> EcgServeError:
    if isinstance(error, (MemoryError, OSError)):
        return ResourceExhausted("The server ran out of memory or disk for this request.")
    return EcgServeError("The server failed on this request.")
