"""Ask a server, from plain or from asynchronous code.

``Client`` and ``AsyncClient`` send a recording (a path, bytes, an ``Upload``, a ``Recording`` or an
array) and give typed answers; a problem that the server tells is raised as ``ServerProblem``. What
failed for the moment is asked again, after the time that the server names. ``follow`` is for
recordings of any length, ``AsyncClient.stream`` for live ones.
"""

from serve_app.client.asynchronous import AsyncClient
from serve_app.client.calls import BatchItem, Sent, ServerProblem
from serve_app.client.retries import DEFAULT_RETRIES, NO_RETRIES, Retries
from serve_app.client.synchronous import Client

__all__ = [
    "DEFAULT_RETRIES",
    "NO_RETRIES",
    "AsyncClient",
    "BatchItem",
    "Client",
    "Retries",
    "Sent",
    "ServerProblem",
]
