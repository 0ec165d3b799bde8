"""Huffman codes of SCP-ECG: vectors by hand, tables of one's own, tables that cannot be."""

import struct

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from serve_app.decoding.scp_huffman import decode_huffman, read_huffman_tables
from serve_app.errors import CorruptedData, EcgServeError, InvalidFormat
from tests.decoding.scp_writer import (
    DEFAULT_TABLE,
    SWITCHED_TABLES,
    Code,
    as_bytes,
    bits_of,
    huffman_section,
)


def tables_of(*tables: list[Code]):
    return read_huffman_tables(memoryview(huffman_section(tables or None)))


def decoded(bits: str, count: int, *tables: list[Code]) -> list[int]:
    return decode_huffman(memoryview(as_bytes(bits)), count, tables_of(*tables)).tolist()


@pytest.mark.parametrize(
    ("bits", "number"),
    [
        ("0", 0),
        ("100", 1),
        ("101", -1),
        ("1100", 2),
        ("1101", -2),
        ("11110 1", -4),
        ("111111110 0", 8),
        ("111111110 1", -8),
        ("1111111110 00001001", 9),
        ("1111111110 01111111", 127),
        ("1111111110 10000000", -128),
        ("1111111111 0000000010000000", 128),
        ("1111111111 1000000000000000", -32768),
    ],
)
def test_codes_of_the_default_table(bits: str, number: int) -> None:
    bits = bits.replace(" ", "")
    assert decoded(bits, 1) == [number]
    # At every offset into an octet.
    for before in range(1, 9):
        assert decoded("0" * before + bits + "101", before + 2) == [*[0] * before, number, -1]


def test_default_table_spelled_out_is_the_default() -> None:
    numbers = np.random.default_rng(1).laplace(0, 9, 3000).astype(int).tolist()
    bits = bits_of(numbers, [DEFAULT_TABLE])
    assert decoded(bits, 3000) == numbers
    assert decoded(bits, 3000, DEFAULT_TABLE) == numbers


def test_codes_that_switch_tables() -> None:
    # Table 1: 0nnnnn adds 3; 10 goes to table 2, where 0nnnnnnnn is a number and 10 goes back.
    assert decoded("0 00001 10 0 01111111 10 0 11111".replace(" ", ""), 3, *SWITCHED_TABLES) == [
        *(4, 127, 2),
    ]
    numbers = np.random.default_rng(2).laplace(0, 60, 4000).astype(int)
    numbers[::97] *= 100
    bits = bits_of(numbers.tolist(), SWITCHED_TABLES)
    assert_array_equal(decoded(bits, 4000, *SWITCHED_TABLES), numbers)


def test_sixteen_bits_of_prefix_and_of_number() -> None:
    table: list[Code] = [("0", 0, 1, -7), ("1" * 16, 16, 1, 5), ("1" * 15 + "0", 1, 1, 0)]
    bits = "1" * 16 + "1000000000000001" + "0" + "1" * 15 + "01" + "0"
    assert decoded(bits, 4, table) == [-32767 + 5, -7, -1, -7]


@pytest.mark.parametrize("bits", ["", "11111111", "1111111111", "1111111111" + "0" * 6])
def test_bits_that_end_early(bits: str) -> None:
    with pytest.raises(CorruptedData):
        decoded(bits, 20)


def test_what_no_code_begins_with() -> None:
    with pytest.raises(CorruptedData):
        decoded("0010", 4, [("00", 0, 1, 0), ("11", 0, 1, 1)])
    with pytest.raises(CorruptedData):
        decoded("0" * 64, 4, [("0", 0, 0, 2)], [("0", 0, 0, 1)])


def test_more_numbers_than_bits_are_refused_before_memory_is_taken() -> None:
    with pytest.raises(CorruptedData):
        decode_huffman(memoryview(b"\0" * 10), 1 << 40, tables_of())


@pytest.mark.parametrize(
    "table",
    [
        [("0", 0, 1, 0), ("01", 0, 1, 1)],
        [("1", 0, 1, 0), ("1", 0, 1, 1)],
        [("1", 17, 1, 0)],
        [("1", 0, 0, 2)],
        [("1", 0, 0, 0)],
        [],
    ],
)
def test_tables_that_contradict_themselves(table: list[Code]) -> None:
    with pytest.raises(CorruptedData):
        tables_of(table)


def test_tables_of_absurd_size() -> None:
    with pytest.raises(InvalidFormat):
        tables_of(*[[("0", 0, 1, 0)]] * 17)
    with pytest.raises(InvalidFormat):
        tables_of([("1" * 17, 0, 1, 0)])
    for count in (0xFFFF, 2, 20000):
        with pytest.raises(EcgServeError):
            read_huffman_tables(memoryview(struct.pack("<HH", count, 0xFFFF) + b"\1\1\1" * 30))
    # A code that is shorter than its prefix, and one without any.
    for prefix, whole in ((3, 2), (0, 0), (0, 4), (255, 255)):
        code = struct.pack("<BBBhI", prefix, whole, 1, 0, 0)
        with pytest.raises(EcgServeError):
            read_huffman_tables(memoryview(struct.pack("<HH", 1, 1) + code))


def test_no_tables() -> None:
    assert read_huffman_tables(None) == ()
    assert read_huffman_tables(memoryview(b"\0\0")) == ()
