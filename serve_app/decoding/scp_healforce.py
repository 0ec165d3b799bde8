"""What Healforce recorders call SCP-ECG: its sections, but no SCP-ECG in them.

Pointers count from 0, the interval field holds samples a second, and section 6 interleaves all
leads in one stream: four samples of 10 bits and two marks of the recorder in three 16-bit words.
The layout is known from recordings, not from a specification; checksums tell that it fits.
"""

import binascii
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.scp_sections import (
    SECTION_HEADER,
    first_pointer,
    read_encoded_leads,
    read_pointers,
)
from serve_app.decoding.units import to_mv
from serve_app.decoding.upload import Limits
from serve_app.errors import CorruptedData

__all__ = ["decode_healforce", "looks_like_healforce"]

_FIRST_SECTION: Final = 6
_ZERO: Final = 512


def looks_like_healforce(data: bytes) -> bool:
    """Whether section 0 points at itself counting from 0."""
    return first_pointer(data) == _FIRST_SECTION


def decode_healforce(data: bytes, limits: Limits) -> Decoded:
    """Decode the rhythm; the record does not say which leads it holds.

    Raises:
        CorruptedData: Cut short, or damaged.
        PayloadTooLarge: More samples than `limits` allow.
    """
    pointers = read_pointers(data)
    # Section 3 says how many leads there are, and describes one.
    rows = _section(data, 3, pointers)[0]
    rhythm = read_encoded_leads(_section(data, 6, pointers), 1)
    samples = _samples(rhythm.content[0])
    if not rows or rows > samples.size:
        raise CorruptedData("The Healforce recording says a number of leads that cannot be.")
    limits.check_samples(samples.size)
    signal = samples[: samples.size // rows * rows].reshape(-1, rows).T
    return Decoded(
        to_mv(signal * float(rhythm.step_nv), "nV").astype(np.float32),
        float(rhythm.interval_us),
        None,
        frozenset(("nV",)),
        "scp",
    )


def _section(data: bytes, number: int, pointers: dict[int, tuple[int, int]]) -> memoryview:
    """The data part of a section; its CRC begins with zero, and may have its octets swapped."""
    length, start = pointers.get(number, (0, 0))
    if length <= SECTION_HEADER.size or start + length > len(data):
        raise CorruptedData("The Healforce recording is cut short.")
    section = memoryview(data)[start : start + length]
    crc = binascii.crc_hqx(section[2:], 0)
    if int.from_bytes(section[:2], "little") not in {crc, crc >> 8 | (crc & 0xFF) << 8}:
        raise CorruptedData("The Healforce recording is damaged: a checksum differs.")
    return section[SECTION_HEADER.size :]


def _samples(content: memoryview) -> npt.NDArray[np.int64]:
    """The samples of all leads, interleaved; every fourth is spread over the words before it."""
    words = np.frombuffer(content, "<u2", len(content) // 6 * 3).reshape(-1, 3).astype(np.int64)
    spread = words >> 10 & 0xF
    fourth = spread[:, 0] << 8 | spread[:, 1] << 4 | spread[:, 2]
    return (np.column_stack([words, fourth]).reshape(-1) & 0x3FF) - _ZERO
