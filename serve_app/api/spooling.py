"""Request -> files on disk: bodies of day-long recordings, which are never in memory."""

import asyncio
import hashlib
import sys
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any, Final

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from serve_app.decoding.opening import DiskFiles
from serve_app.decoding.upload import joined_sha256
from serve_app.errors import (
    ClientTimeout,
    CorruptedData,
    InvalidFormat,
    PayloadTooLarge,
    RequestError,
    ResourceExhausted,
    UnsupportedMediaType,
)
from serve_app.settings import Settings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["Spooled", "spool"]

_MAX_FILES: Final = 100
_PIECE: Final = 1 << 20
_ZSTD_WINDOW_LOG: Final = 27
_NO_CLAIM: Final = ("application/x-www-form-urlencoded", "")


@dataclass(frozen=True)
class Spooled:
    """What a client sent, in private files that are gone when they are closed.

    Attributes:
        files: The client's name for each, or ``""``.
        content_type: As the client said it; of parts of a multipart body nothing is claimed.
        sha256: Of the bytes, once decompressed, as `Upload.sha256` has it.
    """

    files: DiskFiles
    content_type: str
    sha256: str


async def spool(request: Request, settings: Settings, stack: AsyncExitStack) -> Spooled:
    """Take the body to disk, decompressed, as it comes.

    Args:
        request: Its body is read.
        settings: ``max_long_body_mb`` as sent and as decompressed, ``client_timeout_s``.
        stack: Closes the files, and so deletes them.

    Raises:
        PayloadTooLarge: Over the limit.
        UnsupportedMediaType: A Content-Encoding that is not read here.
        CorruptedData: Compressed data that cannot be decompressed.
        InvalidFormat: A multipart body without files, or one that cannot be parsed.
        ClientTimeout: Nothing came for too long.
        ResourceExhausted: The disk is full.
    """
    limit = settings.max_long_body_mb << 20
    body = _bounded(_chunks(request, settings.client_timeout_s), limit, "is larger")
    for coding in reversed(_codings(request)):
        body = _bounded(_decompressed(body, coding), limit, "decompresses to more")
    content_type = request.headers.get("content-type") or ""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            return await _spool_parts(request, body, stack)
        file = stack.enter_context(TemporaryFile(prefix="ecg-"))  # noqa: SIM115 - it is one
        digest = hashlib.sha256()
        async for piece in _pieces(body):
            await asyncio.to_thread(_write, file, digest, piece)
        file.flush()
    except OSError:
        raise ResourceExhausted("No room on disk for the recording.") from None
    claimed = "" if kind in _NO_CLAIM else content_type
    return Spooled([("", file)], claimed, digest.hexdigest())


def _write(file: IO[bytes], digest: Any, piece: bytes) -> None:
    digest.update(piece)
    file.write(piece)


async def _chunks(request: Request, timeout_s: float) -> AsyncIterator[bytes]:
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(timeout_s):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            yield chunk
    except TimeoutError as error:
        raise ClientTimeout(f"Nothing of the body came for {timeout_s:g} s.") from error
    except ClientDisconnect as error:
        raise RequestError("The body ended early: the client closed the connection.") from error


async def _bounded(body: AsyncIterator[bytes], limit: int, how: str) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in body:
        size += len(chunk)
        if size > limit:
            raise PayloadTooLarge(
                f"The body {how} than {limit >> 20} MiB.",
                hint="Send a shorter recording, or raise ECG_MAX_LONG_BODY_MB.",
            )
        yield chunk


async def _pieces(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Joined to 1 MiB or more, so that few of them go through a thread."""
    waiting: list[bytes] = []
    size = 0
    async for chunk in body:
        waiting.append(chunk)
        size += len(chunk)
        if size >= _PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def _codings(request: Request) -> list[str]:
    header = request.headers.get("content-encoding", "")
    codings = [coding.strip().lower() for coding in header.split(",") if coding.strip()]
    return [coding for coding in codings if coding != "identity"]


async def _decompressed(body: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    if coding not in _INFLATERS:
        raise UnsupportedMediaType(
            f"Content-Encoding {coding!r} is not read here.",
            hint=f"Send one of: {', '.join(_INFLATERS)}; or no coding at all.",
        )
    inflater = _INFLATERS[coding]()
    try:
        async for chunk in body:
            pieces = inflater.pieces(chunk)
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield piece
    except (zlib.error, zstd.ZstdError, EOFError):
        raise CorruptedData(f"The body is not valid {coding} data.") from None
    if not inflater.is_finished:
        raise CorruptedData(f"The body is not valid {coding} data, or is cut short.")


class _Zlib:
    """zlib, gzip or the bare stream, in pieces of bounded size."""

    def __init__(self, window_bits: int | None) -> None:
        self._window_bits = window_bits
        self._inflater: Any = None

    @property
    def is_finished(self) -> bool:
        return self._inflater is not None and bool(self._inflater.eof)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        if self._inflater is None and chunk:
            self._inflater = zlib.decompressobj(self._window_bits or _deflate_bits(chunk))
        while chunk and not self._inflater.eof:
            yield self._inflater.decompress(chunk, _PIECE)
            chunk = self._inflater.unconsumed_tail


def _deflate_bits(start: bytes) -> int:
    """RFC 9110 means zlib's wrapper; some clients send the bare stream."""
    wrapped = len(start) >= 2 and start[0] & 0x0F == 8 and int.from_bytes(start[:2]) % 31 == 0
    return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS


class _Zstd:
    """zstd, in pieces of bounded size."""

    def __init__(self) -> None:
        # Window capped: a frame's header alone may ask for gigabytes.
        options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
        self._inflater = zstd.ZstdDecompressor(options=options)

    @property
    def is_finished(self) -> bool:
        return bool(self._inflater.eof)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        if self._inflater.eof:
            return
        yield self._inflater.decompress(chunk, _PIECE)
        while not (self._inflater.eof or self._inflater.needs_input):
            yield self._inflater.decompress(b"", _PIECE)


_INFLATERS: Final[dict[str, Callable[[], _Zlib | _Zstd]]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Zlib(None),
    "zstd": _Zstd,
}


async def _spool_parts(
    request: Request, body: AsyncIterator[bytes], stack: AsyncExitStack
) -> Spooled:
    async def stream() -> AsyncGenerator[bytes, None]:
        async for chunk in body:
            yield chunk

    # Above a megabyte the parser spools to temporary files of its own.
    parser = MultiPartParser(request.headers, stream(), max_files=_MAX_FILES, max_fields=0)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise InvalidFormat(
            "The multipart body cannot be read, or has parts that are no files.",
            hint='Send each file as a part with a file name: curl -F "file=@100.hea" -F ...',
        ) from error
    stack.push_async_callback(form.close)
    files = [(part.filename or "", part.file) for part in _parts(form)]
    if not files:
        raise InvalidFormat("The multipart body holds no file.")
    return Spooled(files, "", await asyncio.to_thread(_joined_sha256, files))


def _parts(form: FormData) -> Iterator[UploadFile]:
    return (part for _, part in form.multi_items() if isinstance(part, UploadFile))


def _joined_sha256(files: DiskFiles) -> str:
    digests = []
    for name, file in files:
        file.fileno()  # on disk from here on, small as it may be: it is to be mapped
        file.seek(0)
        digests.append((name, _digest(file)))
    return digests[0][1].hex() if len(digests) == 1 else joined_sha256(digests)


def _digest(file: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.digest()
