"""DICOM waveforms: 12-lead, general, ambulatory and haemodynamic objects that hold an ECG.

Only the waveform and the object's class are read; a patient's attributes are skipped over.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.blocks import Blocks, Content, WholeOnly
from serve_app.decoding.decoded import Decoded
from serve_app.decoding.dicom_deflated import DEFLATED, inflated
from serve_app.decoding.dicom_pieces import MOST_PIECES, Pieces, too_many_pieces
from serve_app.decoding.lead_numbers import LEAD_NAMES
from serve_app.decoding.units import Unit, electric_unit, to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal
from serve_app.recording import STANDARD_LEADS, standard_lead_name

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["decode_dicom", "looks_like_dicom", "open_dicom"]

_WAVEFORM_CLASSES: Final = "1.2.840.10008.5.1.4.1.1.9."
_HEAD_BYTES: Final = 1 << 16
_NEAR_THE_END: Final = 0.9
_DTYPES: Final = {
    (8, "SB"): "i1",
    (8, "UB"): "u1",
    (16, "SS"): "i2",
    (16, "US"): "u2",
    (32, "SL"): "i4",
    (32, "UL"): "u4",
    (64, "SV"): "i8",
    (64, "UV"): "u8",
}
_CODES: Final = {"SCPECG": re.compile(r"5\.6\.3-9-(\d+)"), "MDC": re.compile(r"2:(\d+)")}


@dataclass(frozen=True)
class _Channel:
    """An ECG channel: its place in the frame, and ``value = stored * sensitivity + baseline``."""

    index: int
    lead: str
    unit: Unit
    sensitivity: float
    baseline: float


def looks_like_dicom(data: bytes) -> bool:
    """Whether the prefix is there, or, in a file without preamble, a first element could be."""
    if data[128:132] == b"DICM":
        return True
    group, element = data[0:2], data[2:4]
    if group not in {b"\x02\x00", b"\x08\x00"} or element[1:2] != b"\x00" or len(data) < 16:
        return False
    explicit = data[4:6].isalpha() and data[4:6].isupper()
    return explicit or int.from_bytes(data[4:8], "little") <= 128


def decode_dicom(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the original rhythm of a waveform object; pressures and the like are left out.

    Raises:
        InvalidFormat: No DICOM, or an object without waveforms.
        CorruptedData: Cut short or damaged.
        InvalidSignal: Waveforms, but no ECG in volts among them.
        PayloadTooLarge: More samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    if not looks_like_dicom(data):
        raise InvalidFormat("This is no DICOM file.")
    dataset, waveforms = _read(inflated(data, limits))
    group, channels = _ecg_group(waveforms)
    stored = _stored_samples(group, limits, big_endian=dataset.original_encoding[1] is False)
    return Decoded(
        np.stack([_millivolts(stored[channel.index], channel, group) for channel in channels]),
        float(group.SamplingFrequency),
        tuple(channel.lead for channel in channels),
        frozenset(channel.unit for channel in channels),
        "dicom",
    )


@cache
def _pydicom() -> Any:
    # Imported late: a quarter of a second that only DICOM needs.
    import pydicom
    import pydicom.config

    # Its warnings quote the values of elements.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom


def _read(data: "bytes | _Elsewhere") -> "tuple[Dataset, list[Dataset]]":
    """The dataset and its multiplex groups, of which there is at least one."""
    dataset = _pydicom().dcmread(
        _stream(data), force=True, specific_tags=["SOPClassUID", "WaveformSequence"]
    )
    groups = _items(dataset, "WaveformSequence")
    if groups:
        return dataset, groups
    meta_class = dataset.file_meta.get("MediaStorageSOPClassUID")
    sop_class = str(meta_class or dataset.get("SOPClassUID") or "")
    if not sop_class or sop_class.startswith(_WAVEFORM_CLASSES):
        raise CorruptedData("The DICOM file is cut short: its waveform is missing.")
    raise InvalidFormat(
        "The DICOM object holds no waveform; it may be an image or a report.",
        hint="Send an ECG waveform object (12-lead, general, ambulatory or haemodynamic).",
    )


def _items(dataset: "Dataset", keyword: str) -> "list[Dataset]":
    """The items of a sequence, if it is there, read within the bounds of `Pieces`."""
    if keyword not in dataset:
        return []
    element: Any = dataset.get_item(keyword)
    if not element.is_raw:  # of undefined length: it has been read with what is around it
        return list(element.value or [])
    content = element.value or b""
    # Unknown VR, as gateways write it, is encoded implicitly inside.
    implicit = element.is_implicit_VR or element.VR == "UN"
    return list(
        _pydicom().filereader.read_sequence(
            _stream(content), implicit, element.is_little_endian, len(content), "latin-1"
        )
    )


def _preference(group: "Dataset") -> tuple[bool, bool, int]:
    """The recorded rhythm before an averaged beat, then the longest."""
    original = str(group.get("WaveformOriginality", "")).upper() == "ORIGINAL"
    rhythm = "RHYTHM" in str(group.get("MultiplexGroupLabel", "")).upper()
    return original, rhythm, int(group.get("NumberOfWaveformSamples") or 0)


def _ecg_group(waveforms: "list[Dataset]") -> "tuple[Dataset, list[_Channel]]":
    """The multiplex group to read, of those with an ECG, and its channels that are one."""
    for group in sorted(waveforms, key=_preference, reverse=True):
        channels = _ecg_channels(group)
        if channels:
            return group, channels
    raise InvalidSignal(
        "No channel of the DICOM object is an ECG in volts.",
        hint="Send an object with ECG channels and their sensitivity.",
    )


def _ecg_channels(group: "Dataset") -> list[_Channel]:
    channels = []
    for index, definition in enumerate(_items(group, "ChannelDefinitionSequence")):
        unit = _unit(definition)
        if unit is not None:
            channels.append(
                _Channel(
                    index,
                    _lead(definition),
                    unit,
                    float(definition.get("ChannelSensitivity") or 1)
                    * float(definition.get("ChannelSensitivityCorrectionFactor") or 1),
                    float(definition.get("ChannelBaseline") or 0),
                )
            )
    return channels


def _unit(definition: "Dataset") -> Unit | None:
    units = _items(definition, "ChannelSensitivityUnitsSequence")
    return electric_unit(str(units[0].get("CodeValue", ""))) if units else None


def _lead(definition: "Dataset") -> str:
    """The lead's name by its code, else by a text that names a standard lead, else any text."""
    sources = _items(definition, "ChannelSourceSequence")
    texts = [str(definition.get("ChannelLabel") or "")]
    if sources:
        scheme = str(sources[0].get("CodingSchemeDesignator") or "").strip().upper()
        code = str(sources[0].get("CodeValue") or "").strip()
        if scheme in _CODES and (match := _CODES[scheme].fullmatch(code)):
            number = int(match[1])
            if number in LEAD_NAMES:
                return LEAD_NAMES[number]
        texts.insert(0, str(sources[0].get("CodeMeaning") or ""))
    names = [_plain_name(text) for text in texts]
    return next((name for name in names if name in STANDARD_LEADS), next(filter(None, names), ""))


