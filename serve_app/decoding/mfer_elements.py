"""The elements that an MFER file is made of: tag, length, value."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from serve_app.decoding.blocks import Content
from serve_app.errors import CorruptedData, InvalidFormat

__all__ = ["CHANNEL_ATTRIBUTES", "Element", "elements"]

CHANNEL_ATTRIBUTES: Final = 0x3F
_SET: Final = 0x67
_END: Final = 0x80
_END_OF_CONTENTS: Final = b"\0\0"
_INDEFINITE: Final = 0x80
_MAX_LENGTH_BYTES: Final = 4
_MAX_CHANNEL_BYTES: Final = 2
_MAX_ELEMENTS: Final = 200_000  # two days of frames of a second
_NOT_BLANK: Final = re.compile(rb"[^\0]")


@dataclass(frozen=True)
class Element:
    """A value's place in the file, and the channel whose attribute it is, if it is one's."""

    tag: int
    channel: int | None
    start: int
    stop: int


def elements(content: Content) -> Iterator[Element]:
    """All elements in the order of the file, attributes of channels in place of their group.

    Raises:
        CorruptedData: An element that ends after the file or its group.
        InvalidFormat: More elements than a recording has, or a length that breaks the format.
    """
    for count, element in enumerate(_walk(content, 0, len(content), None)):
        if count >= _MAX_ELEMENTS:
            raise InvalidFormat("The MFER file has far more elements than a recording.")
        yield element


def _walk(content: Content, place: int, stop: int, channel: int | None) -> Iterator[Element]:
    while (found := _NOT_BLANK.search(content, place, stop)) is not None:
        tag, place = content[found.start()], found.start() + 1
        if tag == _END:
            return
        of_channel = channel
        if tag == CHANNEL_ATTRIBUTES:
            if channel is not None:
                raise InvalidFormat("Attributes of an MFER channel hold another channel's.")
            of_channel, place = _channel_number(content, place, stop)
        start, end, after = _extent(content, place, stop, tag)
        yield Element(tag, of_channel, start, end)
        if tag == CHANNEL_ATTRIBUTES:
            yield from _walk(content, start, end, of_channel)
        place = after


def _channel_number(content: Content, place: int, stop: int) -> tuple[int, int]:
    """The number, seven bits a byte, and where it ends."""
    number = 0
    for end in range(place, min(place + _MAX_CHANNEL_BYTES, stop)):
        number = number << 7 | content[end] & 0x7F
        if content[end] < 0x80:
            return number, end + 1
    raise CorruptedData("An MFER channel's number is cut short, or absurdly large.")


def _extent(content: Content, place: int, stop: int, tag: int) -> tuple[int, int, int]:
    """Where the value starts and ends, and where the next element starts."""
    if place >= stop:
        raise CorruptedData("The MFER file is cut short: an element has no length.")
    first, start = content[place], place + 1
    if first == _INDEFINITE:
        end = _end_of_contents(content, start, stop, tag)
        return start, end, end + len(_END_OF_CONTENTS)
    length = first
    if first > _INDEFINITE:
        count = first & 0x7F
        if count > _MAX_LENGTH_BYTES:
            raise InvalidFormat(f"An MFER element states its length in {count} bytes.")
        # Always with the most significant byte first, whatever the values' order.
        length = int.from_bytes(content[start : start + count])
        start += count
    if start + length > stop:
        raise CorruptedData("The MFER file is cut short: an element ends after it.")
    return start, start + length, start + length


def _end_of_contents(content: Content, place: int, stop: int, tag: int) -> int:
    """Where a group that does not state its length ends."""
    if tag not in {CHANNEL_ATTRIBUTES, _SET}:
        raise InvalidFormat("An MFER element that is no group does not state its length.")
    while place < stop:
        if content[place : place + 2] == _END_OF_CONTENTS:
            return place
        if place + 1 < stop and content[place + 1] == _INDEFINITE:
            raise InvalidFormat("A group of MFER elements holds one that states no length.")
        _, _, place = _extent(content, place + 1, stop, content[place])
    raise CorruptedData("The MFER file is cut short: a group of elements has no end.")
