"""WFDB headers: who stores which samples, where and how.

Lines as in https://physionet.org/physiotools/wag/header-5.htm. Date, time and comments, which may
describe a patient, are never read. Every name is checked to be a plain one.
"""

import math
import re
from dataclasses import dataclass
from typing import Final

from serve_app.errors import InvalidFormat

__all__ = ["MAX_HEADER_BYTES", "Header", "SignalLine", "looks_like_header", "parse_header"]

MAX_HEADER_BYTES: Final = 1 << 20
_MAX_SIGNALS: Final = 256
_MAX_SEGMENTS: Final = 1000
_NOMINAL_GAIN: Final = 200.0  # the format's word for "uncalibrated"
_NAME: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]{0,99}")
_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
_STORAGE: Final = re.compile(
    r"(?P<format>\d{1,3})(?:x(?P<per_frame>\d{1,4}))?(?::(?P<skew>\d{1,9}))?"
    r"(?:\+(?P<offset>\d{1,12}))?"
)
_GAIN: Final = re.compile(
    rf"(?P<gain>{_NUMBER})(?:\((?P<baseline>{_NUMBER})\))?(?:/(?P<units>\S{{1,40}}))?"
)
_RECORD_LINE: Final = re.compile(r"[^\s,;]+[ \t]+\d+(?:[ \t]+[\d.]+\S*)?(?:[ \t].*)?")
_BODY_LINE: Final = re.compile(
    r"(?=\S*[A-Za-z_~])[^\s,;]+[ \t]+\d+(?:x\d+)?(?::\d+)?(?:\+\d+)?(?:[ \t].*)?"
)


@dataclass(frozen=True)
class SignalLine:
    """One signal: ``value = (stored - baseline) / gain``, in `units`."""

    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: float
    units: str
    initial: int
    name: str


@dataclass(frozen=True)
class Header:
    """A record, or with `segments` (names and frames) one made of other records.

    ``frames`` and ``fs_hz`` are None where the header does not say.
    """

    name: str
    fs_hz: float | None
    frames: int | None
    signals: tuple[SignalLine, ...] = ()
    segments: tuple[tuple[str, int], ...] = ()


def looks_like_header(data: bytes) -> bool:
    """Whether the first lines are a record line and a signal or segment line."""
    if b"\0" in data[:4096]:
        return False
    lines = _lines(data[:4096])
    return (
        len(lines) > 1
        and _RECORD_LINE.fullmatch(lines[0]) is not None
        and _BODY_LINE.fullmatch(lines[1]) is not None
    )


def parse_header(data: bytes) -> Header:
    """Parse a header file.

    Raises:
        InvalidFormat: It breaks the format, is absurdly long, or names a file elsewhere.
    """
    if len(data) > MAX_HEADER_BYTES:
        raise InvalidFormat("The WFDB header is absurdly long.")
    lines = _lines(data)
    fields = lines[0].split(None, 4) if lines else []
    if len(fields) < 2:
        raise InvalidFormat("The WFDB header has no record line.")
    name, _, segments = fields[0].partition("/")
    _check_name(name)
    fs_hz = _leading_number(fields[2]) if len(fields) > 2 else None
    # Absent or zero means "as many as there are".
    frames = (_leading_integer(fields[3]) if len(fields) > 3 else 0) or None
    count = _leading_integer(segments or fields[1])
    if not 0 < count <= (_MAX_SEGMENTS if segments else _MAX_SIGNALS):
        raise InvalidFormat(f"The WFDB header promises {count} signals or segments.")
    if len(lines) <= count:
        raise InvalidFormat(f"The WFDB header is cut short: {len(lines) - 1} of {count} lines.")
    body = lines[1 : count + 1]
    if segments:
        return Header(name, fs_hz, frames, segments=tuple(map(_segment, body)))
    return Header(name, fs_hz, frames, tuple(map(_signal, body)))


def _lines(data: bytes) -> list[str]:
    """What is neither blank nor a comment."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", data.decode("utf-8", "replace"))]
    return [line for line in lines if line and not line.startswith("#")]


def _segment(line: str) -> tuple[str, int]:
    fields = line.split()
    if len(fields) < 2:
        raise InvalidFormat("A segment line of the WFDB header is cut short.")
    _check_name(fields[0])
    return fields[0], _leading_integer(fields[1])


def _signal(line: str) -> SignalLine:
    fields = line.split(None, 8)
    fields += [""] * (9 - len(fields))
    file, storage, scale = fields[:3]
    _check_name(file)
    stored, scaled = _STORAGE.fullmatch(storage), _GAIN.fullmatch(scale or "200")
    if stored is None or scaled is None:
        raise InvalidFormat("A signal line of the WFDB header breaks the format.")
    gain = float(scaled["gain"]) or _NOMINAL_GAIN
    baseline = float(scaled["baseline"] or _leading_integer(fields[4] or "0"))
    if not (math.isfinite(gain) and math.isfinite(baseline)):
        raise InvalidFormat("A gain or baseline of the WFDB header is no finite number.")
    return SignalLine(
        file=file,
        format=stored["format"],
        per_frame=int(stored["per_frame"] or 1) or 1,
        skew=int(stored["skew"] or 0),
        offset=int(stored["offset"] or 0),
        gain=gain,
        baseline=baseline,
        units=scaled["units"] or "mV",
        initial=_leading_integer(fields[5] or "0"),
        name=fields[8].strip(),
    )


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise InvalidFormat(
            "The WFDB header names a record or file that is not a plain name.",
            hint="Names have letters, digits, '_', '-' and '.', and no folder.",
        )


def _leading_integer(text: str) -> int:
    match = re.match(r"[-+]?\d{1,15}", text)
    if match is None:
        raise InvalidFormat("The WFDB header has text where a whole number belongs.")
    return int(match[0])


def _leading_number(text: str) -> float:
    """``250/360(5)`` -> 250: the counter's frequency and base are of no use here."""
    match = re.match(_NUMBER, text)
    if match is None:
        raise InvalidFormat("The WFDB header has text where the sampling rate belongs.")
    return float(match[0])
