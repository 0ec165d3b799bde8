"""CSV: a line a sample, a column a lead, in the dialects that people export.

What is written otherwise has files of its own: a lead a line, and Apple Health's export.
"""

import re
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.apple_health import decode_apple_health, looks_like_apple_health
from serve_app.decoding.csv_dialect import HEAD_BYTES, Column, Dialect, has_numbers, recognise
from serve_app.decoding.csv_rows import looks_like_rows, read_rows
from serve_app.decoding.decoded import Decoded, missing_parameter
from serve_app.decoding.units import Unit, to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal, RecordingError

__all__ = ["decode_csv", "looks_like_csv"]

_UTF8_BOM: Final = b"\xef\xbb\xbf"
_UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
_EMPTY_CELL: Final = rb"(?im)(?:^|(?<=%b)) *(?:na|n/a|null|none|-)? *(?=%b|$)"
_CLOCK_CELL: Final = re.compile(rb"(?m)^[ \t]*(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_CLOCK_COST: Final = 30  # a time of day costs as much as that many numbers
_JITTER: Final = 0.01
_SHORTEST_STEP_S, _LONGEST_STEP_S = 1e-5, 0.05
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
    columns = _inspect(list(dialect.columns), table, dialect, hints)
    rows = [i for i, column in enumerate(columns) if column.kind == "signal"]
    if not rows:
        raise InvalidSignal("No column of the table holds an ECG.")
    time = next((i for i, column in enumerate(columns) if column.kind == "time"), None)
    signal, units = _millivolts(table[rows], [columns[i].unit for i in rows])
    return Decoded(
        signal,
        None if time is None else _sampling_rate(table[time], columns[time].seconds),
        tuple(columns[i].name or "" for i in rows) if dialect.named else None,
        units,
        "csv",
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


def _inspect(columns: list[Column], table: Table, dialect: Dialect, hints: Hints) -> list[Column]:
    """The columns once their numbers are known: what is empty, an index or a time is no signal."""
    for i, column in enumerate(columns):
        if not column.name and np.isnan(table[i]).all():
            columns[i] = Column(kind="other")  # lines that end in a delimiter
        elif column.kind == "index" and not _is_ramp(table[i]):
            if not column.name:
                raise InvalidFormat(f"Column {i + 1} has no name.", hint="Name every column.")
            columns[i] = Column(column.name)
    if dialect.clock:
        columns[0] = Column(columns[0].name, "time", seconds=1.0)
    elif not dialect.named and len(columns) > 1 and columns[0].unit is None:
        wanted = len(hints.leads) if hints.leads else 0
        if len(columns) != wanted and columns[0].kind == "signal" and _is_ramp(table[0]):
            columns[0] = Column(kind="time")
    return columns


def _is_ramp(values: Table) -> bool:
    """Whether values rise evenly, as times and indices do and signals do not."""
    if values.size < 3 or not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    return bool(steps.min() > 0 and np.ptp(steps) <= 0.5 * steps.mean() + _resolution(values))


def _sampling_rate(times: Table, seconds: float | None) -> float | None:
    """Samples a second from a time column; None where it only counts samples."""
    if times.size < 2:
        return None
    if not np.isfinite(times).all() or times[-1] <= times[0]:
        raise InvalidSignal("The time column does not rise.", hint="Send the samples in order.")
    step = float((times[-1] - times[0]) / (times.size - 1))
    if seconds is None:
        if step == 1:  # milliseconds at 1000 Hz, or a count?
            return None
        seconds = 1.0 if step < _LONGEST_STEP_S else 1e-3
    if not step * seconds >= _SHORTEST_STEP_S:
        raise InvalidSignal("The time column rises by less than 10 microseconds a sample.")
    resolution = _resolution(times)
    ideal = times[0] + step * np.arange(times.size)
    # Rounding of times is no jitter; but one sample missing moves some by half a step or more.
    tolerance = max(_JITTER * step, min(0.6 * resolution, 0.45 * step))
    if np.abs(times - ideal).max() > tolerance:
        raise InvalidSignal(
            "The time column is not regular: samples are missing, or its times too coarse.",
            hint="Send evenly sampled signals; or leave the time column out and add ?fs_hz=.",
        )
    return _rounded(1 / (step * seconds), max(1e-6, resolution / float(times[-1] - times[0])))


def _resolution(times: Table) -> float:
    """The unit in the last place to which times were written; 0 if they have many places."""
    some = times[:1000] - times[0]
    precision = 2 * float(np.spacing(np.abs(times).max()))
    for places in range(7):
        scaled = some * 10.0**places
        if np.abs(scaled - np.rint(scaled)).max() < max(1e-4, precision * 10.0**places) < 0.1:
            return float(10.0**-places)
    return 0.0


def _rounded(fs_hz: float, uncertainty: float) -> float:
    """The whole number that `fs_hz` is, as far as its times can tell."""
    whole = float(round(fs_hz))
    return whole if abs(fs_hz - whole) <= uncertainty * fs_hz else fs_hz


def _millivolts(
    signal: Table, units: list[Unit | None]
) -> tuple[npt.NDArray[Any], frozenset[Unit]]:
    said = frozenset(unit for unit in units if unit is not None)
    if not said:
        return signal, said
    if len(said) > 1 and None in units:
        raise missing_parameter("csv", "units")
    only = next(iter(said))
    return np.stack(
        [to_mv(row, unit or only) for row, unit in zip(signal, units, strict=True)]
    ), said
