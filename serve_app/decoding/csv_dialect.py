"""Which CSV this is: delimiter, decimal mark, header, units, and what each column holds."""

import csv
import re
from dataclasses import dataclass
from typing import Final, Literal

from serve_app.decoding.units import Unit, electric_unit
from serve_app.errors import InvalidFormat

__all__ = [
    "HEAD_BYTES",
    "MAX_COLUMNS",
    "Column",
    "Dialect",
    "has_numbers",
    "is_number",
    "line_text",
    "named_column",
    "only_counts",
    "recognise",
]

HEAD_BYTES: Final = 1 << 16
MAX_COLUMNS: Final = 256
_MAX_HEADER_LINES: Final = 2
_NUMBER: Final = re.compile(
    r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)|na|n/a|null|none|-", re.I
)
_CLOCK: Final = re.compile(r"(?:\d+:)?\d{1,2}:\d{1,2}(?:[.,]\d+)?")
_DECIMAL_COMMA: Final = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")
_BRACKETED: Final = re.compile(r"(.*?)[\s_]*[(\[]\s*([^()\[\]]{1,20}?)\s*[)\]]")
_COMMENT: Final = re.compile(r"^\s*[#%]\s*(?=[^\W\d])")  # before names, as NumPy's savetxt writes
_SUFFIXED: Final = re.compile(r"(.*?)(?:_|\s+|/)([mun\u00b5\u03bc]V|ms|msec|us|s|secs?)", re.I)
_TIMES_S: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "hh:mm:ss.mmm", "mm:ss.mmm"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "\u03bcs", "microseconds"), 1e-6),
}
_TIME_NAMES: Final = {"t", "time", "times", "timestamp", "elapsed", "elapsed time", "elapsed_time"}
_INDEX_NAMES: Final = {
    *("", "#", "sample #", "sample", "samples", "sample number", "sample_number", "n"),
    *("index", "idx", "i#", "point", "sample_index", "sample index", "unnamed: 0", "row"),
}
_OTHER_UNITS: Final = {"mmhg", "bpm", "%", "nu", "c", "\u00b0c", "degc", "ohm", "g", "cmh2o", "pm"}
Kind = Literal["signal", "time", "index", "other"]


@dataclass(frozen=True)
class Column:
    """A column: its name, what it holds, and in which unit.

    Attributes:
        name: As in the header, without the unit; None without a header.
        kind: ``"signal"``, or what is not one: time, sample index, another quantity.
        unit: Of a signal, where it is said.
        seconds: Of a time column: how long its unit is, where it is said.
    """

    name: str | None = None
    kind: Kind = "signal"
    unit: Unit | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes:
        delimiter: Between cells; if it is no comma, a comma is a decimal mark.
        header_bytes: Where the numbers start.
        columns: One for each cell of a line.
        named: Whether a header names them.
        clock: Whether the first column is a time of the form ``0:01.250``.
    """

    delimiter: str
    header_bytes: int
    columns: tuple[Column, ...]
    named: bool
    clock: bool


def has_numbers(head: bytes) -> bool:
    """Whether one of the first lines is made of numbers."""
    return _first_data_line(_head_lines(head)) is not None


def recognise(data: bytes) -> Dialect:
    """The dialect of a table in UTF-8 (or Latin-1) without byte order mark.

    Raises:
        InvalidFormat: No line of numbers near the start, or header and numbers do not fit.
    """
    lines = _head_lines(data)
    found = _first_data_line(lines)
    if found is None:
        raise InvalidFormat(
            "The text is no table of numbers.",
            hint="Send one column a lead, with at most a line of names and a line of units above.",
        )
    index, delimiter = found
    cells = _cells(lines[index][1], delimiter)
    if len(cells) > MAX_COLUMNS:
        raise InvalidFormat(
            f"The table has {len(cells)} columns.", hint="Send one column a lead, a line a sample."
        )
    header = [_cells(_COMMENT.sub("", line), delimiter) for _, line in lines[:index]]
    columns, named = _columns(header, len(cells))
    return Dialect(
        delimiter,
        lines[index][0],
        columns,
        named,
        _CLOCK.fullmatch(cells[0]) is not None,
    )


def is_number(cell: str) -> bool:
    """Whether a cell holds a number, with whichever decimal mark, or stands for a missing one."""
    cell = cell.strip().strip("'\"").strip()
    return (_NUMBER.fullmatch(cell) or _DECIMAL_COMMA.fullmatch(cell)) is not None


def line_text(raw: bytes) -> str:
    """A line of a table that does not say how it is encoded: UTF-8, or else Latin-1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _head_lines(data: bytes) -> list[tuple[int, str]]:
    """The first lines that are not blank: where each starts, and its text."""
    lines = []
    for match in re.finditer(rb"[^\r\n]+", data[:HEAD_BYTES]):
        raw = match[0]
        if raw.strip():
            lines.append((match.start(), line_text(raw)))
        if len(lines) > _MAX_HEADER_LINES:
            break
    return lines


