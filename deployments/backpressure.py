"""A client that sends faster than is read has to wait, as it has without Ray.

Ray Serve takes whatever a client sends into a queue without an end, to see at once when the client
goes. With an end the server stops reading, and so, by TCP, the client stops sending.
"""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["BoundedReceive"]

# Of a body 64 KiB each, of a live stream what its client sends.
_MESSAGES_AHEAD: Final = 8


class BoundedReceive:
    """ASGI middleware: bounds the queue of a replica's HTTP server, where there is one.

    Args:
        app: What reads.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Ray has no setting for it, and the queue is filled already: its own bound is raised.
        queue = getattr(receive, "queue", None)
        if isinstance(queue, asyncio.Queue):
            vars(queue)["_maxsize"] = _MESSAGES_AHEAD
        await self._app(scope, receive, send)
