"""A recording of any length: sent as it is read from disk, answered line by line."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Final, Literal

import httpx2
from pydantic import Field, TypeAdapter, ValidationError

from serve_app.client.calls import Call, Sent, ServerProblem, params, recording_options
from serve_app.decoding.paths import record_paths
from serve_app.errors import NotFound, Unavailable
from serve_app.streaming.events import ErrorEvent
from serve_app.streaming.lines import AnyLine, RecordingLine, SummaryLine, WindowLine

__all__ = ["ReadInThread", "cut_short", "long_call", "read_first", "read_line"]

_NDJSON: Final = "application/x-ndjson"
_PIECE: Final = 1 << 18
_LINES: Final[TypeAdapter[AnyLine | ErrorEvent]] = TypeAdapter(
    Annotated[RecordingLine | WindowLine | SummaryLine | ErrorEvent, Field(discriminator="type")]
)


@contextmanager
def long_call(
    what: Literal["predict", "analyze"], sent: Sent, query: Mapping[str, object]
) -> Iterator[Call[bytes]]:
    """The request; files are open within the block, and read again for each try.

    Raises:
        NotFound: A file that cannot be read.
        InvalidFormat: A WFDB header that breaks the format, or names a file elsewhere.
    """
    with ExitStack() as stack:
        try:
            if isinstance(sent, (str, Path)):
                options = {**_files(Path(sent), stack), "params": params(query)}
            else:
                options = recording_options(sent, query)
            options["headers"] |= {"Accept": _NDJSON}
            yield Call("POST", f"/v1/{what}", bytes, options)
        except OSError as error:
            raise NotFound(
                f"The file cannot be read: {error.strerror}.", hint="Check the path."
            ) from error


def read_line(text: str) -> AnyLine:
    """One line of the answer.

    Raises:
        ServerProblem: It tells one, or is none of those that are known here.
    """
    try:
        line = _LINES.validate_json(text)
    except ValidationError:
        raise _unreadable() from None
    if isinstance(line, ErrorEvent):
        raise ServerProblem(line.model_dump())
    return line


def read_first(text: str) -> RecordingLine:
    """The line that every answer begins with; raises as `read_line`."""
    line = read_line(text)
    if not isinstance(line, RecordingLine):
        raise _unreadable()
    return line


def cut_short(last: AnyLine | None, error: httpx2.TransportError | None = None) -> Unavailable:
    """The error for an answer that ends without its summary."""
    reached = f"at {last.end_s:g} s" if isinstance(last, WindowLine) else "before its windows"
    why = f" ({type(error).__name__})" if error else ""
    return Unavailable(
        f"The server's answer ends {reached}, without a summary{why}.",
        hint="Ask again: the server, or something on the way to it, went away.",
    )


def _unreadable() -> ServerProblem:
    return ServerProblem(
        {
            "detail": "The server's answer cannot be read as the lines of a recording.",
            "hint": "Is it an ECG-FM Serve of this version?",
        }
    )


@dataclass(frozen=True)
class ReadInThread(httpx2.AsyncByteStream):
    """The body, read from disk without holding the event loop up."""

    body: httpx2.SyncByteStream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Piece by piece."""
        pieces = iter(self.body)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece


@dataclass(frozen=True)
class _FileBody:
    """One file as a body that each try reads from its start."""

    file: IO[bytes]

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(0)
        while piece := self.file.read(_PIECE):
            yield piece


def _files(path: Path, stack: ExitStack) -> dict[str, Any]:
    files = [(each.name, stack.enter_context(each.open("rb"))) for each in record_paths(path)]
    if len(files) > 1:
        return {"files": [("file", file) for file in files], "headers": {}}
    file = files[0][1]
    headers = {"Content-Type": "application/octet-stream", "Content-Length": f"{file.seek(0, 2)}"}
    return {"content": _FileBody(file), "headers": headers}
