"""What an MFER file's elements have said of the channels so far."""

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from serve_app.errors import InvalidFormat

__all__ = ["Definitions", "Tag"]

_MAX_INTEGER_BYTES: Final = 4
_DTYPES: Final = ("i2", "u2", "i4", "u1", "u2", "i1", "u4", "f4", "f8")
_HERTZ, _SECONDS = 0, 1
_MAX_FS_HZ: Final = 1e6


class Tag:
    """The elements that samples cannot be read without, by their tags."""

    BYTE_ORDER: Final = 0x01
    BLOCK: Final = 0x04
    CHANNELS: Final = 0x05
    SEQUENCES: Final = 0x06
    POINTER: Final = 0x07
    WAVEFORM_TYPE: Final = 0x08
    LEAD: Final = 0x09
    DATA_TYPE: Final = 0x0A
    INTERVAL: Final = 0x0B
    SENSITIVITY: Final = 0x0C
    ZERO: Final = 0x0D
    COMPRESSION: Final = 0x0E
    NULL: Final = 0x12
    WAVEFORM: Final = 0x1E
    DEFINITIONS: Final = {*range(0x04, 0x0F), BYTE_ORDER, NULL}


@dataclass
class Definitions:
    """Values of elements: common to all channels, and of one's own.

    Attributes:
        changed: Whether a value is new that frames are laid out by; the reader resets it.
    """

    common: dict[int, bytes] = field(default_factory=dict)
    own: dict[int, dict[int, bytes]] = field(default_factory=dict)
    changed: bool = True

    def define(self, tag: int, channel: int | None, value: bytes) -> None:
        """Note a value; one without bytes takes back what was said."""
        if tag == Tag.CHANNELS and self.own:
            self.own, self.changed = {}, True
        target = self.common if channel is None else self.own.setdefault(channel, {})
        if target.get(tag, b"") != value:
            self.changed |= tag != Tag.POINTER
            target[tag] = value

    def value(self, tag: int, channel: int | None = None) -> bytes:
        """A channel's own value, else the common one, else nothing."""
        own = {} if channel is None else self.own.get(channel, {})
        return own.get(tag) or self.common.get(tag, b"")

    @property
    def order(self) -> Literal["little", "big"]:
        """Byte order of values and samples, big unless it is said."""
        return "little" if self.value(Tag.BYTE_ORDER)[:1] == b"\x01" else "big"

    def integer(self, tag: int, channel: int | None = None, *, default: int = 0) -> int:
        """An unsigned whole number."""
        value = self.value(tag, channel)
        if len(value) > _MAX_INTEGER_BYTES:
            raise InvalidFormat("An MFER element states a number of more than four bytes.")
        return int.from_bytes(value, self.order) if value else default

    def code(self, tag: int, channel: int) -> tuple[int, str]:
        """A code of one or two bytes, and the text that may follow it."""
        value = self.value(tag, channel)
        return int.from_bytes(value[:2], self.order), value[2:].decode("utf-8", "replace")

    def dtype(self, channel: int) -> tuple[int, np.dtype[np.generic]]:
        """The data type's number, and NumPy's for it."""
        number = self.integer(Tag.DATA_TYPE, channel)
        if number >= len(_DTYPES):
            raise InvalidFormat(f"MFER samples of data type {number} are not read here.")
        return number, np.dtype(_DTYPES[number]).newbyteorder(self.order)

    def stored(self, tag: int, channel: int, dtype: npt.DTypeLike) -> float | None:
        """A value in the form of the channel's samples; None where it is said for another form."""
        value = self.value(tag, channel)
        if len(value) != np.dtype(dtype).itemsize:
            return None
        return float(np.frombuffer(value, dtype)[0])

    def scaled(self, tag: int, channel: int | None = None) -> tuple[int, int, int] | None:
        """Unit, exponent of ten and mantissa; None where nothing is said."""
        value = self.value(tag, channel)
        if not value:
            return None
        if not 3 <= len(value) <= 2 + _MAX_INTEGER_BYTES:
            raise InvalidFormat("An MFER sampling rate or sensitivity breaks the format.")
        exponent = int.from_bytes(value[1:2], signed=True)
        return value[0], exponent, int.from_bytes(value[2:], self.order, signed=True)

    def fs_hz(self, channel: int | None = None) -> float | None:
        """Samples a second; None where nothing is said."""
        scaled = self.scaled(Tag.INTERVAL, channel)
        if scaled is None:
            return None
        unit, exponent, mantissa = scaled
        if unit not in {_HERTZ, _SECONDS} or mantissa <= 0:
            raise InvalidFormat("An MFER channel is not sampled in time.")
        fs_hz = mantissa * 10.0**exponent if unit == _HERTZ else 10.0**-exponent / mantissa
        if not 1 / _MAX_FS_HZ <= fs_hz <= _MAX_FS_HZ:
            raise InvalidFormat("An MFER channel has an impossible sampling rate.")
        return fs_hz