def _plain_name(text: str) -> str:
    """``"Lead I (Einthoven)"`` -> ``"I"``; ``"aVR, augmented voltage, right"`` -> ``"aVR"``."""
    text = re.split(r"[(,]", text, maxsplit=1)[0].strip()
    return standard_lead_name(re.sub(r"^(ecg\s+)?lead\s+", "", text, flags=re.IGNORECASE))


def _stored_samples(
    group: "Dataset", limits: Limits, *, big_endian: bool, content: Content | None = None
) -> npt.NDArray[Any]:
    """``(channels, samples)`` as they are stored, in `content` where that is not in the group."""
    channels, samples = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    kind = (int(group.WaveformBitsAllocated), str(group.WaveformSampleInterpretation))
    if kind not in _DTYPES:
        raise InvalidFormat(f"DICOM samples of kind {kind[1][:4]} are not read here.")
    dtype = np.dtype(_DTYPES[kind]).newbyteorder(">" if big_endian else "<")
    limits.check_samples(channels * samples)
    content = group.WaveformData if content is None else content
    if channels < 1 or len(content) < channels * samples * dtype.itemsize:
        raise CorruptedData("The DICOM waveform is cut short.")
    return np.frombuffer(content, dtype, channels * samples).reshape(samples, channels).T


def _millivolts(
    stored: npt.NDArray[Any], channel: _Channel, group: "Dataset"
) -> npt.NDArray[np.float32]:
    values = stored.astype(np.float64) * channel.sensitivity + channel.baseline
    padding = _padding(stored.dtype, group.get("WaveformPaddingValue"))
    if padding is not None:
        values[stored == padding] = np.nan
    return to_mv(values, channel.unit).astype(np.float32)


