"""Sections of an SCP-ECG record (EN 1064, ISO 11073-91064), and what they say around the samples.

A record is a list of pointers (section 0) and the sections they point at. Only those that the
signal needs are touched: names and dates (section 1) and reports stay unread.
"""

import binascii
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.lead_numbers import LEAD_NAMES
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal

__all__ = [
    "SECTION_HEADER",
    "EncodedLeads",
    "Lead",
    "LeadDefinition",
    "QrsZones",
    "first_pointer",
    "looks_like_scp",
    "read_encoded_leads",
    "read_lead_definition",
    "read_pointers",
    "read_qrs_zones",
    "read_sections",
]

# CRC, number, length, versions of section and protocol, 6 reserved bytes.
SECTION_HEADER: Final = struct.Struct("<HHIBB6x")
_POINTER: Final = struct.Struct("<HII")
_FIRST_SECTION: Final = 6
_MAX_POINTERS: Final = 1024
_NEEDED: Final = frozenset((2, 3, 4, 5, 6))
_LEAD: Final = struct.Struct("<IIB")
_QRS: Final = np.dtype([("type", "<u2"), ("start", "<u4"), ("fiducial", "<u4"), ("end", "<u4")])
_ZONE: Final = np.dtype([("start", "<u4"), ("end", "<u4")])
_ENCODING: Final = struct.Struct("<HHBB")

Sections = dict[int, memoryview]


@dataclass(frozen=True)
class Lead:
    """A lead of section 3: its name, ``""`` where its number has none, and its stretch of time.

    Attributes:
        number: As SCP-ECG numbers leads.
        start: Its first sample, from 0, at the rate of the original recording.
        stop: The sample after its last.
    """

    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The lead's name; ``""`` for number 0, which leaves it open."""
        return LEAD_NAMES.get(self.number, f"SCP {self.number}" if self.number else "")


@dataclass(frozen=True)
class LeadDefinition:
    """Section 3: the leads, in the order of their data.

    Attributes:
        leads: At least one.
        beats_subtracted: Whether a reference beat was subtracted before encoding.
    """

    leads: tuple[Lead, ...]
    beats_subtracted: bool


@dataclass(frozen=True)
class QrsZones:
    """Section 4: where beats are; sample numbers count from 1, ends are included.

    Attributes:
        beat_ms: Length of the reference beat.
        beat_fiducial: Number of its fiducial sample.
        subtracted: ``(beats, 3)``: start, fiducial sample and end of each subtracted beat.
        protected: ``(zones, 2)``: start and end of what bimodal compression left at full rate.
    """

    beat_ms: int
    beat_fiducial: int
    subtracted: npt.NDArray[np.int64]
    protected: npt.NDArray[np.int64]


@dataclass(frozen=True)
class EncodedLeads:
    """Section 5 or 6: the samples of each lead, encoded.

    Attributes:
        step_nv: Nanovolts of one unit.
        interval_us: Microseconds between two samples as they are stored.
        differences: Order of the differences that are stored; 0 for the samples themselves.
        bimodal: Whether samples outside protected zones were decimated (section 6 only).
        content: The bytes of each lead.
    """

    step_nv: int
    interval_us: int
    differences: int
    bimodal: bool
    content: tuple[memoryview, ...]


def first_pointer(data: bytes) -> int | None:
    """The index that section 0 gives of itself; None where there is no section 0."""
    if len(data) < _FIRST_SECTION + SECTION_HEADER.size + _POINTER.size:
        return None
    _, number, length, _, _ = SECTION_HEADER.unpack_from(data, _FIRST_SECTION)
    pointed = _POINTER.unpack_from(data, _FIRST_SECTION + SECTION_HEADER.size)
    fits = length >= SECTION_HEADER.size + _POINTER.size and pointed[:2] == (0, length)
    return pointed[2] if number == 0 and fits else None


def looks_like_scp(data: bytes) -> bool:
    """Whether its sixth byte begins a section 0 that points at itself, from 1 or from 0."""
    return first_pointer(data) in {_FIRST_SECTION + 1, _FIRST_SECTION}


def read_pointers(data: bytes) -> dict[int, tuple[int, int]]:
    """Number of each section that is there: its length and index, as section 0 says them.

    Raises:
        CorruptedData: Section 0 is cut short.
        InvalidFormat: It lists far more sections than the standard has.
    """
    length = SECTION_HEADER.unpack_from(data, _FIRST_SECTION)[2]
    count = (length - SECTION_HEADER.size) // _POINTER.size
    if count > _MAX_POINTERS:
        raise InvalidFormat("The SCP-ECG record lists far more sections than there can be.")
    if _FIRST_SECTION + length > len(data):
        raise _cut_short()
    start = _FIRST_SECTION + SECTION_HEADER.size
    pointers = _POINTER.iter_unpack(data[start : start + count * _POINTER.size])
    return {number: (length, index) for number, length, index in pointers if length}


