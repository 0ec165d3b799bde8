"""JSON: ``{"fs_hz", "units", "leads": {"I": [...]}}`` or ``{..., "lead_names", "signal"}``."""

import json
import math
import re
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from ecg_processor_py import take_json_numbers
from msgspec import UNSET, UnsetType
from pydantic_core import from_json

from serve_app.decoding.decoded import MAX_LEADS, Decoded
from serve_app.decoding.units import Unit, electric_unit, to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import InvalidFormat, InvalidSignal, SchemaViolation

__all__ = ["decode_json", "looks_like_json"]

_KEYS: Final = {"fs_hz", "units", "leads", "lead_names", "signal"}
_BOM: Final = b"\xef\xbb\xbf"
# A recording has a bracket and a name for each lead; more of them is an attack on memory.
_MAX_BRACKETS, _MAX_QUOTES = 1000, 10_000
_SAMPLE_TYPES: Final = {float, int, type(None)}
# What is left once samples are taken out. Without the core all is, and is not read once more.
_CHECKED_BYTES: Final = 100_000
_Errors = list[dict[str, str]]
# Samples, and what the core has parsed of them.
_Floats = npt.NDArray[np.float64]
_Row = list[float | None]


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Both forms, for the parser that checks a number's type while it reads it.

    A row is None where its samples were taken out of the text.
    """

    fs_hz: float | UnsetType | None = UNSET
    units: str | UnsetType | None = UNSET
    leads: dict[str, _Row | None] | UnsetType = UNSET
    lead_names: list[str] | UnsetType | None = UNSET
    signal: list[_Row | None] | UnsetType = UNSET


_TYPED: Final = msgspec.json.Decoder(_Body)


def looks_like_json(data: bytes) -> bool:
    """Whether the first character opens an object or an array."""
    return data[:64].removeprefix(_BOM).lstrip()[:1] in {b"{", b"["}


def decode_json(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode either JSON form; ``null`` is a missing sample and becomes NaN.

    Raises:
        InvalidFormat: The text is no JSON.
        SchemaViolation: It is, but not of these forms; ``extra["errors"]`` names the fields.
        InvalidSignal: Leads of unequal length.
        PayloadTooLarge: More text or samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    limits.check_text(len(data))
    data = data.removeprefix(_BOM)
    rest, values, counts = take_json_numbers(data)
    _check_counts(rest, counts, limits)
    body = _parse_taken(rest, values, counts) or _parse_typed(data) or _parse(data)
    if len(rest) <= _CHECKED_BYTES:
        _refuse_repeated(rest)
    names, rows = _signals(body)
    units = _units(body)
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise InvalidSignal(
            f"The leads differ in length: from {lengths[0]} to {lengths[-1]} samples.",
            hint="Send as many samples for every lead; null where one is missing.",
        )
    signal = np.array([_samples(row) for row in rows], dtype=np.float64)
    return Decoded(
        to_mv(signal, units) if units else signal,
        None if body.get("fs_hz") is None else float(body["fs_hz"]),
        names,
        frozenset([units] if units else []),
        "json",
    )


def _count(data: bytes, mark: bytes) -> int:
    """``data.count(mark)`` of one byte, four times as fast where there are many."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == mark[0]))


