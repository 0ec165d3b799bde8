"""What the columns of a table hold: leads, their times, or neither."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.csv_dialect import Column
from serve_app.decoding.decoded import Decoded, missing_parameter
from serve_app.decoding.units import Unit, to_mv
from serve_app.decoding.upload import Hints
from serve_app.errors import InvalidFormat, InvalidSignal

__all__ = ["decode_columns"]

_JITTER: Final = 0.01
_SHORTEST_STEP_S, _LONGEST_STEP_S = 1e-5, 0.05
Table = npt.NDArray[np.float64]


def decode_columns(
    said: tuple[Column, ...],
    table: Table,
    hints: Hints,
    format_name: str,
    *,
    named: bool,
    clock: bool = False,
) -> Decoded:
    """Decode ``(columns, samples)`` of numbers; a time column gives the sampling rate.

    Args:
        said: What the header says of each column.
        table: Their numbers, NaN where a cell is empty.
        hints: Which may name the columns.
        format_name: As in ``Recording.format``.
        named: Whether the header names the columns.
        clock: Whether the first column holds times in seconds, whatever its name.

    Raises:
        InvalidFormat: A column has no name, and others have.
        InvalidSignal: Times that are not regular, or no column of samples.
        MissingParameter: Several units are named, and for some columns none.
    """
    columns = _inspect(said, table, hints, named=named, clock=clock)
    rows = [i for i, column in enumerate(columns) if column.kind == "signal"]
    if not rows:
        raise InvalidSignal("No column of the table holds an ECG.")
    time = next((i for i, column in enumerate(columns) if column.kind == "time"), None)
    signal, units = _millivolts(table[rows], [columns[i].unit for i in rows], format_name)
    return Decoded(
        signal,
        None if time is None else _sampling_rate(table[time], columns[time].seconds),
        tuple(columns[i].name or "" for i in rows) if named else None,
        units,
        format_name,
    )


def _inspect(
    said: tuple[Column, ...], table: Table, hints: Hints, *, named: bool, clock: bool
) -> list[Column]:
    """The columns once their numbers are known: what is empty, an index or a time is no signal."""
    columns = list(said)
    for i, column in enumerate(columns):
        if not column.name and np.isnan(table[i]).all():
            columns[i] = Column(kind="other")  # lines that end in a delimiter
        elif column.kind == "index" and not _is_ramp(table[i]):
            if not column.name:
                raise InvalidFormat(f"Column {i + 1} has no name.", hint="Name every column.")
            columns[i] = Column(column.name)
    if clock:
        columns[0] = Column(columns[0].name, "time", seconds=1.0)
    elif not named and len(columns) > 1 and columns[0].unit is None:
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
    signal: Table, units: list[Unit | None], format_name: str
) -> tuple[npt.NDArray[Any], frozenset[Unit]]:
    said = frozenset(unit for unit in units if unit is not None)
    if not said:
        return signal, said
    if len(said) > 1 and None in units:
        raise missing_parameter(format_name, "units")
    only = next(iter(said))
    return np.stack(
        [to_mv(row, unit or only) for row, unit in zip(signal, units, strict=True)]
    ), said
