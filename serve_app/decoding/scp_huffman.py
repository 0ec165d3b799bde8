"""Huffman codes of SCP-ECG (EN 1064, section 2 and annex C): bits to the numbers they stand for.

A code is a prefix, and maybe bits of a signed number after it; it stands for a number, or switches
to another table. The bits of a lead are walked through once: the length of each code is looked up
in a table of all beginnings, the numbers of all codes are computed together afterwards.
"""

import struct
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.errors import CorruptedData, InvalidFormat

__all__ = ["HuffmanTable", "decode_huffman", "read_huffman_tables"]

_DEFAULT_TABLE: Final = 19999
_MAX_TABLES: Final = 16
_MAX_PREFIX_BITS: Final = 16
_MAX_NUMBER_BITS: Final = 16
# Of one lead between switches of tables, which may be for the sake of no number at all: leads of
# real records have some ten thousand samples.
_MAX_RUNS: Final = 1 << 14
# Bits of prefix and of code, mode (0 switches tables), number, prefix with its first bit lowest.
_CODE: Final = struct.Struct("<BBBhI")
# Bits from each octet on: a prefix, or a whole code, may begin seven bits later.
_PREFIX_WINDOW: Final = 24
_CODE_WINDOW: Final = 40

Code = tuple[int, int, int, int, int]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HuffmanTable:
    """A table of codes, laid out for looking them up.

    Attributes:
        bits: Length of the longest prefix: this many bits tell a code.
        lengths: For each value of those bits, the length of the code in bits; 0 where there is no
            number to read: no code begins so, or it switches tables.
        code: For each value of those bits, the row of the code in the arrays below; -1 for none.
        prefix_bits: Length of its prefix.
        number_bits: Length of the number after the prefix.
        base: What is added to that number.
        switch: For each row, the table to go on with, from 0, and the length of the code in bits;
            the table is -1 where the code stands for a number.
    """

    bits: int
    lengths: list[int]
    code: npt.NDArray[np.int32]
    prefix_bits: Ints
    number_bits: Ints
    base: Ints
    switch: list[tuple[int, int]]


def read_huffman_tables(section: memoryview | None) -> tuple[HuffmanTable, ...]:
    """Section 2; no tables where samples are not Huffman-encoded.

    Raises:
        InvalidFormat: More tables or longer codes than are read here.
        CorruptedData: Cut short, or codes that contradict each other.
    """
    if section is None or len(section) < 2:
        return ()
    count = int.from_bytes(section[:2], "little")
    if count == _DEFAULT_TABLE:
        return (_default_table(),)
    if count > _MAX_TABLES:
        raise InvalidFormat("The SCP-ECG record has more Huffman tables than are read here.")
    tables, place = [], 2
    for _ in range(count):
        start = place + 2
        place = start + _CODE.size * int.from_bytes(section[place:start], "little")
        if not start < place <= len(section):
            raise CorruptedData("A Huffman table of the SCP-ECG record is empty or cut short.")
        tables.append(_table([*_CODE.iter_unpack(section[start:place])], count))
    return tuple(tables)


@cache
def _default_table() -> HuffmanTable:
    """The default of EN 1064, annex C: as many ones as the number is large, a zero, the sign."""
    codes: list[Code] = [(1, 1, 1, 0, 0)]
    for size in range(1, 9):
        ones = (1 << size) - 1
        codes.append((size + 2, size + 2, 1, size, ones))
        codes.append((size + 2, size + 2, 1, -size, ones | 1 << (size + 1)))
    codes += [(10, 18, 1, 0, 0x1FF), (10, 26, 1, 0, 0x3FF)]
    return _table(codes, 1)


def _table(codes: list[Code], tables: int) -> HuffmanTable:
    prefix_bits, code_bits, mode, base, _ = np.array(codes, np.int64).T
    number_bits = code_bits - prefix_bits
    if prefix_bits.max() > _MAX_PREFIX_BITS:
        raise InvalidFormat("The SCP-ECG record has longer Huffman codes than are read here.")
    switch = np.where(mode == 0, base - 1, -1)
    impossible = (
        prefix_bits.min() < 1
        or number_bits.min() < 0
        or number_bits.max() > _MAX_NUMBER_BITS
        or ((mode == 0) & ((base < 1) | (base > tables))).any()
    )
    if impossible:
        raise _contradiction()
    bits = int(prefix_bits.max())
    code = _beginnings(codes, bits)
    lengths = np.where((code < 0) | (switch[code] >= 0), 0, code_bits[code]).tolist()
    switches = list(zip(switch.tolist(), code_bits.tolist(), strict=True))
    return HuffmanTable(bits, lengths, code, prefix_bits, number_bits, base, switches)


