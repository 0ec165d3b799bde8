"""Zip archives, unpacked in memory and never further than the limits."""

import contextlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import PurePosixPath, PureWindowsPath
from typing import IO, Final

from serve_app.decoding.upload import Files, Limits, base_name
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    PayloadTooLarge,
    ResourceExhausted,
)

__all__ = ["ZippedFiles", "looks_like_zip", "unzip", "unzip_to_disk"]

_ENTRY: Final = b"PK\x01\x02"
_ENCRYPTED: Final = 0x1
# Others inflate a few bytes to gigabytes before a limit can be asked.
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def looks_like_zip(data: bytes) -> bool:
    """Whether an archive, perhaps an empty one, starts here."""
    return data[:4] in {b"PK\x03\x04", b"PK\x05\x06"}


class ZippedFiles:
    """An archive's files, each unpacked when it is asked for; folders and clutter left out.

    Args:
        data: The archive.
        limits: Of which `max_files` is meant for the whole archive.

    Attributes:
        names: Of the files, with their folders.
        sizes: As the archive declares them.

    Raises:
        InvalidFormat: Encrypted, an entry that names a place outside the archive, or no file.
        CorruptedData: Cut short or damaged.
        PayloadTooLarge: More entries than `limits` allow.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        # Counted before zipfile builds an object for each: twice as many, as folders count too.
        if data.count(_ENTRY) > 2 * limits.max_files:
            raise PayloadTooLarge(
                f"The archive has too many entries; at most {limits.max_files} files are taken.",
                hint="Send fewer files at a time.",
            )
        with _damage_told():
            self._archive = zipfile.ZipFile(BytesIO(data))
            entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
            for entry in entries:
                _check(entry)
            self._entries = [entry for entry in entries if not _is_clutter(entry.filename)]
        if not self._entries:
            raise InvalidFormat("The zip archive holds no file.")
        self.names = tuple(entry.filename for entry in self._entries)
        self.sizes = [entry.file_size for entry in self._entries]

    def read(self, indices: Sequence[int], limits: Limits) -> Files:
        """Some of the files under their base names.

        Raises:
            CorruptedData: Damaged.
            PayloadTooLarge: More bytes than `limits` allow, whatever the archive declares.
        """
        with _damage_told():
            return _read(self._archive, [self._entries[i] for i in indices], limits)

    def start(self, index: int, size: int) -> bytes:
        """At most so many of a file's first bytes; what is damaged counts as empty."""
        with (
            contextlib.suppress(EcgServeError),
            _damage_told(),
            self._archive.open(self._entries[index]) as stream,
        ):
            return stream.read(size)
        return b""


def unzip(data: bytes, limits: Limits) -> Files:
    """The archive's files under their base names; folders and a system's own files left out.

    Raises:
        InvalidFormat: Encrypted, an entry that names a place outside the archive, or no file.
        CorruptedData: Cut short or damaged.
        PayloadTooLarge: More entries or bytes than `limits` allow, whatever the archive declares.
    """
    zipped = ZippedFiles(data, limits)
    limits.check_files(zipped.sizes)
    return zipped.read(range(len(zipped.names)), limits)


@contextlib.contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError):
        raise CorruptedData("The zip archive is cut short or damaged.") from None
    except NotImplementedError:
        raise InvalidFormat("The zip archive uses features that are not read here.") from None


def _check(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise InvalidFormat(
            "The zip archive is encrypted.", hint="Send it without a password, over TLS."
        )
    if entry.compress_type not in _METHODS:
        raise InvalidFormat(
            "The zip archive's compression is not read here.", hint="Use deflate, or none."
        )
    windows, posix = PureWindowsPath(entry.filename), PurePosixPath(entry.filename)
    if windows.drive or windows.root or posix.is_absolute() or ".." in windows.parts:
        raise InvalidFormat(
            "The zip archive names a file outside itself.", hint="Zip the files by plain names."
        )


def _is_clutter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".") or parts[-1] == "Thumbs.db"


def _read(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], limits: Limits) -> Files:
    files, budget = [], limits.max_unpacked_bytes
    for entry in entries:
        with archive.open(entry) as stream:
            # The declared size is the sender's word: one byte more than is left tells.
            content = stream.read(budget + 1)
        budget -= len(content)
        if budget < 0:
            raise PayloadTooLarge(
                f"The archive unpacks to more than {limits.max_unpacked_bytes} bytes."
            )
        files.append((base_name(entry.filename), content))
    return tuple(files)


def unzip_to_disk(
    archive_file: IO[bytes], limits: Limits, stack: ExitStack
) -> list[tuple[str, IO[bytes]]]:
    """The archive's files, each in a private file that is gone when the stack closes it.

    Raises:
        EcgServeError: As `unzip`.
        ResourceExhausted: The disk is full.
    """
    with zipfile.ZipFile(archive_file) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        for entry in entries:
            _check(entry)
        entries = [entry for entry in entries if not _is_clutter(entry.filename)]
        # What is unpacked is held to the size that is declared here: zipfile reads no further.
        limits.check_files([entry.file_size for entry in entries])
        return [(base_name(entry.filename), _to_disk(archive, entry, stack)) for entry in entries]


def _to_disk(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, stack: ExitStack) -> IO[bytes]:
    file = stack.enter_context(tempfile.TemporaryFile(prefix="ecg-"))  # noqa: SIM115
    try:
        with archive.open(entry) as stream:
            shutil.copyfileobj(stream, file, 1 << 20)
    except zipfile.BadZipFile:
        raise
    except OSError:
        raise ResourceExhausted("No room on disk to unpack the recording.") from None
    return file
