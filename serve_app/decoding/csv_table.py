"""CSV: a line a sample, a column a lead, in the dialects that people export.

What is written otherwise has files of its own: a lead a line, and Apple Health's export.
"""

import re
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.apple_health import decode_apple_health, looks_like_apple_health
from serve_app.decoding.csv_dialect import HEAD_BYTES, Dialect, has_numbers, recognise
from serve_app.decoding.csv_rows import looks_like_rows, read_rows
from serve_app.decoding.decoded import Decoded
from serve_app.decoding.table_columns import decode_columns
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat, RecordingError

__all__ = ["decode_csv", "looks_like_csv"]

_UTF8_BOM: Final = b"\xef\xbb\xbf"
_UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
_EMPTY_CELL: Final = rb"(?im)(?:^|(?<=%b)) *(?:na|n/a|null|none|-)? *(?=%b|$)"
_CLOCK_CELL: Final = re.compile(rb"(?m)^[ \t]*(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_CLOCK_COST: Final = 30  # a time of day costs as much as that many numbers
Table = npt.NDArray[np.float64]


def looks_like_csv(data: bytes) -> bool:
    """Whether one of the first lines is made of numbers."""
    try:
        head = _utf8(data[:HEAD_BYTES])
        return has_numbers(head) or looks_like_rows(head) or looks_like_apple_health(head)
    except RecordingError:
        return False


def decode_csv(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode a table; its time column gives the sampling rate, empty cells become NaN.

    Raises:
        InvalidFormat: No table of numbers.
        CorruptedData: A line that is cut short or damaged.
        InvalidSignal: Times that are not regular, or no column of samples.
        MissingParameter: Several units are named, and for some columns none.
        PayloadTooLarge: More text or samples than `limits` allow.
    """
    limits.check_text(len(data))
    text = _utf8(data)
    if looks_like_apple_health(text):
        return decode_apple_health(text, limits)
    dialect, table = (read_rows if looks_like_rows(text) else _read_columns)(text, limits)
    return decode_columns(
        dialect.columns, table, hints, "csv", named=dialect.named, clock=dialect.clock
    )


def _utf8(data: bytes) -> bytes:
    if data.startswith(_UTF16_BOMS):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeDecodeError:
            raise CorruptedData("The text is cut short or damaged.") from None
    data = data.removeprefix(_UTF8_BOM)
    if b"\0" in data:
        raise InvalidFormat("The body is no text.")
    return data if b"\n" in data else data.replace(b"\r", b"\n")


def _read_columns(text: bytes, limits: Limits) -> tuple[Dialect, Table]:
    dialect = recognise(text)
    body = text[dialect.header_bytes :]
    _check_size(body, dialect, limits)
    return dialect, _numbers(body, dialect).T


def _check_size(body: bytes, dialect: Dialect, limits: Limits) -> None:
    """Refuse what would only be found wrong, or too much, after it has filled the memory."""
    lines, columns = body.count(b"\n") + 1, len(dialect.columns)
    limits.check_samples((lines - 1) * columns)
    if dialect.clock:
        limits.check_samples(lines * _CLOCK_COST)
    if body.count(dialect.delimiter.encode()) > lines * columns:
        raise CorruptedData(f"Lines of the table have more than its {columns} columns.")


def _numbers(body: bytes, dialect: Dialect) -> Table:
    """``(samples, columns)``; the usual file goes straight through NumPy's reader."""
    body = body.replace(b'"', b"").replace(b"'", b"")
    if dialect.delimiter != ",":
        body = body.replace(b",", b".")
    if dialect.clock:
        body = _CLOCK_CELL.sub(_seconds, body)
    try:
        return _load(body, dialect.delimiter)
    except ValueError:
        mark = re.escape(dialect.delimiter.encode())
        body = body.replace(b"\r\n", b"\n").strip(b"\n")
        filled = re.sub(_EMPTY_CELL % (mark, mark), b"nan", re.sub(rb"\n[ \t]*(?=\n)", b"", body))
    try:
        return _load(filled, dialect.delimiter)
    except ValueError as error:
        place = re.search(r"row (\d+)", str(error))
        where = f", near line {place[1]} of them" if place else ""
        raise CorruptedData(
            f"The numbers of the table cannot be read{where}: "
            "a line is cut short or holds text or another count of columns."
        ) from None


def _load(body: bytes, delimiter: str) -> Table:
    return np.loadtxt(
        BytesIO(body), np.float64, comments=None, delimiter=delimiter, ndmin=2, encoding="latin-1"
    )


def _seconds(match: re.Match[bytes]) -> bytes:
    hours, minutes, seconds = int(match[1] or 0), int(match[2]), float(match[3])
    return repr(hours * 3600 + minutes * 60 + seconds).encode()
