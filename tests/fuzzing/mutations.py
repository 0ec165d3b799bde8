"""Ways to damage a recording; the same seed damages alike."""

import random
import re
import struct
from collections.abc import Callable
from typing import Final

from serve_app.decoding import Upload

__all__ = ["mutate"]

_HEADER_BYTES: Final = 600
_EXTREMES: Final = (0, 1, -1, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, -(2**31), 2**40)
_NUMBERS: Final = (
    *(b"0", b"-1", b"1", b"99999999999", b"1e309", b"NaN", b"-0.0", b"2147483648", b"", b"x"),
)
_TOKENS: Final = (
    *(b"<", b">", b"&", b"&lol;", b"]]>", b"<!DOCTYPE a [<!ENTITY lol 'lol'>]>", b"{", b"[" * 300),
    *(b"null", b'"', b",", b";", b"\n", b"\r", b"\0", b"\xff\xfe", b"../", b"/etc/passwd", b"%n"),
)


def mutate(upload: Upload, rng: random.Random, other: bytes) -> Upload:
    """A damaged recording: one to four damages in one of its files.

    Args:
        upload: A sound one.
        rng: Where chance comes from.
        other: Another recording's bytes, to splice in.
    """
    files = list(upload.files)
    place = rng.randrange(len(files))
    name, content = files[place]
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_DAMAGES)(damaged, rng, other)
    files[place] = (name, bytes(damaged))
    if len(files) > 1 and rng.random() < 0.05:
        files.pop(rng.randrange(len(files)))
    return Upload(tuple(files), upload.content_type)


def _place(data: bytearray, rng: random.Random) -> int:
    """Somewhere; in two of three cases where headers are."""
    size = len(data) if rng.random() < 1 / 3 else min(len(data), _HEADER_BYTES)
    return rng.randrange(size) if size else 0


def _flip(data: bytearray, rng: random.Random, other: bytes) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set_integer(data: bytearray, rng: random.Random, other: bytes) -> None:
    kind = rng.choice("bhiq")
    packed = struct.pack(
        rng.choice("<>") + kind.upper(), rng.choice(_EXTREMES) % 256 ** struct.calcsize(kind)
    )
    at = _place(data, rng)
    data[at : at + len(packed)] = packed


def _cut(data: bytearray, rng: random.Random, other: bytes) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: random.Random, other: bytes) -> None:
    at = _place(data, rng)
    del data[at : at + rng.choice((1, 2, 4, 16, 200, 5000))]


def _repeat(data: bytearray, rng: random.Random, other: bytes) -> None:
    at = _place(data, rng)
    data[at:at] = data[at : at + rng.choice((1, 8, 64, 1000))] * rng.choice((1, 2, 50))


def _noise(data: bytearray, rng: random.Random, other: bytes) -> None:
    at = _place(data, rng)
    noise = rng.randbytes(rng.choice((1, 4, 32, 300)))
    data[at : at + len(noise)] = noise


def _splice(data: bytearray, rng: random.Random, other: bytes) -> None:
    at, start = _place(data, rng), rng.randrange(len(other) + 1)
    data[at:] = other[start : start + 20_000]


def _change_number(data: bytearray, rng: random.Random, other: bytes) -> None:
    """One of the first decimal numbers of a text."""
    matches = list(re.finditer(rb"\d+(\.\d+)?", bytes(data[:4000])))
    if matches:
        match = rng.choice(matches)
        data[match.start() : match.end()] = rng.choice(_NUMBERS)


def _insert_token(data: bytearray, rng: random.Random, other: bytes) -> None:
    at = _place(data, rng)
    data[at:at] = rng.choice(_TOKENS)


_DAMAGES: Final[tuple[Callable[[bytearray, random.Random, bytes], None], ...]] = (
    *(_flip, _set_integer, _set_integer, _cut, _remove, _repeat, _noise, _splice),
    *(_change_number, _change_number, _insert_token),
)
