"""Philips Sierra ECG XML 1.03 to 1.04.02 (root ``restingecgdata``) of PageWriter, TraceMaster, MRx.

The samples are base64 of int16, mostly in Philips' XLI compression: ten-bit LZW over the high and
then the low bytes of second differences, limb leads III to aVF as what is left after prediction
from I and II. `sierraecg` unpacks the LZW; the file is read here, where its size is bounded.
"""

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.decoded import MAX_LEADS, Decoded
from serve_app.decoding.text_fields import parse_base64, parse_count, parse_number, parse_samples
from serve_app.decoding.units import to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.decoding.xml_document import parse_xml, root_name
from serve_app.errors import CorruptedData, InvalidFormat
from serve_app.recording import STANDARD_LEADS

__all__ = ["decode_philips", "looks_like_philips"]

_VERSIONS: Final = ("1.03", "1.04", "1.04.01", "1.04.02")
_LIMB_LEADS: Final = STANDARD_LEADS[:6]
_LZW_BITS: Final = 10
_HEADER_BYTES: Final = 8
# The LZW is unpacked in Python, near 5 million samples a second; a resting recording has 180,000.
_MAX_COMPRESSED_SAMPLES: Final = 2_000_000

Stored = npt.NDArray[np.int32]


@dataclass(frozen=True)
class _Layout:
    """What is said of the samples.

    Attributes:
        leads: Names, in the order of the channels.
        samples: Of each channel.
        fs_hz: Samples a second.
        uv_per_bit: Microvolts of a step.
    """

    leads: tuple[str, ...]
    samples: int
    fs_hz: float
    uv_per_bit: float


def looks_like_philips(data: bytes) -> bool:
    """Whether the root element is Philips'."""
    return root_name(data) == "restingecgdata"