def _refuse_repeated(text: bytes) -> None:
    """Parsers take the last of members with one name, which may not be the one that is meant."""

    def once(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        for name in set(names):
            if names.count(name) > 1:
                raise _violation(name[:40], "stands there more than once")

    json.loads(text, object_pairs_hook=once)


def _check_counts(rest: bytes, counts: list[int], limits: Limits) -> None:
    """Of a text from which arrays with so many numbers were taken."""
    limits.check_samples(sum(counts) + _count(rest, b","))
    brackets = len(counts) + _count(rest, b"[") + _count(rest, b"{")
    if brackets > _MAX_BRACKETS or _count(rest, b'"') > _MAX_QUOTES:
        raise _violation("body", "is far more nested than a recording")


def _parse_taken(rest: bytes, values: _Floats, counts: list[int]) -> dict[str, Any] | None:
    """The body with its samples put back; None where they were not its rows, one after the other.

    Each ``null`` must stand for one of them, so that nothing else is taken for a row.
    """
    if not counts or rest.count(b"null") != len(counts):
        return None
    body = _decode_typed(rest)
    if body is None:
        return None
    rows = _rows(body)
    if rows.count(None) != len(counts):
        return None
    taken = iter(np.split(values, np.cumsum(counts)[:-1]))
    rows = [next(taken) if row is None else row for row in rows]
    if "leads" in body:
        return body | {"leads": dict(zip(body["leads"], rows, strict=True))}
    return body | {"signal": rows}


def _parse_typed(data: bytes) -> dict[str, Any] | None:
    """The body where nothing is wrong with it; None leaves it to `_parse`, which tells what is.

    NaN and Infinity, which are no JSON but are sent, are left to it as well.
    """
    body = _decode_typed(data)
    return None if body is None or None in _rows(body) else body


def _decode_typed(text: bytes) -> dict[str, Any] | None:
    try:
        fields = msgspec.structs.asdict(_TYPED.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    body = {name: value for name, value in fields.items() if value is not UNSET}
    return None if _errors(body) else body


def _parse(data: bytes) -> dict[str, Any]:
    try:
        body = from_json(data)
    except ValueError as error:
        place = re.search(r"line \d+ column \d+$", str(error))
        where = f" at {place[0]}" if place else ""
        raise InvalidFormat(
            f"The JSON is cut short or has a syntax error{where}.", hint="Check the JSON's syntax."
        ) from None
    if not isinstance(body, dict):
        raise _violation("body", "must be an object")
    # Samples too, so that one answer names all that is wrong.
    if errors := _errors(body) + _row_errors(body):
        raise _violations(errors)
    return body


def _errors(body: dict[str, Any]) -> _Errors:
    """Everything but the samples."""
    errors: _Errors = [_error(str(key)[:40], "is unknown") for key in body.keys() - _KEYS]
    fs_hz, units = body.get("fs_hz"), body.get("units")
    if fs_hz is not None and not (type(fs_hz) in {int, float} and 0 < fs_hz < 1e6):
        errors.append(_error("fs_hz", "must be a positive number of samples a second"))
    if units is not None and not (isinstance(units, str) and electric_unit(units)):
        errors.append(_error("units", "must be mV or uV"))
    return errors + _form_errors(body)


def _form_errors(body: dict[str, Any]) -> _Errors:
    if ("leads" in body) == ("signal" in body):
        return [_error("leads", "or signal with lead_names must be given, not both")]
    return _errors_of_signal(body) if "signal" in body else _errors_of_leads(body)


def _errors_of_leads(body: dict[str, Any]) -> _Errors:
    if "lead_names" in body:
        return [_error("lead_names", "goes with signal, not with leads")]
    if not isinstance(body["leads"], dict):
        return [_error("leads", "must be an object of lead names and samples")]
    return []


def _errors_of_signal(body: dict[str, Any]) -> _Errors:
    names, signal = body.get("lead_names"), body["signal"]
    errors: _Errors = []
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        errors.append(_error("lead_names", "must be an array of strings"))
    # More than that many rows: one flat array of samples, or samples by leads.
    if not isinstance(signal, list) or len(signal) > MAX_LEADS:
        errors.append(_error("signal", "must be an array with one array for each lead"))
    return errors


def _row_errors(body: dict[str, Any]) -> _Errors:
    leads, signal = body.get("leads"), body.get("signal")
    rows: list[tuple[str, Any]] = []
    if isinstance(leads, dict):
        rows = [(f"leads.{name[:40]}", row) for name, row in leads.items()]
    elif isinstance(signal, list) and len(signal) <= MAX_LEADS:
        rows = [(f"signal.{i}", row) for i, row in enumerate(signal)]
    return [
        _error(field, "must be an array of numbers")
        for field, row in rows
        # Looking at types alone is fifteen times faster than validating each number.
        if not isinstance(row, list) or not set(map(type, row)) <= _SAMPLE_TYPES
    ]


def _signals(body: dict[str, Any]) -> tuple[tuple[str, ...] | None, list[_Row | _Floats]]:
    if "leads" in body:
        return tuple(body["leads"]), list(body["leads"].values())
    names, rows = body.get("lead_names"), body["signal"]
    if names is not None and len(names) != len(rows):
        raise InvalidSignal(
            f"{len(rows)} signals but {len(names)} lead names.",
            hint="signal holds one array for each lead, in the order of lead_names.",
        )
    return None if names is None else tuple(names), rows


def _rows(body: dict[str, Any]) -> list[Any]:
    return list(body["leads"].values()) if "leads" in body else body["signal"]


def _units(body: dict[str, Any]) -> Unit | None:
    return None if body.get("units") is None else electric_unit(body["units"])


def _samples(row: _Row | _Floats) -> _Floats:
    if isinstance(row, np.ndarray):
        return row
    try:
        return np.fromiter(row, np.float64, len(row))
    except TypeError:  # null is a missing sample
        return _samples([math.nan if sample is None else sample for sample in row])
    except OverflowError:  # an integer beyond float64
        raise InvalidSignal("A sample is too large for a number of 64 bits.") from None


def _error(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}


def _violation(field: str, message: str) -> SchemaViolation:
    return _violations([_error(field, message)])


def _violations(errors: _Errors) -> SchemaViolation:
    errors = sorted(errors, key=lambda error: error["field"])[:20]
    first = " ".join(chain(errors[0].values()))
    return SchemaViolation(
        f"The JSON body breaks its schema: {first}.",
        hint='Send {"fs_hz": 500, "units": "mV", "leads": {"I": [...], "II": [...]}}.',
        extra={"errors": errors},
    )