def _padding(dtype: np.dtype[Any], stated: object) -> int | None:
    """The stored value that stands for a missing sample.

    Some writers state 0, which is also a voltage: only a value near the end of the stored range,
    where no sample lies, is believed.
    """
    if not isinstance(stated, bytes) or len(stated) < dtype.itemsize:
        return None
    value, ends = int(np.frombuffer(stated, dtype, 1)[0]), np.iinfo(dtype)
    near_an_end = value <= _NEAR_THE_END * ends.min or value >= _NEAR_THE_END * ends.max
    return value if near_an_end else None


def open_dicom(content: Content, limits: Limits) -> Blocks:
    """Open the original rhythm of a waveform object, to be read a stretch at a time.

    Raises:
        WholeOnly: Deflated, which has no places to seek.
        EcgServeError: As `decode_dicom`.
    """
    if DEFLATED in content[:_HEAD_BYTES]:
        raise WholeOnly
    dataset, waveforms = _read(_Elsewhere(content, 0, len(content)))
    group, channels = _ecg_group(waveforms)
    data: Any = group.get_item("WaveformData")
    where = data.value if isinstance(data.value, _Elsewhere) else None
    found = memoryview(content)[where.start : where.start + where.size] if where else data.value
    big_endian = dataset.original_encoding[1] is False
    stored = _stored_samples(group, limits, big_endian=big_endian, content=found)

    def read(start: int, stop: int) -> npt.NDArray[np.float32]:
        stretch = stored[:, start:stop]
        return np.stack([_millivolts(stretch[each.index], each, group) for each in channels])

    return Blocks(
        read,
        stored.shape[1],
        float(group.SamplingFrequency),
        tuple(channel.lead for channel in channels),
        frozenset(channel.unit for channel in channels),
        "dicom",
    )


class _Elsewhere(bytes):
    """Bytes that were left where they are: their place, in the place of their content."""

    content: Content
    start: int
    size: int

    def __new__(cls, content: Content, start: int, size: int) -> "_Elsewhere":
        self = super().__new__(cls)
        self.content, self.start, self.size = content, start, size
        return self

    def __len__(self) -> int:
        return self.size


class _View:
    """What pydicom reads of content that is not in memory; large values are left there."""

    def __init__(self, whole: _Elsewhere) -> None:
        self._whole = whole
        self._place = 0
        self._pieces = 0

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._place = offset + (0, self._place, self._whole.size)[whence]
        return self._place

    def read(self, size: int | None = -1, /) -> bytes:
        self._pieces += 1
        if self._pieces > MOST_PIECES or size is None or size < 0:
            raise too_many_pieces()
        start = self._whole.start + self._place
        size = max(0, min(size, self._whole.size - self._place))
        self._place += size
        if size > _HEAD_BYTES:
            return _Elsewhere(self._whole.content, start, size)
        return bytes(self._whole.content[start : start + size])


def _stream(content: bytes) -> Pieces | _View:
    return _View(content) if isinstance(content, _Elsewhere) else Pieces(content)
