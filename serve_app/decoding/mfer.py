"""MFER: frames of sequences of channels, in an order and at a scale that tagged values define.

ISO/TS 11073-92001, since 2015 ISO 22077-1 (http://www.mfer.org/en/document.htm). Elements that
describe the patient, times and events are stepped over.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from serve_app.decoding.blocks import Blocks, Content, read_whole
from serve_app.decoding.decoded import MAX_LEADS, Decoded
from serve_app.decoding.lead_numbers import LEAD_NAMES
from serve_app.decoding.mfer_definitions import Definitions, Tag
from serve_app.decoding.mfer_elements import Element, elements
from serve_app.decoding.records import Channel, Run, open_runs
from serve_app.decoding.units import Unit
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal

__all__ = ["decode_mfer", "looks_like_mfer", "open_mfer"]

_ECG_TYPES: Final = {0, *range(1, 9), 20, 21}  # 0: not said; 20, 21: monitors; 9: averaged beats
_STATUS: Final = 4  # the data type of flags
_VOLTS: Final = 0
_UNITS: Final[tuple[tuple[int, Unit], ...]] = ((0, "V"), (-3, "mV"), (-6, "uV"), (-9, "nV"))
_LEAD_CODES: Final = {
    0: "",
    **LEAD_NAMES,
    **dict(enumerate(("NASA", "CB4", "CB5", "CB6"), 31)),
    **{4165 + n: f"ECG {n}" for n in range(1, 5)},
}
_START: Final = re.compile(
    rb"\x40.MFR |\x01\x01[\0\x01](?:\x02\x03|\x03[\x04-\x20]|[\x04-\x06\x08][\x01-\x04]"
    rb"|\x0b[\x03-\x06]|[\x17\x81-\x88][\x01-\x7f])",
    re.DOTALL,
)
_MAX_VALUE_BYTES: Final = 64
_MAX_LAYOUTS: Final = 100


@dataclass(frozen=True)
class _Layout:
    """How a frame is made up: its ECG channels of one rate, if any, and a sequence's length."""

    channels: tuple[Channel, ...]
    fs_hz: float | None
    record_bytes: int

    def agrees(self, other: "_Layout") -> bool:
        """Whether frames of both are one recording."""
        leads, others = ([c.lead for c in layout.channels] for layout in (self, other))
        return leads == others and self.fs_hz == other.fs_hz


def looks_like_mfer(data: bytes) -> bool:
    """Whether the preamble is there, or the byte order and another element of a usual length."""
    return _START.match(data) is not None


