"""SCP-ECG (EN 1064, ISO 11073-91064), protocol versions 1 and 2: the rhythm of section 6.

Samples may be plain, first or second differences, Huffman-encoded or not; a reference beat may
have been subtracted from them, and what lies outside the beats decimated. All of it is undone.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.derived_leads import derive_limb_leads
from serve_app.decoding.scp_bimodal import stored_places
from serve_app.decoding.scp_healforce import decode_healforce, looks_like_healforce
from serve_app.decoding.scp_huffman import HuffmanTable, decode_huffman, read_huffman_tables
from serve_app.decoding.scp_sections import (
    EncodedLeads,
    Lead,
    QrsZones,
    read_encoded_leads,
    read_lead_definition,
    read_qrs_zones,
    read_sections,
)
from serve_app.decoding.units import to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidSignal

__all__ = ["decode_scp"]

# The recorder's calibration pulses, stored as leads.
_CALIBRATION: Final = frozenset((*range(31, 61), *range(79, 86)))
_RHYTHM, _REFERENCE_BEAT = 6, 5
# Recorders decimate by 2 or 4.
_MAX_DECIMATION: Final = 16
# One bit a sample, one sample in four stored, three leads of twelve at a time: that would be 128.
_MAX_SAMPLES_PER_OCTET: Final = 256

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Record:
    """What all leads share.

    Attributes:
        leads: Those of section 3.
        tables: Huffman tables; none where samples are plain.
        rhythm: Section 6.
        zones: Section 4, where it is needed.
        reference: Section 5, where it is needed.
    """

    leads: tuple[Lead, ...]
    tables: tuple[HuffmanTable, ...]
    rhythm: EncodedLeads
    beats_subtracted: bool
    zones: QrsZones | None
    reference: EncodedLeads | None

    @property
    def decimation(self) -> int:
        """Original samples for one that is stored, outside protected zones."""
        if self.reference is None:
            return 1
        factor, rest = divmod(self.rhythm.interval_us, self.reference.interval_us)
        if rest or not 1 <= factor <= _MAX_DECIMATION:
            raise CorruptedData("Rhythm and reference beat of the SCP-ECG record differ in rate.")
        return factor

    @property
    def interval_us(self) -> float:
        """Microseconds between two samples of the original recording."""
        return self.rhythm.interval_us / self.decimation


def decode_scp(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the rhythm; limb leads that the record leaves out are derived.

    Where leads were recorded one after the other, a lead is NaN while others were.

    Raises:
        InvalidFormat: Not an SCP-ECG record, or Huffman tables beyond what is read here.
        CorruptedData: Cut short, damaged, or facts that contradict each other.
        InvalidSignal: No leads, or no rhythm.
        PayloadTooLarge: More samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    if looks_like_healforce(data):
        return decode_healforce(data, limits)
    record = _read_record(data)
    origin, span = _frame(record)
    limits.check_samples(len(record.leads) * span)
    signal_nv = _rhythm_nv(record, origin, span)
    signal_nv, names = _one_row_a_lead(signal_nv, record.leads)
    if names and _recorded_together(record.leads):
        signal_nv, names = derive_limb_leads(signal_nv, names)
    return Decoded(
        to_mv(signal_nv, "nV").astype(np.float32),
        1e6 / record.interval_us,
        names or None,
        frozenset(("nV",)),
        "scp",
    )


def _read_record(data: bytes) -> _Record:
    sections = read_sections(data)
    definition = read_lead_definition(sections.get(3))
    if _RHYTHM not in sections:
        raise InvalidSignal(
            "The SCP-ECG record holds no rhythm in section 6.",
            hint="Export the rhythm, not the averaged beat or the measurements alone.",
        )
    count = len(definition.leads)
    rhythm = read_encoded_leads(sections[_RHYTHM], count)
    needed = definition.beats_subtracted or rhythm.bimodal
    return _Record(
        definition.leads,
        read_huffman_tables(sections.get(2)),
        rhythm,
        definition.beats_subtracted,
        read_qrs_zones(sections.get(4), bimodal=rhythm.bimodal) if needed else None,
        read_encoded_leads(sections.get(_REFERENCE_BEAT), count) if needed else None,
    )


def _frame(record: _Record) -> tuple[int, int]:
    """The first sample of all leads, and how many there are from it to the last."""
    origin = min(lead.start for lead in record.leads)
    span = max(lead.stop for lead in record.leads) - origin
    octets = sum(map(len, record.rhythm.content))
    if len(record.leads) * span > _MAX_SAMPLES_PER_OCTET * octets:
        raise CorruptedData("The SCP-ECG record promises far more samples than it can hold.")
    return origin, span


def _rhythm_nv(record: _Record, origin: int, span: int) -> Floats:
    """``(leads, span)`` nanovolts, NaN where a lead was not recorded."""
    signal_nv = np.full((len(record.leads), span), np.nan)
    places: dict[tuple[int, int], Floats] = {}
    for row, lead, content in zip(signal_nv, record.leads, record.rhythm.content, strict=True):
        stretch = (lead.start, lead.stop)
        recorded = row[lead.start - origin : lead.stop - origin]
        if record.decimation == 1:
            recorded[:] = _samples(content, recorded.size, record.rhythm, record.tables)
            continue
        if stretch not in places:
            places[stretch] = _places(record, lead)
        place = places[stretch]
        stored = _samples(content, int(place[-1]) + 1, record.rhythm, record.tables)
        recorded[:] = np.interp(place, np.arange(stored.size), stored)
    signal_nv *= record.rhythm.step_nv
    if record.beats_subtracted and record.zones and record.reference:
        beat_nv = _reference_beat_nv(record.reference, record.zones, record.tables)
        _add_beats(signal_nv, beat_nv, record.zones, origin)
    return signal_nv


def _places(record: _Record, lead: Lead) -> Floats:
    protected = record.zones.protected if record.zones else np.empty((0, 2), np.int64)
    # Zones count from 1 and include their end.
    return stored_places(lead.start, lead.stop, record.decimation, protected - (1, 0))


def _samples(
    content: memoryview, count: int, encoded: EncodedLeads, tables: tuple[HuffmanTable, ...]
) -> npt.NDArray[np.int16]:
    """The first `count` stored samples of a lead, ``(count,)``."""
    if tables:
        numbers = decode_huffman(content, count, tables)
    elif 2 * count > len(content):
        raise CorruptedData("A lead of the SCP-ECG record is cut short.")
    else:
        numbers = np.frombuffer(content, "<i2", count).astype(np.int64)
    if encoded.differences == 1:
        numbers = np.cumsum(numbers)
    elif encoded.differences == 2:
        # The first two are samples: make the second a difference of differences, too.
        numbers[1:2] -= 2 * numbers[:1]
        numbers = np.cumsum(np.cumsum(numbers))
    # Writers compute in 16 bits, where a difference may wrap around.
    return numbers.astype(np.int16)


def _reference_beat_nv(
    reference: EncodedLeads, zones: QrsZones, tables: tuple[HuffmanTable, ...]
) -> Floats:
    """``(leads, samples)`` nanovolts."""
    count = round(zones.beat_ms * 1000 / reference.interval_us)
    if not count:
        raise CorruptedData("The reference beat of the SCP-ECG record has no length.")
    samples = [_samples(content, count, reference, tables) for content in reference.content]
    return np.stack(samples).astype(np.float64) * reference.step_nv


def _add_beats(signal_nv: Floats, beat_nv: Floats, zones: QrsZones, origin: int) -> None:
    """Add the reference beat wherever it was subtracted, fiducial sample upon fiducial sample."""
    starts, fiducials, ends = zones.subtracted.T
    # Sample numbers count from 1; each shift leads from the frame of the rhythm to the beat's.
    firsts, lasts = starts - 1 - origin, ends - origin
    shifts = origin + zones.beat_fiducial - fiducials
    firsts = np.maximum(np.maximum(firsts, 0), -shifts)
    lasts = np.minimum(np.minimum(lasts, signal_nv.shape[1]), beat_nv.shape[1] - shifts)
    # Zones do not overlap; a record that says so would cost any amount of time.
    if np.maximum(lasts - firsts, 0).sum() > signal_nv.shape[1]:
        raise CorruptedData("Beats of the SCP-ECG record overlap.")
    for first, last, shift in zip(firsts.tolist(), lasts.tolist(), shifts.tolist(), strict=True):
        if first < last:
            signal_nv[:, first:last] += beat_nv[:, first + shift : last + shift]


def _one_row_a_lead(signal_nv: Floats, leads: tuple[Lead, ...]) -> tuple[Floats, tuple[str, ...]]:
    """Parts of a lead that was recorded in several go together; no names where none are known."""
    kept = [i for i, lead in enumerate(leads) if lead.number not in _CALIBRATION]
    rows: dict[str, Floats] = {}
    for i in kept:
        # A lead without a name is one of its own.
        row = rows.setdefault(leads[i].name or f"lead {i + 1}", signal_nv[i])
        np.copyto(row, signal_nv[i], where=np.isnan(row))
    if not rows:
        raise InvalidSignal("The SCP-ECG record holds nothing but calibration pulses.")
    named = any(leads[i].number for i in kept)
    return np.stack(list(rows.values())), tuple(rows) if named else ()


def _recorded_together(leads: tuple[Lead, ...]) -> bool:
    """Whether leads I and II were, so that others follow from them."""
    return len({(lead.start, lead.stop) for lead in leads if lead.name in {"I", "II"}}) == 1
