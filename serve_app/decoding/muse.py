"""GE MUSE: the XML export of resting electrocardiograms (root ``RestingECG``).

A file has a Median beat and a Rhythm, each a Waveform with one LeadData a stored lead: base64 of
int16, little-endian. Eight leads are stored; the limb leads that follow from I and II are added.
"""

import math
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.decoded import MAX_LEADS, Decoded
from serve_app.decoding.derived_leads import derive_limb_leads
from serve_app.decoding.text_fields import parse_base64, parse_count, parse_number
from serve_app.decoding.units import Unit, electric_unit, to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.decoding.xml_document import parse_xml, root_name
from serve_app.errors import CorruptedData, InvalidFormat
from serve_app.recording import standard_lead_name

__all__ = ["decode_muse", "looks_like_muse"]

_MAX_EXPONENT: Final = 6


@dataclass(frozen=True)
class _Lead:
    """A stored lead: its samples as they are stored, and the volts they stand for."""

    name: str
    stored: npt.NDArray[np.int16]
    per_bit: float
    unit: Unit

    @property
    def signal_mv(self) -> npt.NDArray[np.floating]:
        """``(samples,)`` float64."""
        return to_mv(self.stored * self.per_bit, self.unit)


def looks_like_muse(data: bytes) -> bool:
    """Whether the root element is MUSE's."""
    return root_name(data) == "RestingECG"


def decode_muse(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the rhythm of a MUSE export; patient and measurements are left alone.

    Exports hold a bare ``&`` or ``<`` in their statements: that is mended, and since mending could
    hide damage, every count and checksum that the file states is held against its samples.

    Raises:
        InvalidFormat: No rhythm in it, or a field that is missing or makes no sense.
        CorruptedData: Cut short, or samples that differ from their count or checksum.
        PayloadTooLarge: More text or samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    waveform = _rhythm(parse_xml(data, limits, mend=True))
    leads = _leads(waveform, limits)
    fs_hz = _sampling_rate(waveform)
    signal, names = derive_limb_leads(
        np.stack([lead.signal_mv for lead in leads]),
        tuple(standard_lead_name(lead.name) for lead in leads),
    )
    return Decoded(
        signal.astype(np.float32), fs_hz, names, frozenset(lead.unit for lead in leads), "muse"
    )


def _rhythm(root: Any) -> Any:
    for waveform in root.iterfind("Waveform"):
        if _text(waveform, "WaveformType").casefold() == "rhythm":
            return waveform
    raise InvalidFormat(
        "The MUSE file holds no rhythm.",
        hint="Export the recording with its waveforms; an averaged beat alone is not read.",
    )


def _sampling_rate(waveform: Any) -> float:
    base = parse_number(_text(waveform, "SampleBase"), "SampleBase")
    exponent = parse_number(_text(waveform, "SampleExponent") or "0", "SampleExponent")
    if base <= 0 or abs(exponent) > _MAX_EXPONENT:
        raise InvalidFormat("The MUSE file's sampling rate is impossible.")
    return base * math.pow(10, exponent)


def _leads(waveform: Any, limits: Limits) -> list[_Lead]:
    stored = waveform.findall("LeadData")
    count = parse_count(_text(waveform, "NumberofLeads") or str(len(stored)), "NumberofLeads")
    if not 0 < count <= MAX_LEADS:
        raise InvalidFormat(f"A MUSE file of {count} leads is not read here.")
    if len(stored) != count:
        raise CorruptedData(f"The MUSE file says {count} leads and holds {len(stored)}.")
    if _text(waveform, "SampleType").upper() not in {"CONTINUOUS_SAMPLES", ""}:
        raise InvalidFormat("Only continuous samples are read from a MUSE file.")
    if len({_text(lead, "LeadTimeOffset") or "0" for lead in stored}) > 1:
        raise InvalidFormat("The leads of the MUSE file start at different times.")
    leads = [_lead(lead, limits) for lead in stored]
    if len({lead.stored.size for lead in leads}) > 1:
        raise CorruptedData("The leads of the MUSE file differ in length.")
    return leads


def _lead(element: Any, limits: Limits) -> _Lead:
    if parse_count(_text(element, "LeadSampleSize") or "2", "LeadSampleSize") != 2:
        raise InvalidFormat("Only samples of two bytes are read from a MUSE file.")
    name, unit = _text(element, "LeadID"), electric_unit(_text(element, "LeadAmplitudeUnits"))
    if not name:
        raise InvalidFormat("A MUSE lead has no LeadID.")
    if unit is None:
        raise InvalidFormat("A MUSE lead's LeadAmplitudeUnits is missing or no voltage.")
    per_bit = parse_number(_text(element, "LeadAmplitudeUnitsPerBit"), "LeadAmplitudeUnitsPerBit")
    if per_bit <= 0:
        raise InvalidFormat("A MUSE lead's LeadAmplitudeUnitsPerBit is not positive.")
    count = parse_count(_text(element, "LeadSampleCountTotal"), "LeadSampleCountTotal")
    limits.check_samples(count)
    content = parse_base64(_text(element, "WaveFormData"))
    _check_content(element, content, count)
    return _Lead(name, np.frombuffer(content, "<i2"), per_bit, unit)


def _check_content(element: Any, content: bytes, count: int) -> None:
    size = parse_count(_text(element, "LeadByteCountTotal") or str(2 * count), "LeadByteCountTotal")
    if not len(content) == size == 2 * count:
        raise CorruptedData(
            f"A MUSE lead holds {len(content)} bytes for {count} samples of two bytes."
        )
    checksum = parse_count(_text(element, "LeadDataCRC32") or "0", "LeadDataCRC32")
    if checksum not in {0, zlib.crc32(content)}:
        raise CorruptedData("A MUSE lead's samples differ from their checksum.")


def _text(element: Any, name: str) -> str:
    return (element.findtext(name) or "").strip()
