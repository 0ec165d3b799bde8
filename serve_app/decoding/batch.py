"""One body with many recordings: which of its files belong together, and each in its turn.

What is zipped stays so, and what is JSON stays text, until a recording is read: a batch costs the
memory of its body and of the few recordings that are worked on.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from serve_app.decoding.formats import ZIP, claimed_format
from serve_app.decoding.json_list import element_spans
from serve_app.decoding.upload import Limits, Upload
from serve_app.decoding.wfdb_header import parse_header
from serve_app.decoding.zip_archive import ZippedFiles, looks_like_zip
from serve_app.errors import EcgServeError, InvalidFormat, PayloadTooLarge

__all__ = ["FILES_PER_RECORDING", "BatchItem", "split_batch"]

_BOM: Final = b"\xef\xbb\xbf"
_HEADER: Final = ".hea"
_HEADER_BYTES: Final = 1 << 16
# A WFDB record has a header, a signal file or two, and annotations.
FILES_PER_RECORDING: Final = 8
_MAX_NAME: Final = 200
# A file is named by one header, or by two; a few are sent without all that is named.
_NAMES_PER_FILE: Final = 4
_FEW_FILES: Final = 1000


@dataclass(frozen=True)
class BatchItem:
    """One recording of a batch.

    Attributes:
        name: Its file, for WFDB without the ending; None in a JSON array.
        read: Unpacks it: a thread's work, and raises an EcgServeError where it cannot be done.
    """

    name: str | None
    read: Callable[[], Upload]


# A folder and a name in it.
_Place = tuple[str, str]


@dataclass(frozen=True)
class _Named:
    """What a WFDB header names: stems of other headers, and signal files."""

    segments: frozenset[_Place]
    files: frozenset[_Place]


def split_batch(upload: Upload, limits: Limits, most: int) -> list[BatchItem]:
    """The recordings of a body, in its order; headers are looked at, nothing is decoded.

    A zip archive or several files: files that a WFDB header names, and those with its name, are
    one recording; any other file is one. A JSON array: each element is one.

    Args:
        upload: The body.
        limits: For each of the recordings.
        most: Recordings in a body.

    Raises:
        InvalidFormat: Neither of these, empty, or one that cannot be opened.
        CorruptedData: A damaged zip archive.
        UnsupportedMediaType: A Content-Type that is not known.
        PayloadTooLarge: More recordings than ``most``, or far more files.
    """
    claimed = claimed_format(upload.content_type)
    if len(upload.files) == 1:
        name, body = upload.files[0]
        if not body.strip():
            raise InvalidFormat("The body is empty.", hint="Send at least one recording.")
        if looks_like_zip(body):
            return _of_zip(body, limits, most)
        if body[:64].removeprefix(_BOM).lstrip()[:1] == b"[":
            return _of_json(body, limits, most)
        if not name:
            told = f"{claimed.title} alone" if claimed and claimed is not ZIP else "This body"
            raise InvalidFormat(
                f"{told} is no batch of recordings.",
                hint="Send a zip archive, multipart/form-data or a JSON array; "
                "POST /v1/predict takes a single recording.",
            )
    return _of_files(upload, most)


def _of_json(body: bytes, limits: Limits, most: int) -> list[BatchItem]:
    limits.check_text(len(body))
    spans = element_spans(body, most)
    if not spans:
        raise InvalidFormat("The JSON array is empty.", hint="Send at least one recording.")
    return [BatchItem(None, partial(_element, body, start, end)) for start, end in spans]


def _element(body: bytes, start: int, end: int) -> Upload:
    return Upload((("", body[start:end].strip()),), "application/json")


def _of_zip(body: bytes, limits: Limits, most: int) -> list[BatchItem]:
    whole = replace(limits, max_files=most * FILES_PER_RECORDING)
    zipped = ZippedFiles(body, whole)
    groups = _groups(zipped.names, lambda i: zipped.start(i, _HEADER_BYTES))
    _check_count(groups, most)

    def read(indices: Sequence[int]) -> Upload:
        limits.check_files([zipped.sizes[i] for i in indices])
        return Upload(zipped.read(indices, limits))

    return [BatchItem(_shown(name), partial(read, indices)) for name, indices in groups]


def _of_files(upload: Upload, most: int) -> list[BatchItem]:
    files = upload.files
    groups = _groups([name for name, _ in files], lambda i: files[i][1][:_HEADER_BYTES])
    _check_count(groups, most)

    def read(indices: Sequence[int]) -> Upload:
        return Upload(tuple(files[i] for i in indices))

    return [BatchItem(_shown(name), partial(read, indices)) for name, indices in groups]


def _check_count(groups: Sequence[object], most: int) -> None:
    if len(groups) > most:
        raise PayloadTooLarge(
            f"{len(groups)} recordings; at most {most} are taken.", hint="Send fewer at a time."
        )


def _groups(
    names: Sequence[str], start_of: Callable[[int], bytes]
) -> list[tuple[str, tuple[int, ...]]]:
    """Each recording's name and files, in the order of its first file.

    Args:
        names: Of all files, with folders.
        start_of: The first bytes of one of them.
    """
    places = [_split(name) for name in names]
    by_file: dict[_Place, list[int]] = {}
    by_stem: dict[_Place, list[int]] = {}
    for i, (folder, stem, ending) in enumerate(places):
        by_file.setdefault((folder, stem + ending), []).append(i)
        by_stem.setdefault((folder, stem), []).append(i)
    headers = _headers(places, start_of)
    segments = {each for record, header in headers.items() for each in header.segments - {record}}

    groups: dict[_Place, set[int]] = {}
    for record in headers.keys() - segments or headers.keys():
        stems = {record} | headers[record].segments
        files = {file for stem in stems if stem in headers for file in headers[stem].files}
        groups[record] = {i for stem in stems for i in by_stem.get(stem, ())}
        groups[record] |= {i for file in files for i in by_file.get(file, ())}
    taken = set().union(*groups.values())
    found = [("/".join(filter(None, record)), tuple(sorted(of))) for record, of in groups.items()]
    found += [(name, (i,)) for i, name in enumerate(names) if i not in taken]
    return sorted(found, key=lambda group: group[1])


def _headers(
    places: Sequence[tuple[str, str, str]], start_of: Callable[[int], bytes]
) -> dict[_Place, _Named]:
    """What the WFDB headers among the files name; raises InvalidFormat for an absurd lot."""
    headers: dict[_Place, _Named] = {}
    room = _NAMES_PER_FILE * len(places) + _NAMES_PER_FILE * _FEW_FILES
    for i, (folder, stem, ending) in enumerate(places):
        if ending.lower() == _HEADER:
            named = headers[folder, stem] = _named_by(folder, start_of(i))
            room -= len(named.segments) + len(named.files)
        if room < 0:
            raise InvalidFormat("The WFDB headers name far more files than were sent.")
    return headers


def _named_by(folder: str, start: bytes) -> _Named:
    try:
        header = parse_header(start)
    except EcgServeError:  # what is wrong with it shows when it is decoded
        return _Named(frozenset(), frozenset())
    return _Named(
        frozenset((folder, name) for name, _ in header.segments),
        frozenset((folder, signal.file) for signal in header.signals),
    )


def _split(name: str) -> tuple[str, str, str]:
    r"""Folder, stem and ending of a name of any system: ``a\100.hea`` -> a, 100, .hea."""
    folder, _, base = name.replace("\\", "/").rpartition("/")
    stem, dot, ending = base.rpartition(".")
    return (folder, stem, dot + ending) if dot else (folder, base, "")


def _shown(name: str) -> str | None:
    """A name fit for an answer: printable and short."""
    return re.sub(r"[^\w .,:+()@/\\-]", "_", name)[-_MAX_NAME:] or None