def decode_mfer(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the ECG channels of all frames.

    Raises:
        EcgServeError: As in `open_mfer`.
        PayloadTooLarge: More samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    blocks = open_mfer(data, limits)
    return read_whole(blocks, len(blocks.leads or ()), limits)


def open_mfer(content: Content, limits: Limits) -> Blocks:
    """Read the definitions of an MFER file, and its samples when they are asked for.

    Averaged beats, pressures and the like are left out. Of several sampling rates the one that most
    leads have is read, of as many the highest. What lies between frames is NaN.

    Raises:
        InvalidFormat: It breaks the format, is compressed, or its leads change on the way.
        CorruptedData: Cut short.
        InvalidSignal: No ECG among the channels, or no samples.
        PayloadTooLarge: Gaps of more samples than `limits` allow.
    """
    if _START.match(content) is None:
        raise InvalidFormat("This is no MFER file.")
    runs, fs_hz = _frames(content)
    if not runs or runs[-1].end == 0:
        raise InvalidSignal(
            "No channel of the MFER file is an ECG in volts.", hint="Send a recording with an ECG."
        )
    missing = runs[-1].end - sum(run.end - run.position for run in runs)
    limits.check_samples(missing * len(runs[0].channels))
    return open_runs(content, runs, fs_hz, "mfer")


def _frames(content: Content) -> tuple[list[Run], float | None]:
    """The ECG of each frame, and its sampling rate."""
    said, runs = Definitions(), list[Run]()
    layouts, pointers = list[_Layout](), list[int]()
    for element in elements(content):
        if element.tag in Tag.DEFINITIONS:
            stop = min(element.stop, element.start + _MAX_VALUE_BYTES)
            said.define(element.tag, element.channel, bytes(content[element.start : stop]))
        elif element.tag == Tag.WAVEFORM:
            if said.changed or not layouts:
                layouts.append(_layout(said))
                said.changed = False
                _check_agreement(layouts)
            if layouts[-1].channels:
                pointers.append(said.integer(Tag.POINTER))
                pointed = _samples(said, layouts[-1], pointers[-1] - pointers[0])
                runs.append(_run(said, layouts[-1], element, _place(runs, pointed)))
            said.define(Tag.POINTER, None, b"")
    return runs, next((layout.fs_hz for layout in layouts if layout.channels), None)


def _check_agreement(layouts: list[_Layout]) -> None:
    """Frames of an ECG, whatever lies between them, must go on as they began."""
    ecg = [layout for layout in layouts if layout.channels]
    if len(layouts) > _MAX_LAYOUTS or (ecg and not ecg[-1].agrees(ecg[0])):
        raise InvalidFormat(
            "Frames of the MFER file hold different leads or sampling rates.",
            hint="Send one recording at a time.",
        )


def _layout(said: Definitions) -> _Layout:
    if said.integer(Tag.COMPRESSION):
        raise InvalidFormat("Compressed MFER is not read here.", hint="Export it uncompressed.")
    count = said.integer(Tag.CHANNELS, default=1)
    if not 1 <= count <= MAX_LEADS:
        raise InvalidFormat(f"The MFER file states {count} channels; 1 to {MAX_LEADS} are read.")
    if len({said.integer(Tag.SEQUENCES, channel) for channel in range(count)}) > 1:
        raise InvalidFormat("MFER channels with different counts of sequences are not read here.")
    start, found = 0, list[tuple[float | None, Channel]]()
    for number in range(count):
        channel = _channel(said, number, start)
        if _is_ecg(said, number):
            found.append((said.fs_hz(number), channel))
        start += channel.samples * said.dtype(number)[1].itemsize
    if start == 0:
        raise InvalidFormat("The MFER file states sequences without samples.")
    return _of_one_rate(found, start)


def _of_one_rate(found: list[tuple[float | None, Channel]], record_bytes: int) -> _Layout:
    """The channels whose sampling rate most leads have; those of a known unit, if there are any."""
    found = [pair for pair in found if pair[1].unit] or found
    if not found:
        return _Layout((), None, record_bytes)
    counts = Counter((fs_hz or 0.0, channel.samples) for fs_hz, channel in found)
    rate = max(counts, key=lambda rate: (counts[rate], rate))
    channels = [channel for fs_hz, channel in found if (fs_hz or 0.0, channel.samples) == rate]
    return _Layout(tuple(channels), rate[0] or None, record_bytes)


def _is_ecg(said: Definitions, channel: int) -> bool:
    sensitivity = said.scaled(Tag.SENSITIVITY, channel)
    return (
        said.code(Tag.WAVEFORM_TYPE, channel)[0] in _ECG_TYPES
        and said.code(Tag.LEAD, channel)[0] in _LEAD_CODES
        and said.dtype(channel)[0] != _STATUS
        and said.integer(Tag.BLOCK, channel, default=1) > 0
        and (sensitivity is None or sensitivity[0] == _VOLTS)
    )


def _channel(said: Definitions, number: int, start: int) -> Channel:
    code, text = said.code(Tag.LEAD, number)
    dtype = said.dtype(number)[1]
    gain, unit = _scale(said.scaled(Tag.SENSITIVITY, number))
    return Channel(
        lead=_LEAD_CODES.get(code) or text.strip(" \0"),
        unit=unit,
        start=start,
        samples=said.integer(Tag.BLOCK, number, default=1),
        dtype=dtype.str,
        gain=gain,
        zero=said.stored(Tag.ZERO, number, dtype) or 0.0,
        missing=said.stored(Tag.NULL, number, dtype),
    )


def _scale(sensitivity: tuple[int, int, int] | None) -> tuple[float, Unit | None]:
    """Units a step, and the unit in which that is a whole number if it is one in any."""
    if sensitivity is None or sensitivity[0] != _VOLTS:
        return 1.0, None
    _, exponent, mantissa = sensitivity
    if mantissa == 0:
        raise InvalidFormat("An MFER channel has a sensitivity of 0 V.")
    power, unit = next((pair for pair in _UNITS if pair[0] <= exponent), _UNITS[-1])
    return mantissa * 10.0 ** (exponent - power), unit


def _run(said: Definitions, layout: _Layout, frame: Element, position: int) -> Run:
    held = (frame.stop - frame.start) // layout.record_bytes
    records = said.integer(Tag.SEQUENCES, 0) or held
    if records > held:
        raise CorruptedData(f"An MFER frame is cut short: {held} of {records} sequences.")
    return Run(position, frame.start, records, layout.record_bytes, layout.channels)


def _samples(said: Definitions, layout: _Layout, steps: int) -> int:
    """Steps of the common sampling interval, which pointers count, as samples of the leads."""
    common_fs_hz = said.fs_hz()
    return round(steps * layout.fs_hz / common_fs_hz) if layout.fs_hz and common_fs_hz else 0


def _place(before: list[Run], pointed: int) -> int:
    """Where a frame belongs: behind the last one or, where its pointer says so, after a gap."""
    end = before[-1].end if before else 0
    # Pointers are rounded: a sample more is no gap.
    return pointed if pointed > end + 1 else end
