"""Request -> Upload: bounded reading, content codings and multipart."""

import sys
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from serve_app.decoding import Upload
from serve_app.errors import (
    CorruptedData,
    InvalidFormat,
    PayloadTooLarge,
    RequestError,
    UnsupportedMediaType,
)
from serve_app.settings import Settings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["read_body", "read_upload"]

_MAX_FILES: Final = 100
_CHUNK: Final = 1 << 16
_ZSTD_WINDOW_LOG: Final = 27
_ANY_TYPE: Final = "application/octet-stream"
# What curl says of any --data-binary: no claim of a format.
_NO_CLAIM: Final = "application/x-www-form-urlencoded"


async def read_upload(
    request: Request, settings: Settings, *, max_files: int = _MAX_FILES
) -> Upload:
    """What the request carries, decompressed, as named files.

    Args:
        request: Its body has not been read yet.
        settings: Limits of its size.
        max_files: In multipart/form-data.

    Raises:
        PayloadTooLarge: Over ``max_body_mb`` as sent, or ``max_unpacked_mb`` once decompressed.
        UnsupportedMediaType: A Content-Encoding that is not read here.
        CorruptedData: Compressed data that cannot be decompressed.
        InvalidFormat: A multipart body without files, or one that cannot be parsed.
    """
    body = await read_body(request, settings)
    content_type = request.headers.get("content-type") or _ANY_TYPE
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return Upload(await _multipart_files(request, body, max_files))
    return Upload((("", body),), _ANY_TYPE if media_type == _NO_CLAIM else content_type)


async def read_body(request: Request, settings: Settings) -> bytes:
    """What the request carries, decompressed.

    Raises:
        PayloadTooLarge: Over ``max_body_mb`` as sent, or ``max_unpacked_mb`` once decompressed.
        UnsupportedMediaType: A Content-Encoding that is not read here.
        CorruptedData: Compressed data that cannot be decompressed.
    """
    body = await _read_body(request, settings.max_body_mb << 20)
    for coding in reversed(_codings(request)):
        body = _decompress(body, coding, settings.max_unpacked_mb << 20)
    return body


async def _read_body(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > limit:
        raise PayloadTooLarge(f"The body is larger than {limit >> 20} MiB.")
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise PayloadTooLarge(f"The body is larger than {limit >> 20} MiB.")
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise RequestError("The body ended early: the client closed the connection.") from error
    return b"".join(chunks)


def _codings(request: Request) -> list[str]:
    header = request.headers.get("content-encoding", "")
    codings = [coding.strip().lower() for coding in header.split(",") if coding.strip()]
    return [coding for coding in codings if coding != "identity"]


def _decompress(body: bytes, coding: str, limit: int) -> bytes:
    inflate = _INFLATERS.get(coding)
    if inflate is None:
        raise UnsupportedMediaType(
            f"Content-Encoding {coding!r} is not read here.",
            hint=f"Send one of: {', '.join(_INFLATERS)}; or no coding at all.",
        )
    chunks, size = [], 0
    try:
        for chunk in inflate(body):
            size += len(chunk)
            if size > limit:
                raise PayloadTooLarge(
                    f"The body decompresses to more than {limit >> 20} MiB.",
                    hint="Send a shorter recording, or raise ECG_MAX_UNPACKED_MB.",
                )
            chunks.append(chunk)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise CorruptedData(f"The body is not valid {coding} data, or is cut short.") from error
    return b"".join(chunks)


def _inflate_gzip(body: bytes) -> Iterator[bytes]:
    return _inflate(body, zlib.MAX_WBITS | 16)


def _inflate_deflate(body: bytes) -> Iterator[bytes]:
    # RFC 9110 means zlib's wrapper; some clients send the bare stream.
    wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
    return _inflate(body, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)


def _inflate(body: bytes, window_bits: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(window_bits)
    while body and not inflater.eof:
        yield inflater.decompress(body, _CHUNK)
        body = inflater.unconsumed_tail
    if not inflater.eof:
        raise EOFError


def _inflate_zstd(body: bytes) -> Iterator[bytes]:
    # Window capped: a frame's header alone may ask for gigabytes.
    options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
    inflater = zstd.ZstdDecompressor(options=options)
    yield inflater.decompress(body, _CHUNK)
    while not inflater.eof:
        if inflater.needs_input:
            raise EOFError
        yield inflater.decompress(b"", _CHUNK)


_INFLATERS: Final[dict[str, Callable[[bytes], Iterator[bytes]]]] = {
    "gzip": _inflate_gzip,
    "deflate": _inflate_deflate,
    "zstd": _inflate_zstd,
}


async def _multipart_files(
    request: Request, body: bytes, max_files: int
) -> tuple[tuple[str, bytes], ...]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=max_files, max_fields=0)
    # Never spooled to disk: the body is in memory already, and bounded.
    parser.spool_max_size = len(body) + 1
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise InvalidFormat(
            "The multipart body cannot be read, or has parts that are no files.",
            hint='Send each file as a part with a file name: curl -F "file=@100.hea" -F ...',
        ) from error
    parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    try:
        return tuple([(part.filename or "", await part.read()) for part in parts])
    finally:
        await form.close()
