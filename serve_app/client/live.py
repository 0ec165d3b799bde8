"""The client's side of a live stream, as `AsyncClient.stream` opens it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)

from serve_app.client.calls import ServerProblem
from serve_app.errors import EcgServeError, InvalidParameter, Unavailable
from serve_app.streaming.events import (
    BeatEvent,
    ErrorEvent,
    Event,
    ResultEvent,
    StartedEvent,
    StartMessage,
    SummaryEvent,
    start_faults,
)

__all__ = ["Stream", "stream"]

_EVENTS: Final[TypeAdapter[Event]] = TypeAdapter(Event)
_OPEN_TIMEOUT_S: Final = 10.0
_ADDRESS_HINT: Final = "Give the server's own address, such as http://127.0.0.1:8000."
# A message holds up to 1 MiB; shorter ones bring beats sooner.
_MESSAGE_VALUES: Final = 1 << 17


class Stream:
    """An open stream: samples go in by `send`, events come by iterating.

    Args:
        connection: Open, and started.
        started: The server's answer to the start.
    """

    def __init__(self, connection: ClientConnection, started: StartedEvent) -> None:
        self._connection = connection
        self._leads = len(started.leads)
        self.started = started

    async def send(self, signal: npt.ArrayLike) -> None:
        """The next samples, ``(leads, samples)`` or of one lead ``(samples,)``; NaN: missing.

        Waits where the server takes no more at the moment: iterate in another task meanwhile.

        Raises:
            ServerProblem: The server ended the stream.
        """
        array = np.atleast_2d(np.asarray(signal, "<f4"))
        if array.shape[0] != self._leads:
            raise ValueError(f"{array.shape[0]} rows; the stream has {self._leads} leads")
        frames = max(1, _MESSAGE_VALUES // self._leads)
        try:
            for start in range(0, array.shape[1], frames):
                piece = array[:, start : start + frames]
                await self._connection.send(np.ascontiguousarray(piece.T).tobytes())
        except ConnectionClosed as error:
            raise await self._why(error) from error

    async def end(self) -> None:
        """No more samples: the summary comes, and then no event any more."""
        await self._connection.send('{"type": "end"}')

    async def __aiter__(self) -> AsyncIterator[BeatEvent | ResultEvent | SummaryEvent]:
        """Events until the summary, which follows `end`.

        Raises:
            ServerProblem: The server ended the stream.
        """
        while True:
            try:
                event = await _next_event(self._connection)
            except ConnectionClosedOK:
                return
            except ConnectionClosed as error:
                raise _unavailable(error) from error
            if not isinstance(event, StartedEvent):
                yield event

    async def _why(self, error: ConnectionClosed) -> EcgServeError:
        """The problem that the server told before it closed, if it is there to be read."""
        try:
            while True:
                await _next_event(self._connection)
        except ServerProblem as problem:
            return problem
        except ConnectionClosed:
            return _unavailable(error)


@asynccontextmanager
async def stream(
    url: str,
    *,
    fs_hz: float,
    leads: Sequence[str],
    units: Literal["mV", "uV"] = "mV",
    predictions: bool = True,
    missing_leads: Literal["refuse", "zero"] = "refuse",
    model: str | None = None,
    precision: str | None = None,
    open_timeout_s: float = _OPEN_TIMEOUT_S,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Stream]:
    """Open a stream; it is closed at the end of the block.

    Args:
        url: Of the server, such as ``http://127.0.0.1:8000``.
        fs_hz: Samples a second.
        leads: A name for each row of what will be sent.
        units: Of what will be sent.
        predictions: False: no model is asked.
        missing_leads: ``"zero"``: give the model zeros for them.
        model: ``NAME`` or ``NAME@REVISION``; None takes the default.
        precision: Refused unless the model is served in it.
        open_timeout_s: For the connection.
        headers: Sent with the handshake.

    Raises:
        InvalidParameter: No stream can begin like this, or the URL is no URL.
        ServerProblem: The server refuses it, or has no stream at this address.
        Unavailable: The server cannot be reached.
    """
    try:
        start = StartMessage(
            fs_hz=fs_hz,
            leads=list(leads),
            units=units,
            predictions=predictions,
            missing_leads=missing_leads,
            model=model,
            precision=precision,
        )
    except ValidationError as error:
        raise _invalid(error) from None
    connection = await _connected(url, open_timeout_s, headers)
    async with connection:
        await connection.send(start.model_dump_json())
        try:
            started = await _next_event(connection)
        except ConnectionClosed as error:
            raise _unavailable(error) from error
        assert isinstance(started, StartedEvent)  # noqa: S101 - the protocol's first answer
        yield Stream(connection, started)


def _invalid(error: ValidationError) -> InvalidParameter:
    fields = start_faults(error)
    told = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
    return InvalidParameter(
        f"No stream can begin like this: {told}.",
        hint="fs_hz is 100 to 2000; leads are the names of the rows that will be sent.",
        extra={"errors": fields},
    )


async def _connected(
    url: str, timeout_s: float, headers: Mapping[str, str] | None
) -> ClientConnection:
    try:
        return await connect(
            _address(url), open_timeout=timeout_s, max_size=None, additional_headers=headers
        )
    except InvalidURI:
        raise InvalidParameter("That is no URL of a server.", hint=_ADDRESS_HINT) from None
    except InvalidStatus as error:
        raise _no_stream(error.response.status_code) from error
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise Unavailable(
            f"The server cannot be reached ({type(error).__name__}).", hint="Is it running?"
        ) from error


def _no_stream(status: int) -> EcgServeError:
    """Of a handshake that was answered, but by no WebSocket."""
    if status >= 500:
        return Unavailable(f"The server cannot be reached (HTTP status {status}).")
    return ServerProblem(
        {
            "status": status,
            "code": "bad_request",
            "detail": f"The server takes no stream at this address (HTTP status {status}).",
            "hint": _ADDRESS_HINT,
        }
    )


def _address(url: str) -> str:
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/v1/stream", "", ""))


async def _next_event(
    connection: ClientConnection,
) -> StartedEvent | BeatEvent | ResultEvent | SummaryEvent:
    event = _EVENTS.validate_json(await connection.recv())
    if isinstance(event, ErrorEvent):
        raise ServerProblem(event.model_dump())
    return event


def _unavailable(error: ConnectionClosed) -> Unavailable:
    reason = error.rcvd.reason if error.rcvd else ""
    return Unavailable(f"The server closed the stream ({reason or 'without a word'}).")
