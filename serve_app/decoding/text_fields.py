"""Numbers, samples and bytes that are written as text; nothing in them is half read."""

import binascii
import math
import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.upload import Limits
from serve_app.errors import CorruptedData, InvalidFormat

__all__ = ["parse_base64", "parse_count", "parse_number", "parse_samples"]

_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_LONGEST_NUMBER: Final = 40
_SAMPLE_CHARACTERS: Final = b"0123456789+-.eE \t\r\n"


def parse_number(text: object, field: str) -> float:
    """A finite number, from its text or as JSON holds it.

    Raises:
        InvalidFormat: Anything else; the message names `field`.
    """
    if isinstance(text, str):
        text = text.strip()
        if len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text):
            text = float(text)
    if type(text) not in {int, float}:
        state = "is missing" if text in {None, ""} else "is not a number"
        raise InvalidFormat(f"The recording's {field} {state}.")
    try:
        number = float(text)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidFormat(f"The recording's {field} is not a finite number.")
    return number


def parse_count(text: object, field: str) -> int:
    """A whole number that is not negative.

    Raises:
        InvalidFormat: Anything else; the message names `field`.
    """
    number = parse_number(text, field)
    if number < 0 or number != int(number):
        raise InvalidFormat(f"The recording's {field} is not a count.")
    return int(number)


def parse_samples(text: str, limits: Limits, *, missing: str = "") -> npt.NDArray[np.float64]:
    """Numbers between white space.

    Args:
        text: The numbers.
        limits: How many of them are taken.
        missing: Letters that stand, alone, for a sample that is missing: it becomes NaN.

    Raises:
        CorruptedData: Anything but numbers among them.
        PayloadTooLarge: More than `limits` allow.
    """
    raw = text.encode("ascii", "replace")
    if raw.translate(None, _SAMPLE_CHARACTERS + missing.encode()):
        raise CorruptedData("The samples hold something that is not a number.")
    tokens = _count_tokens(raw)
    limits.check_samples(tokens)
    if tokens == 0:
        return np.empty(0)
    if missing and re.search(f"[{missing}]", text):
        text = re.sub(rf"(?<!\S)[{missing}](?!\S)", "nan", text)
    try:
        samples: npt.NDArray[Any] = np.fromstring(text, np.float64, sep=" ")
    except ValueError:
        samples = np.empty(0)
    # NumPy reads "1-2" and "1.2.3" as two numbers each.
    if samples.size != tokens:
        raise CorruptedData("The samples hold something that is not a number.")
    return samples


def _count_tokens(raw: bytes) -> int:
    blank = np.frombuffer(raw, np.uint8) <= ord(" ")
    return int(np.count_nonzero(blank[:-1] & ~blank[1:])) + int(blank.size > 0 and not blank[0])


def parse_base64(text: str) -> bytes:
    """The bytes of a base64 text that may be broken into lines.

    Raises:
        CorruptedData: A character that base64 has not, or padding where none belongs.
    """
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        raise CorruptedData("The base64 of the samples is damaged or cut short.") from None
