"""Files on disk to Blocks: the same recognition as `decode`, without reading what is not asked for.

A file is mapped where it lies. What the mapping has brought into memory is let go of after each
stretch, so that a recording of any length costs the memory of a stretch.
"""

import contextlib
import mmap
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import IO, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding import identify, nothing_else_raised
from serve_app.decoding.blocks import Blocks, Content, WholeOnly, blocks_of
from serve_app.decoding.formats import WFDB, ZIP, Format, claimed_format
from serve_app.decoding.upload import Hints, Limits
from serve_app.decoding.wfdb_record import decode_wfdb, is_header, open_wfdb
from serve_app.decoding.zip_archive import unzip_to_disk
from serve_app.errors import (
    CorruptedData,
    InvalidFormat,
    PayloadTooLarge,
)

__all__ = ["DiskFiles", "open_files"]

DiskFiles = Sequence[tuple[str, IO[bytes]]]
_Mapped = list[tuple[str, mmap.mmap]]

# What a format is told by; no signature lies further inside.
_HEAD_BYTES: Final = 1 << 16
_ZIP_ENTRY: Final = b"PK\x01\x02"


@contextlib.contextmanager
def open_files(
    files: DiskFiles, content_type: str, hints: Hints, limits: Limits, whole: Limits
) -> Iterator[Blocks]:
    """The one recording that files on disk make, for as long as they stay open.

    Args:
        files: Each with its sender's name, or ``""``; a zip archive is unpacked to disk.
        content_type: As the client said it.
        hints: For decoders of formats that cannot be read a stretch at a time.
        limits: How much is taken.
        whole: How much is taken of what has to be decoded whole, in memory.

    Raises:
        EcgServeError: As `decode`.
    """
    claimed = claimed_format(content_type)
    limits.check_files([_size(file) for _, file in files])
    with ExitStack() as stack:
        mapped = [(name, stack.enter_context(_mapping(file))) for name, file in files]
        with nothing_else_raised(), np.errstate(all="ignore"):
            if len(mapped) == 1 and identify(mapped[0][0], _head(mapped[0][1]), claimed) is ZIP:
                unzipped = stack.enter_context(_unzipped(files[0][1], limits))
                mapped = [(name, stack.enter_context(_mapping(file))) for name, file in unzipped]
                claimed = None
            blocks = _open(mapped, claimed, hints, limits, whole)
        yield _letting_go(blocks, [content for _, content in mapped])


def _open(
    files: _Mapped, claimed: Format | None, hints: Hints, limits: Limits, whole: Limits
) -> Blocks:
    if len(files) > 1 or is_header(*files[0]):
        format_ = WFDB
    else:
        format_ = identify(files[0][0], _head(files[0][1]), claimed)
    if format_ is ZIP:
        raise InvalidFormat("The zip archive holds another one.", hint="Zip the files once.")
    with contextlib.suppress(WholeOnly):
        if format_ is WFDB:
            return open_wfdb(files, limits)
        if format_.open_blocks is not None:
            return format_.open_blocks(files[0][1], limits)
    return _decoded_whole(files, format_, hints, whole)


def _decoded_whole(files: _Mapped, format_: Format, hints: Hints, whole: Limits) -> Blocks:
    try:
        whole.check_files([len(content) for _, content in files])
    except PayloadTooLarge as error:
        raise PayloadTooLarge(
            f"Of this kind of {format_.name} file at most {whole.max_unpacked_bytes >> 20} MiB "
            "are read, since it has to be decoded as a whole.",
            hint="Send it as WFDB in format 16 or 212, as EDF, or a shorter part of it.",
        ) from error
    in_memory = tuple((name, bytes(content)) for name, content in files)
    if format_.decode is None:
        return blocks_of(decode_wfdb(in_memory, whole))
    return blocks_of(format_.decode(in_memory[0][1], hints, whole))


def _head(content: Content) -> bytes:
    return bytes(content[:_HEAD_BYTES])


def _size(file: IO[bytes]) -> int:
    return file.seek(0, 2)


@contextlib.contextmanager
def _mapping(file: IO[bytes]) -> Iterator[mmap.mmap]:
    if not _size(file):
        raise InvalidFormat("The recording is empty.", hint="Send its file, or its bytes.")
    file.flush()
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield mapped
    finally:
        # Where an array still looks at it, it goes with that array.
        with contextlib.suppress(BufferError):
            mapped.close()


def _letting_go(blocks: Blocks, mapped: list[mmap.mmap]) -> Blocks:
    """The same, but what was read is no longer counted as this process's memory."""

    def read(start: int, stop: int) -> npt.NDArray[np.float32]:
        with nothing_else_raised(), np.errstate(all="ignore"):
            stretch = blocks.read(start, stop)
        for content in mapped:
            content.madvise(mmap.MADV_DONTNEED)
        return stretch

    return replace(blocks, read=read)


@contextlib.contextmanager
def _unzipped(archive_file: IO[bytes], limits: Limits) -> Iterator[DiskFiles]:
    with ExitStack() as stack:
        _refuse_many_entries(archive_file, limits)
        try:
            files = unzip_to_disk(archive_file, limits, stack)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError):
            raise CorruptedData("The zip archive is cut short or damaged.") from None
        except NotImplementedError:
            raise InvalidFormat("The zip archive uses features that are not read here.") from None
        if not files:
            raise InvalidFormat("The zip archive holds no file.")
        yield files


def _refuse_many_entries(archive_file: IO[bytes], limits: Limits) -> None:
    """Counted before zipfile builds an object for each: twice as many, as folders count too."""
    with _mapping(archive_file) as content:
        place = -1
        for _ in range(2 * limits.max_files + 1):
            place = content.find(_ZIP_ENTRY, place + 1)
            if place < 0:
                return
    raise PayloadTooLarge(
        f"The archive has too many entries; at most {limits.max_files} files are taken.",
        hint="Send the files of one recording.",
    )