def _first_data_line(lines: list[tuple[int, str]]) -> tuple[int, str] | None:
    for index, (_, line) in enumerate(lines):
        delimiter = next((mark for mark in "\t;" if mark in line), ",")
        cells = _cells(line, delimiter)
        if not only_counts(cells) and _is_data(cells, decimal_comma=delimiter != ","):
            return index, delimiter
    return None


def _is_data(cells: list[str], *, decimal_comma: bool) -> bool:
    values = cells[1:] if _CLOCK.fullmatch(cells[0]) and len(cells) > 1 else cells
    filled = [cell for cell in values if cell]
    return any(c.isdigit() for cell in filled for c in cell) and all(
        _NUMBER.fullmatch(cell) or (decimal_comma and _DECIMAL_COMMA.fullmatch(cell))
        for cell in filled
    )


def only_counts(cells: list[str]) -> bool:
    """Whether a line only numbers its columns, as pandas does where they have no names."""
    filled = [cell for cell in cells if cell]
    count = [str(i) for i in range(len(filled) + 1)]
    return (len(filled) > 2 or cells[0] == "") and filled in (count[:-1], count[1:])


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        raise InvalidFormat("A line of the table cannot be read.") from None
    return [cell.strip().strip("'\"").strip() for cell in row] or [""]


def _columns(header: list[list[str]], count: int) -> tuple[tuple[Column, ...], bool]:
    if not header:
        return (Column(),) * count, False
    if only_counts(header[0]):
        header = [[], *header[1:]]
    elif len(header) == 1 and all(_quantity(cell) for cell in header[0] if cell):
        header = [[], header[0]]  # units alone
    names = _fit(header[0], count) if header[0] else None
    units = _fit(header[1], count) if len(header) > 1 else [""] * count
    if not all(_quantity(unit) for unit in units if unit):
        raise InvalidFormat(
            "Below the header is a line of neither numbers nor units.",
            hint="Send one column a lead, with at most a line of names and a line of units above.",
        )
    if names is None:
        return tuple(named_column(None, unit) for unit in units), False
    return tuple(named_column(name, unit) for name, unit in zip(names, units, strict=True)), True


def _fit(cells: list[str], count: int) -> list[str]:
    if len(cells) == count - 1:  # R leaves the name of its row numbers out
        return ["", *cells]
    if len(cells) != count:
        raise InvalidFormat(
            f"The header has {len(cells)} columns, the numbers have {count}.",
            hint="Use one delimiter in all lines; with a decimal comma, a semicolon or tab.",
        )
    return cells


def _quantity(text: str) -> bool:
    """Whether a text is a unit that is known, of whatever."""
    folded = text.casefold()
    return electric_unit(text) is not None or folded in _TIMES_S or folded in _OTHER_UNITS


def named_column(name: str | None, unit: str) -> Column:
    """What a column holds by its name, and its unit where a line of units says it."""
    if name is not None and not unit:
        name, unit = _split_unit(name)
    folded, unit_folded = (name or "").casefold(), unit.casefold()
    if unit_folded in _TIMES_S or folded in _TIME_NAMES:
        return Column(name, "time", seconds=_TIMES_S.get(unit_folded))
    if electric_unit(unit) is not None:
        return Column(name, "signal", electric_unit(unit))
    if unit_folded in _OTHER_UNITS:
        return Column(name, "other")
    return Column(name, "index" if name is not None and folded in _INDEX_NAMES else "signal")


def _split_unit(cell: str) -> tuple[str, str]:
    """``"I (mV)"``, ``"II_uV"``, ``"time [ms]"``, ``"ms"`` -> name and unit."""
    if cell.casefold() in _TIMES_S:
        return "time", cell
    if (match := _BRACKETED.fullmatch(cell)) and _quantity(match[2]):
        return match[1].strip(), match[2]
    # Bare suffixes are many a name's end: seconds only behind a name of time.
    if match := _SUFFIXED.fullmatch(cell):
        is_time = match[1].strip().casefold() in _TIME_NAMES
        if is_time == (match[2].casefold() in _TIMES_S):
            return match[1].strip(), match[2]
    return cell, ""