def read_sections(data: bytes) -> Sections:
    """The data parts of the sections that hold the signal, by number; each CRC is checked.

    The CRC of the whole record is not: it changes with what is written over a patient's name.

    Raises:
        InvalidFormat: Not an SCP-ECG record.
        CorruptedData: Cut short, a pointer that leads elsewhere, or a wrong CRC.
    """
    if first_pointer(data) != _FIRST_SECTION + 1:
        raise InvalidFormat("This is no SCP-ECG record.")
    record_length = int.from_bytes(data[2:6], "little")
    if record_length > len(data):
        raise _cut_short()
    record = memoryview(data)[:record_length]
    return {
        number: _section(record, number, index - 1)
        for number, (_, index) in read_pointers(data).items()
        if number in _NEEDED
    }


def _section(record: memoryview, number: int, start: int) -> memoryview:
    if start < 0 or start + SECTION_HEADER.size > len(record):
        raise _cut_short()
    crc, found, length, _, _ = SECTION_HEADER.unpack_from(record, start)
    if found != number or length < SECTION_HEADER.size:
        raise CorruptedData(f"Section {number} of the SCP-ECG record is not where it should be.")
    if start + length > len(record):
        raise _cut_short()
    # Some writers leave the CRC at zero.
    if crc and crc != binascii.crc_hqx(record[start + 2 : start + length], 0xFFFF):
        raise CorruptedData(f"Section {number} of the SCP-ECG record is damaged: its CRC differs.")
    return record[start + SECTION_HEADER.size : start + length]


def read_lead_definition(section: memoryview | None) -> LeadDefinition:
    """Section 3.

    Raises:
        CorruptedData: It is missing, cut short, or a lead ends before it starts.
        InvalidSignal: It defines no lead.
    """
    if section is None or len(section) < 2:
        raise CorruptedData("The SCP-ECG record does not define its leads.")
    count, flags = section[0], section[1]
    if not count:
        raise InvalidSignal("The SCP-ECG record holds no leads.")
    stored = _part(section, 2, count * _LEAD.size)
    # Samples count from 1; a writer that begins at 0 counts the last, too.
    leads = tuple(
        Lead(number, max(first, 1) - 1, last) for first, last, number in _LEAD.iter_unpack(stored)
    )
    if any(lead.stop <= lead.start for lead in leads):
        raise CorruptedData("A lead of the SCP-ECG record ends before it starts.")
    return LeadDefinition(leads, bool(flags & 1))


def read_qrs_zones(section: memoryview | None, *, bimodal: bool) -> QrsZones:
    """Section 4.

    Args:
        section: Its data part.
        bimodal: Whether protected zones are there; a record without them may leave them out.

    Raises:
        CorruptedData: It is missing or cut short.
    """
    if section is None:
        raise CorruptedData("The SCP-ECG record does not say where its beats are.")
    beat_ms, fiducial, count = struct.unpack("<3H", _part(section, 0, 6))
    beats = np.frombuffer(_part(section, 6, count * _QRS.itemsize), _QRS)
    held = count if bimodal else 0
    zones = _part(section, 6 + count * _QRS.itemsize, held * _ZONE.itemsize)
    return QrsZones(
        beat_ms,
        fiducial,
        _columns(beats[beats["type"] == 0], "start", "fiducial", "end"),
        _columns(np.frombuffer(zones, _ZONE), "start", "end"),
    )


def _columns(records: npt.NDArray[Any], *names: str) -> npt.NDArray[np.int64]:
    return np.column_stack([records[name].astype(np.int64) for name in names])


def read_encoded_leads(section: memoryview | None, leads: int) -> EncodedLeads:
    """Section 5 or 6.

    Args:
        section: Its data part.
        leads: How many section 3 defines.

    Raises:
        CorruptedData: It is missing or cut short, or its facts cannot be.
    """
    if section is None:
        raise CorruptedData("The SCP-ECG record lacks a section that its signal needs.")
    step_nv, interval_us, differences, bimodal = _ENCODING.unpack(_part(section, 0, _ENCODING.size))
    if not step_nv or not interval_us or differences > 2:
        raise CorruptedData("The SCP-ECG record says a scale, rate or encoding that cannot be.")
    sizes = struct.unpack(f"<{leads}H", _part(section, _ENCODING.size, 2 * leads))
    starts = np.cumsum([_ENCODING.size + 2 * leads, *sizes]).tolist()
    content = tuple(_part(section, start, size) for start, size in zip(starts, sizes, strict=False))
    return EncodedLeads(step_nv, interval_us, differences, bool(bimodal), content)


def _part(section: memoryview, start: int, size: int) -> memoryview:
    if start + size > len(section):
        raise _cut_short()
    return section[start : start + size]


def _cut_short() -> CorruptedData:
    return CorruptedData("The SCP-ECG record is cut short: it promises more than there is.")
