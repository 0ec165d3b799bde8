"""One body with many recordings: which of its files belong together, and each in its turn.

What is zipped stays so, and what is JSON stays text, until a recording is read: a batch costs the
memory of its body and of the few recordings that are worked on.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from serve_app.decoding.formats import ZIP, claimed_format
from serve_app.decoding.json_list import element_spans
from serve_app.decoding.upload import Limits, Upload
from serve_app.decoding.wfdb_header import Header, parse_header
from serve_app.decoding.zip_archive import ZippedFiles, looks_like_zip
from serve_app.errors import EcgServeError, InvalidFormat, PayloadTooLarge

__all__ = ["FILES_PER_RECORDING", "BatchItem", "split_batch"]

_BOM: Final = b"\xef\xbb\xbf"
_HEADER: Final = ".hea"
_HEADER_BYTES: Final = 1 << 16
# A WFDB record has a header, a signal file or two, and annotations.
FILES_PER_RECORDING: Final = 8
_MAX_NAME: Final = 200


@dataclass(frozen=True)
class BatchItem:
    """One recording of a batch.

    Attributes:
        name: Its file, for WFDB without the ending; None in a JSON array.
        read: Unpacks it: a thread's work, and raises an EcgServeError where it cannot be done.
    """

    name: str | None
    read: Callable[[], Upload]


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
    headers = {
        (folder, stem): _parsed(start_of(i))
        for i, (folder, stem, ending) in enumerate(places)
        if ending.lower() == _HEADER
    }
    by_file: dict[tuple[str, str], list[int]] = {}
    by_stem: dict[tuple[str, str], list[int]] = {}
    for i, (folder, stem, ending) in enumerate(places):
        by_file.setdefault((folder, stem + ending), []).append(i)
        by_stem.setdefault((folder, stem), []).append(i)

    segments = {
        (folder, segment)
        for (folder, stem), header in headers.items()
        for segment, _ in header.segments
        if segment != stem
    }
    groups: dict[tuple[str, str], set[int]] = {}
    for record in headers.keys() - segments or headers.keys():
        groups[record] = _files_of_record(record, headers, by_file, by_stem)
    taken = set().union(*groups.values())
    found = [
        (f"{folder}/{stem}".lstrip("/"), tuple(sorted(files)))
        for (folder, stem), files in groups.items()
    ]
    found += [(name, (i,)) for i, name in enumerate(names) if i not in taken]
    return sorted(found, key=lambda group: group[1])


def _files_of_record(
    record: tuple[str, str],
    headers: dict[tuple[str, str], Header],
    by_file: dict[tuple[str, str], list[int]],
    by_stem: dict[tuple[str, str], list[int]],
) -> set[int]:
    folder = record[0]
    stems = [record, *((folder, segment) for segment, _ in headers[record].segments)]
    files: set[int] = set()
    for stem in stems:
        files.update(by_stem.get(stem, ()))
        named: Iterable[str] = (
            (signal.file for signal in headers[stem].signals) if stem in headers else ()
        )
        for name in named:
            files.update(by_file.get((folder, name), ()))
    return files


def _parsed(start: bytes) -> Header:
    """The header, or one that names nothing: what is wrong with it shows when it is decoded."""
    try:
        return parse_header(start)
    except EcgServeError:
        return Header("", None, None)


def _split(name: str) -> tuple[str, str, str]:
    r"""Folder, stem and ending of a name of any system: ``a\100.hea`` -> a, 100, .hea."""
    folder, _, base = name.replace("\\", "/").rpartition("/")
    stem, dot, ending = base.rpartition(".")
    return (folder, stem, dot + ending) if dot else (folder, base, "")


def _shown(name: str) -> str | None:
    """A name fit for an answer: printable and short."""
    return re.sub(r"[^\w .,:+()@/\\-]", "_", name)[-_MAX_NAME:] or None
