"""Writes SCP-ECG records as EN 1064 says it, one sample and one bit at a time."""

import binascii
import itertools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# Prefix, bits of the number after it, mode (0: switch tables), base.
Code = tuple[str, int, int, int]
DEFAULT_TABLE: list[Code] = [
    ("0", 0, 1, 0),
    *(("1" * n + "0" + sign, 0, 1, n if sign == "0" else -n) for n in range(1, 9) for sign in "01"),
    ("1111111110", 8, 1, 0),
    ("1111111111", 16, 1, 0),
]
# Small numbers in the first, larger ones in the second, any in the third.
SWITCHED_TABLES: list[list[Code]] = [
    [("0", 5, 1, 3), ("10", 0, 0, 2), ("110", 0, 0, 3)],
    [("0", 8, 1, 0), ("10", 0, 0, 1), ("11", 0, 0, 3)],
    [("111", 16, 1, 0), ("0", 0, 0, 1), ("10", 0, 0, 2)],
]


@dataclass(frozen=True)
class Beats:
    """Reference beat and zones; samples count from 1, ends are included."""

    samples: np.ndarray
    fiducial: int
    zones: Sequence[tuple[int, int, int]] = ()
    protected: Sequence[tuple[int, int]] = ()
    step_nv: int = 2500
    others: Sequence[tuple[int, int, int]] = ()


def section(number: int, body: bytes, crc: bool = True) -> bytes:
    head = struct.pack("<HIBB6x", number, 16 + len(body), 20, 20)
    checked = binascii.crc_hqx(head + body, 0xFFFF) if crc else 0
    return struct.pack("<H", checked) + head + body


def record(bodies: dict[int, bytes], crc: bool = True) -> bytes:
    numbers = sorted({*range(12), *bodies})
    index = 7 + 16 + 10 * len(numbers)
    pointers = struct.pack("<HII", 0, index - 7, 7)
    sections = b""
    for number in numbers[1:]:
        whole = section(number, bodies[number], crc) if number in bodies else b""
        pointers += struct.pack("<HII", number, len(whole), index + len(sections) if whole else 0)
        sections += whole
    content = section(0, pointers, crc) + sections
    sized = struct.pack("<I", 6 + len(content)) + content
    return struct.pack("<H", binascii.crc_hqx(sized, 0xFFFF)) + sized


def huffman_section(tables: Sequence[Sequence[Code]] | None) -> bytes:
    if tables is None:
        return struct.pack("<H", 19999)
    body = struct.pack("<H", len(tables))
    for table in tables:
        body += struct.pack("<H", len(table))
        for prefix, bits, mode, base in table:
            stored = int(prefix[::-1], 2)
            body += struct.pack("<BBBhI", len(prefix), len(prefix) + bits, mode, base, stored)
    return body


def lead_section(leads: Iterable[tuple[int, int, int]], subtracted: bool = False) -> bytes:
    """Leads are (number, first sample, last sample)."""
    leads = list(leads)
    body = struct.pack("<BB", len(leads), int(subtracted))
    return body + b"".join(struct.pack("<IIB", first, last, n) for n, first, last in leads)


def qrs_section(beats: Beats, interval_us: int) -> bytes:
    count = len(beats.zones) + len(beats.others)
    beat_ms = round(beats.samples.shape[1] * interval_us / 1000)
    body = struct.pack("<3H", beat_ms, beats.fiducial, count)
    for kind, zones in ((0, beats.zones), (1, beats.others)):
        body += b"".join(struct.pack("<H3I", kind, *zone) for zone in zones)
    return body + b"".join(struct.pack("<2I", *zone) for zone in beats.protected)


def bits_of(numbers: Iterable[int], tables: Sequence[Sequence[Code]]) -> str:
    """The bits of the numbers, each in the first table that has it."""
    bits, current = "", 0
    for number in numbers:
        table = next(i for i, codes in enumerate(tables) if code_for(number, codes) is not None)
        if table != current:
            bits += next(
                p for p, _, mode, base in tables[current] if (mode, base) == (0, table + 1)
            )
            current = table
        found = code_for(number, tables[table])
        assert found is not None
        bits += found
    return bits