def decode_philips(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the leads of a Philips file, twelve or more; averaged beats are left out.

    Raises:
        InvalidFormat: Another version, encoding or lead set, or a field that makes no sense.
        CorruptedData: Cut short, or samples that differ from their count.
        PayloadTooLarge: More text or samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    root = parse_xml(data, limits)
    _check_version(root)
    waveforms = root.find(".//{*}parsedwaveforms")
    if waveforms is None:
        raise InvalidFormat("The Philips file holds no waveforms.")
    layout = _layout(root, waveforms)
    limits.check_samples(len(layout.leads) * layout.samples)
    stored = _stored_samples(waveforms, layout, limits)
    signal_mv = to_mv(stored * layout.uv_per_bit, "uV").astype(np.float32)
    return Decoded(signal_mv, layout.fs_hz, layout.leads, frozenset({"uV"}), "philips")


def _check_version(root: Any) -> None:
    kind = root.findtext(".//{*}documentinfo/{*}documenttype") or ""
    version = (root.findtext(".//{*}documentinfo/{*}documentversion") or "").strip()
    if kind.strip() not in {"SierraECG", "PhilipsECG"} or version not in _VERSIONS:
        shown = f"version {version}" if version.replace(".", "").isdigit() else "this version"
        raise InvalidFormat(
            f"Philips ECG XML of {shown[:20]} is not read here.",
            hint=f"Versions {', '.join(_VERSIONS)} are; export one of them.",
        )


def _layout(root: Any, waveforms: Any) -> _Layout:
    details = root.find(".//{*}signalcharacteristics")
    if details is None:
        raise InvalidFormat("The Philips file does not describe its signal.")
    if parse_count(_said(details, waveforms, "bitspersample") or "16", "bitspersample") != 16:
        raise InvalidFormat("Only samples of 16 bits are read from a Philips file.")
    resolution = _said(details, waveforms, "resolution", "signalresolution")
    rate = _said(details, waveforms, "samplingrate", "samplespersecond")
    uv_per_bit, fs_hz = parse_number(resolution, "resolution"), parse_number(rate, "sampling rate")
    duration_ms = parse_number(waveforms.get("durationperchannel"), "durationperchannel")
    if uv_per_bit <= 0 or fs_hz <= 0 or duration_ms <= 0:
        raise InvalidFormat("The Philips file's resolution, sampling rate or duration is zero.")
    return _Layout(
        _lead_names(details, waveforms), int(duration_ms * fs_hz / 1000), fs_hz, uv_per_bit
    )


def _said(details: Any, waveforms: Any, *names: str) -> str:
    """A field under one of its names: 1.03 has it as an element, 1.04 as an attribute, too."""
    for name in names:
        text = details.findtext("{*}" + name) or waveforms.get(name) or ""
        if text.strip():
            return str(text).strip()
    return ""


def _lead_names(details: Any, waveforms: Any) -> tuple[str, ...]:
    labels = (waveforms.get("leadlabels") or "").split()
    stated = waveforms.get("numberofleads") or _said(details, waveforms, "numberchannelsallocated")
    count = parse_count(stated or str(len(labels)), "number of leads")
    if labels and count > len(labels):
        raise CorruptedData(f"The Philips file says {count} leads and names {len(labels)}.")
    kind = _said(details, waveforms, "acquisitiontype")
    if not labels and kind not in {"STD-12", "10-WIRE"}:
        raise InvalidFormat("The Philips file does not name its leads.")
    # What analyses sixteen channels writes sixteen; those after the named ones are empty.
    leads = tuple(labels[:count]) or STANDARD_LEADS[:count]
    if not 0 < len(leads) <= MAX_LEADS:
        raise InvalidFormat("The Philips file has no leads, or too many.")
    return leads


def _stored_samples(waveforms: Any, layout: _Layout, limits: Limits) -> Stored:
    """``(leads, samples)`` as they are stored."""
    text, encoding = waveforms.text or "", waveforms.get("dataencoding")
    compression = waveforms.get("compressmethod") or waveforms.get("compression") or "Uncompressed"
    if (waveforms.get("compressflag") or "").casefold() == "false":
        compression = "Uncompressed"
    if encoding == "Plain" and compression == "Uncompressed":
        return _rows(parse_samples(text, limits), layout)
    if encoding != "Base64" or compression not in {"XLI", "Uncompressed"}:
        raise InvalidFormat("The Philips file's encoding or compression is not read here.")
    content = parse_base64(text)
    if compression == "XLI":
        return _unpack(content, layout, limits)
    if len(content) % 2:
        raise CorruptedData("The Philips samples are cut short.")
    return _rows(np.frombuffer(content, "<i2"), layout)


def _rows(values: npt.NDArray[Any], layout: _Layout) -> Stored:
    count = len(layout.leads) * layout.samples
    if values.size != count or np.abs(values).max(initial=0) > 1 << 15:
        raise CorruptedData(f"The Philips file holds {values.size} samples, not {count}.")
    return values.astype(np.int32).reshape(len(layout.leads), layout.samples)


def _unpack(content: bytes, layout: _Layout, limits: Limits) -> Stored:
    most = min(limits.max_samples, _MAX_COMPRESSED_SAMPLES)
    replace(limits, max_samples=most).check_samples(len(layout.leads) * layout.samples)
    rows, offset = [], 0
    for _ in layout.leads:
        header = content[offset : offset + _HEADER_BYTES]
        size = int.from_bytes(header[:4], "little", signed=True)
        start = int.from_bytes(header[6:], "little", signed=True)
        offset += _HEADER_BYTES
        if size <= 0 or offset + size > len(content):
            raise CorruptedData("The Philips samples are cut short.")
        rows.append(_unpack_lead(content[offset : offset + size], start, layout.samples))
        offset += size
    return _restore_limb_leads(np.stack(rows), layout.leads)


def _unpack_lead(chunk: bytes, start: int, samples: int) -> Stored:
    """One lead of `samples` samples, whose first difference is `start`."""
    from sierraecg.lzw import LzwDecoder

    decoder = LzwDecoder(chunk, bits=_LZW_BITS)
    # One more than belongs there, never all: a few bytes unpack to hundreds of times as many.
    unpacked = bytes(islice(iter(decoder.read, -1), 2 * samples + 1))
    if len(unpacked) != 2 * samples:
        raise CorruptedData("A Philips lead does not hold as many samples as the file says.")
    octets = np.frombuffer(unpacked, np.uint8).astype(np.int16)
    return _integrate(octets[:samples] << 8 | octets[samples:], start)


def _integrate(stored: npt.NDArray[np.int16], start: int) -> Stored:
    """Samples of which the first two are stored, and then second differences, negated.

    A difference is stored 64 too high and one place late; `start` is the one before the first.
    """
    values = stored.astype(np.int64)
    if values.size > 2:
        differences = np.concatenate([[start], values[2:-1] - 64])
        slopes = values[1] - values[0] - np.cumsum(differences)
        values[2:] = values[1] + np.cumsum(slopes)
    if np.abs(values).max() > 1 << 15:
        raise CorruptedData("A Philips lead's samples exceed 16 bits.")
    return values.astype(np.int32)


def _restore_limb_leads(rows: Stored, leads: tuple[str, ...]) -> Stored:
    """Undo the prediction of III, aVR, aVL and aVF, in place."""
    if leads[:6] != _LIMB_LEADS:
        raise InvalidFormat("The Philips file's leads are not in the order that is read here.")
    i, ii, iii, avr, avl, avf = rows[:6]
    iii[:] = ii - i - iii
    avr[:] = -avr - (i + ii) // 2
    avl[:] = (i - iii) // 2 - avl
    avf[:] = (ii + iii) // 2 - avf
    return rows
