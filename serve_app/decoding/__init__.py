"""Bytes to a Recording, the format recognised by content.

``decode(upload)`` reads whatever the table in `formats` has. What a client sends may be anything:
sizes are checked before they are believed, no file is opened by a name of the sender's, and every
failure is an EcgServeError that quotes neither path nor content.
"""

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from serve_app.decoding.batch import BatchItem, split_batch
from serve_app.decoding.blocks import WholeOnly
from serve_app.decoding.decoded import Decoded, to_recording
from serve_app.decoding.formats import (
    CONTENT_TYPES,
    WFDB,
    ZIP,
    Format,
    claimed_format,
    covers,
    recognise,
    unrecognised,
)
from serve_app.decoding.npz_archive import decode_npz, is_npz
from serve_app.decoding.paths import read_path
from serve_app.decoding.upload import DEFAULT_LIMITS, NO_HINTS, Files, Hints, Limits, Upload
from serve_app.decoding.wfdb_record import decode_wfdb, is_header
from serve_app.decoding.zip_archive import unzip
from serve_app.errors import CorruptedData, EcgServeError, InvalidFormat, ResourceExhausted
from serve_app.recording import Recording

__all__ = [
    "CONTENT_TYPES",
    "BatchItem",
    "Hints",
    "Limits",
    "Upload",
    "decode",
    "decode_path",
    "identify",
    "nothing_else_raised",
    "split_batch",
    "warm",
]


def decode(
    upload: Upload | bytes, hints: Hints = NO_HINTS, limits: Limits = DEFAULT_LIMITS
) -> Recording:
    """Decode one recording.

    Args:
        upload: What was sent; bare bytes have their format recognised.
        hints: What the format may not say; refused where it contradicts what the format says.
        limits: How much is taken.

    Returns:
        The recording, in millivolts; missing samples are NaN, others that are not finite are kept.

    Raises:
        InvalidFormat: Empty, unknown, of another format than the Content-Type says, or broken.
        CorruptedData: Cut short or damaged.
        InvalidSignal: Nothing in it can be an ECG.
        MissingParameter: A hint is needed.
        InvalidParameter: A hint contradicts the recording.
        SchemaViolation: JSON of another form.
        UnsupportedMediaType: A Content-Type that is not known.
        PayloadTooLarge: More than `limits` allow.
        ResourceExhausted: No memory or disk is left.
    """
    if isinstance(upload, bytes):
        upload = Upload((("", upload),))
    claimed = claimed_format(upload.content_type)
    if not any(content for _, content in upload.files):
        raise InvalidFormat("The recording is empty.", hint="Send its file, or its bytes.")
    limits.check_files([len(content) for _, content in upload.files])
    # What is not finite in float32 is told by preprocessing, not by a warning here.
    with nothing_else_raised(), np.errstate(all="ignore"):
        decoded = _decode_files(upload.files, claimed, hints, limits)
        return to_recording(decoded, hints, limits, upload.sha256)


def warm() -> None:
    """Import what decoders otherwise import with the first recording, but for the seldom-used."""
    for library in ("lxml.etree", "pydicom"):
        importlib.import_module(library)


def decode_path(path: Path, hints: Hints = NO_HINTS, limits: Limits = DEFAULT_LIMITS) -> Recording:
    """Decode a local file; a WFDB header, signal file or segment brings the rest of its record.

    Raises:
        OSError: The file cannot be read.
        EcgServeError: As in `decode`.
    """
    return decode(Upload(read_path(path, limits)), hints, limits)


@contextlib.contextmanager
def nothing_else_raised() -> Iterator[None]:
    """Turn what a parser raises unexpectedly into an error of ours, without its text."""
    try:
        yield
    except (EcgServeError, WholeOnly):
        raise
    except ImportError:
        raise EcgServeError("The library that reads this format is not installed.") from None
    except MemoryError:
        raise ResourceExhausted("No memory is left to decode the recording.") from None
    except Exception:  # third-party parsers raise anything on hostile bytes
        raise CorruptedData("The recording is damaged: its content breaks its format.") from None


def _decode_files(files: Files, claimed: Format | None, hints: Hints, limits: Limits) -> Decoded:
    if len(files) == 1:
        format_ = identify(*files[0], claimed)
        if format_ is not ZIP:
            return _decode_file(files[0], format_, hints, limits)
        files = unzip(files[0][1], limits)
        if is_npz(files):
            return decode_npz(files, hints, limits)
    if len(files) > 1 or is_header(*files[0]):
        return decode_wfdb(files, limits)
    format_ = identify(*files[0], None)
    if format_ is ZIP:
        raise InvalidFormat("The zip archive holds another one.", hint="Zip the files once.")
    return _decode_file(files[0], format_, hints, limits)


def identify(name: str, content: bytes, claimed: Format | None) -> Format:
    """What a file is by its content; a claim helps out only where the content says nothing."""
    found = WFDB if name and is_header(name, content) else recognise(content)
    fits = claimed is not None and found is not None and covers(claimed, found)
    if claimed is not None and not fits and (found is not None or claimed is ZIP):
        seems = f"looks like {found.title}" if found else "does not look like it"
        raise InvalidFormat(
            f"Content-Type says {claimed.title}, but the body {seems}.",
            hint="Name the format that is sent, or use application/octet-stream.",
        )
    format_ = found or claimed
    if format_ is None:
        raise unrecognised(content)
    return format_


def _decode_file(file: tuple[str, bytes], format_: Format, hints: Hints, limits: Limits) -> Decoded:
    if format_.decode is None:
        return decode_wfdb((file,), limits)
    return format_.decode(file[1], hints, limits)
