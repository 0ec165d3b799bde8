"""CSV the other way round: a line a lead, perhaps with its name before its samples."""

from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.csv_dialect import (
    HEAD_BYTES,
    MAX_COLUMNS,
    Column,
    Dialect,
    is_number,
    line_text,
    named_column,
    only_counts,
)
from serve_app.decoding.decoded import MAX_LEADS
from serve_app.decoding.upload import Limits
from serve_app.errors import CorruptedData, InvalidSignal

__all__ = ["looks_like_rows", "read_rows"]

_MARKS: Final = (b"\t", b";", b",")


def looks_like_rows(text: bytes) -> bool:
    """Whether the first line that is not blank holds more numbers than a table has columns."""
    head = text[:HEAD_BYTES].lstrip(b"\r\n")
    line, end, _ = head.partition(b"\n")
    mark = _delimiter(line)
    cells = line.rstrip(b"\r \t" + mark).split(mark)
    # The bound may have cut the last one.
    samples = cells[1:] if end or len(text) < HEAD_BYTES else cells[1:-1]
    return len(samples) >= MAX_COLUMNS and all(is_number(line_text(cell)) for cell in samples)


def read_rows(text: bytes, limits: Limits) -> tuple[Dialect, npt.NDArray[np.float64]]:
    """Read text that `looks_like_rows`: what its lines hold, and ``(lines, samples)`` of numbers.

    Raises:
        CorruptedData: A line of another length, or with text among its numbers.
        InvalidSignal: More lines than a recording has leads.
        PayloadTooLarge: More samples than `limits` allow.
    """
    lines = [line for line in text.split(b"\n", 2 * MAX_LEADS) if line.strip()]
    if len(lines) > MAX_LEADS:
        raise InvalidSignal(
            "The table has too many columns and too many lines.",
            hint="Send one column a lead, a line a sample.",
        )
    mark = _delimiter(lines[0])
    limits.check_samples(text.count(mark))
    first = line_text(lines[0]).strip().split(mark.decode())
    counted = only_counts(first)  # pandas' names for columns that have none
    if counted:
        lines = lines[1:]
    heads = [line_text(line.partition(mark)[0]).strip().strip("'\"").strip() for line in lines]
    named = not any(is_number(head) for head in heads)
    if named or (counted and not first[0]):
        lines = [line.partition(mark)[2] for line in lines]
    columns = tuple(named_column(head, "") if named else Column() for head in heads)
    return Dialect(mark.decode(), 0, columns, named, clock=False), _numbers(lines, mark)


def _delimiter(line: bytes) -> bytes:
    return next((mark for mark in _MARKS if mark in line), b",")


def _numbers(lines: list[bytes], mark: bytes) -> npt.NDArray[np.float64]:
    body = b"\n".join(line.rstrip(b"\r \t" + mark) for line in lines)
    body = body.replace(b'"', b"").replace(b"'", b"")
    if mark != b",":
        body = body.replace(b",", b".")
    try:
        return np.loadtxt(
            BytesIO(body), np.float64, comments=None, delimiter=mark.decode(), ndmin=2,
            encoding="latin-1",
        )  # fmt: skip
    except ValueError:  # its message quotes the line
        raise CorruptedData(
            "The lines of the table, one a lead, differ in length or hold text among numbers."
        ) from None