def code_for(number: int, table: Sequence[Code]) -> str | None:
    for prefix, bits, mode, base in table:
        rest = number - base
        if mode and -(1 << bits >> 1) <= rest < max(1 << bits >> 1, 1):
            return prefix + (f"{rest & ((1 << bits) - 1):0{bits}b}" if bits else "")
    return None


def as_bytes(bits: str) -> bytes:
    padded = bits + "0" * (-len(bits) % 16)
    return int("1" + padded, 2).to_bytes(len(padded) // 8 + 1)[1:]


def differences(samples: Sequence[int], order: int) -> list[int]:
    """In 16 bits, as recorders compute; the first samples stay samples."""
    found = list(samples)
    for n in range(order, len(samples)):
        if order == 1:
            found[n] = samples[n] - samples[n - 1]
        elif order == 2:
            found[n] = samples[n] - 2 * samples[n - 1] + samples[n - 2]
    return [(d + 0x8000) % 0x10000 - 0x8000 for d in found]


def data_section(
    leads: Sequence[Sequence[int]],
    *,
    step_nv: int = 2500,
    interval_us: int = 2000,
    order: int = 0,
    tables: Sequence[Sequence[Code]] | None = None,
    bimodal: bool = False,
) -> bytes:
    """Section 5 or 6; `tables` are those to code with, None for plain numbers."""
    content = []
    for samples in leads:
        numbers = differences([int(s) for s in samples], order)
        content.append(
            as_bytes(bits_of(numbers, tables))
            if tables
            else struct.pack(f"<{len(numbers)}h", *numbers)
        )
    head = struct.pack("<HHBB", step_nv, interval_us, order, int(bimodal))
    return head + struct.pack(f"<{len(content)}H", *map(len, content)) + b"".join(content)


def subtract(signal: np.ndarray, beats: Beats) -> np.ndarray:
    """The signal without the reference beat, sample by sample."""
    residual = signal.copy()
    for first, fiducial, last in beats.zones:
        for sample in range(first, last + 1):
            residual[:, sample - 1] -= beats.samples[:, beats.fiducial + sample - fiducial - 1]
    return residual


def runs(count: int, protected: Sequence[tuple[int, int]]) -> Iterable[tuple[bool, int, int]]:
    """(protected, start, stop) from 0, ends excluded."""
    start = 0
    for first, last in protected:
        yield False, start, first - 1
        yield True, first - 1, last
        start = last
    yield False, start, count


def decimate(samples: np.ndarray, factor: int, protected: Sequence[tuple[int, int]]) -> list[int]:
    """What bimodal compression stores of a lead."""
    stored: list[int] = []
    for full_rate, start, stop in runs(len(samples), protected):
        groups = 0 if full_rate else (stop - start) // factor
        for i in range(groups):
            at = start + i * factor
            stored.append(round(float(np.mean(samples[at : at + factor]))))
        stored += [int(s) for s in samples[start + groups * factor : stop]]
    return stored


def restore(
    stored: Sequence[int], count: int, factor: int, protected: Sequence[tuple[int, int]]
) -> list[float]:
    """The lead that a reader makes of that: middles joined by lines, ends held."""
    restored: list[float] = []
    place = 0
    for full_rate, start, stop in runs(count, protected):
        groups = 0 if full_rate else (stop - start) // factor
        if groups:
            means = stored[place : place + groups]
            restored += [means[0]] * (factor // 2)
            for left, right in itertools.pairwise(means):
                restored += [left + (right - left) * j / factor for j in range(factor)]
            restored += [means[-1]] * (factor - factor // 2)
        rest = stop - start - groups * factor
        restored += stored[place + groups : place + groups + rest]
        place += groups + rest
    assert place == len(stored)
    return restored