def _beginnings(codes: list[Code], bits: int) -> npt.NDArray[np.int32]:
    code = np.full(1 << bits, -1, np.int32)
    for row, (size, _, _, _, reversed_prefix) in enumerate(codes):
        # Read from its lowest bit; what lies above the prefix means nothing.
        prefix = int(f"{reversed_prefix & ((1 << size) - 1):0{size}b}"[::-1], 2)
        begun = code[prefix << (bits - size) : (prefix + 1) << (bits - size)]
        if begun.max() >= 0:
            raise _contradiction()
        begun[:] = row
    return code


def decode_huffman(content: memoryview, count: int, tables: tuple[HuffmanTable, ...]) -> Ints:
    """The first `count` numbers that a lead's bits stand for, ``(count,)`` int64.

    Args:
        content: The bits of the lead, the highest of each octet first.
        count: How many numbers are wanted.
        tables: Those of section 2; the first is in force until a code switches to another.

    Raises:
        CorruptedData: The bits end early, or hold what is no code.
    """
    if count > 8 * len(content):
        raise _no_more_codes()
    octets = np.zeros(len(content) + 8, np.int64)
    octets[: len(content)] = np.frombuffer(content, np.uint8)
    starts, table_of = _walk(_windows(octets, _PREFIX_WINDOW).tolist(), count, tables)
    if starts.size and starts[-1] >= 8 * len(content):
        raise _no_more_codes()
    windows = _windows(octets, _CODE_WINDOW)
    numbers = np.empty(count, np.int64)
    for index in np.unique(table_of).tolist():
        chosen = table_of == index
        numbers[chosen], ends = _numbers(windows, starts[chosen], tables[index])
        if ends.max() > 8 * len(content):
            raise _no_more_codes()
    return numbers


def _windows(octets: Ints, bits: int) -> Ints:
    """The next `bits` bits from each octet on."""
    size = bits // 8
    last = octets.size - size
    window = np.zeros(last + 1, np.int64)
    for i in range(size):
        window = window << 8 | octets[i : last + 1 + i]
    return window


def _walk(windows: list[int], count: int, tables: tuple[HuffmanTable, ...]) -> tuple[Ints, Ints]:
    """The bit at which each code begins, and the table that it is of."""
    starts: list[int] = []
    runs: list[tuple[int, int]] = []
    index = position = 0
    while True:
        table, before = tables[index], len(starts)
        position = _walk_in(table, windows, position, count - before, starts)
        runs.append((index, len(starts) - before))
        if len(starts) == count:
            break
        code = table.code.item(_bits_at(windows, position, table.bits))
        if code < 0 or len(runs) > _MAX_RUNS:
            raise _no_more_codes()
        index, length = table.switch[code]
        position += length
    indices, lengths = np.array(runs, np.int64).T
    return np.array(starts, np.int64), np.repeat(indices, lengths)


def _walk_in(
    table: HuffmanTable, windows: list[int], position: int, count: int, starts: list[int]
) -> int:
    """Go on with one table for at most `count` codes; where it stopped."""
    lengths, mask, shift = table.lengths, (1 << table.bits) - 1, _PREFIX_WINDOW - table.bits
    try:
        for _ in range(count):
            length = lengths[windows[position >> 3] >> (shift - (position & 7)) & mask]
            if not length:
                break
            starts.append(position)
            position += length
    except IndexError:
        raise _no_more_codes() from None
    return position


def _bits_at(windows: list[int], position: int, bits: int) -> int:
    window = windows[min(position >> 3, len(windows) - 1)]
    return window >> (_PREFIX_WINDOW - bits - (position & 7)) & ((1 << bits) - 1)


def _numbers(windows: Ints, starts: Ints, table: HuffmanTable) -> tuple[Ints, Ints]:
    """What the codes of one table stand for, and the bit after each."""
    window, offset = windows[starts >> 3], starts & 7
    prefix = window >> (_CODE_WINDOW - table.bits - offset) & ((1 << table.bits) - 1)
    code = table.code[prefix]
    number_bits = table.number_bits[code]
    code_bits = table.prefix_bits[code] + number_bits
    number = window >> (_CODE_WINDOW - code_bits - offset) & ((1 << number_bits) - 1)
    sign = (1 << number_bits) >> 1
    return table.base[code] + (number ^ sign) - sign, starts + code_bits


def _contradiction() -> CorruptedData:
    return CorruptedData("The Huffman codes of the SCP-ECG record contradict each other.")


def _no_more_codes() -> CorruptedData:
    return CorruptedData("A lead of the SCP-ECG record ends early, or holds what is no code.")
