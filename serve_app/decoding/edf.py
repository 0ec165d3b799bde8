"""EDF, EDF+ and their 24-bit sibling BDF: the ECG among what a polygraph stores.

Fields as in https://www.edfplus.info/specs/edf.html, edfplus.html and
https://www.biosemi.com/faq/file_format.htm. The fields that describe a patient are never read, nor
are annotations, but for the time at which a record of a discontinuous recording (EDF+D) starts.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from serve_app.decoding.blocks import Blocks, Content, read_whole
from serve_app.decoding.decoded import Decoded
from serve_app.decoding.records import INT24, Channel, Run, check_pieces, open_runs
from serve_app.decoding.signal_names import is_other_signal, lead_of_label, says_ecg
from serve_app.decoding.units import electric_unit
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal

__all__ = ["decode_edf", "looks_like_bdf", "looks_like_edf", "open_edf"]

_BDF: Final = b"\xffBIOSEMI"
_EDF: Final = re.compile(rb"0[ \0]{7}")
_FIXED_BYTES: Final = 256  # of the header, and again for each signal
_MAX_RECORDS_WITH_TIMES: Final = 1_000_000  # eleven days of seconds
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
# A record's time, in seconds since the recording started, without or with a duration.
_TIME: Final = re.compile(rb"([+-]\d{1,12}(?:\.\d{1,12})?)(?:\x15[\d.]{0,20})?\x14")
_MAX_TIME_BYTES: Final = 64
_MAX_FS_HZ: Final = 1e6
_FIELDS: Final = {
    "label": 16,
    "transducer": 80,
    "unit": 8,
    "physical_min": 8,
    "physical_max": 8,
    "digital_min": 8,
    "digital_max": 8,
    "filters": 80,
    "samples": 8,
    "reserved": 32,
}
_SCALE: Final = ("physical_min", "physical_max", "digital_min", "digital_max")


@dataclass(frozen=True)
class _Signal:
    """A signal of any kind: its texts in the header, and its place in a record."""

    label: str
    unit: str
    scale: tuple[str, ...]
    samples: int
    start: int

    @property
    def is_annotation(self) -> bool:
        return self.label.casefold() in {"edf annotations", "bdf annotations"}


@dataclass(frozen=True)
class _Header:
    """What the header says; `records` is 0 or more, as many as the file holds."""

    sample_bytes: int
    first_byte: int
    records: int
    record_s: float
    record_bytes: int
    signals: tuple[_Signal, ...]
    discontinuous: bool


def looks_like_edf(data: bytes) -> bool:
    """Whether the version field of EDF is there, and counts where they belong."""
    counts = data[184:192].strip(b" \0"), data[252:256].strip(b" \0")
    return _EDF.match(data[:8]) is not None and all(count.isdigit() for count in counts)


def looks_like_bdf(data: bytes) -> bool:
    """Whether the signature of BDF is there."""
    return data[:8] == _BDF


def decode_edf(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the ECG signals of a file.

    Raises:
        EcgServeError: As in `open_edf`.
        PayloadTooLarge: More samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    blocks = open_edf(data, limits)
    return read_whole(blocks, len(blocks.leads or ()), limits)


def open_edf(content: Content, limits: Limits) -> Blocks:
    """Read the header of an EDF or BDF file, and its samples when they are asked for.

    Signals are ECG by their labels; where no label says so, those in volts that are named as
    nothing else. Of several sampling rates the one that most leads have is read, of as many the
    highest. Gaps of a discontinuous recording are NaN.

    Raises:
        InvalidFormat: A header that breaks the format.
        CorruptedData: Cut short, or records that overlap in time.
        InvalidSignal: No ECG among the signals, or no samples.
        PayloadTooLarge: Gaps of more samples than `limits` allow.
    """
    header = _header(content)
    chosen = _ecg_signals(header.signals)
    if header.records < 1:
        raise InvalidSignal("The EDF file holds no samples.")
    channels = tuple(_channel(signal, header.sample_bytes) for signal in chosen)
    fs_hz = channels[0].samples / header.record_s
    if fs_hz > _MAX_FS_HZ:
        raise InvalidFormat("The EDF header states an impossible sampling rate.")
    runs = [Run(0, header.first_byte, header.records, header.record_bytes, channels)]
    if header.discontinuous:
        runs = _runs_in_time(content, header, runs[0], fs_hz)
        missing = runs[-1].end - sum(run.end - run.position for run in runs)
        limits.check_samples(missing * len(channels))
    return open_runs(content, runs, fs_hz, "bdf" if header.sample_bytes == 3 else "edf")


def _header(content: Content) -> _Header:
    start = bytes(content[:_FIXED_BYTES])
    if not (looks_like_bdf(start) or looks_like_edf(start)):
        raise InvalidFormat("This is no EDF or BDF file, or its header is damaged.")
    sample_bytes, fixed = 3 if looks_like_bdf(start) else 2, start.decode("latin-1")
    count = _integer(fixed[252:256])
    first_byte = _FIXED_BYTES * (count + 1)
    if count < 1 or _integer(fixed[184:192]) != first_byte:
        raise InvalidFormat("The EDF header's length does not fit its count of signals.")
    if len(content) < first_byte:
        raise CorruptedData("The EDF header is cut short.")
    signals = _signals(
        bytes(content[_FIXED_BYTES:first_byte]).decode("latin-1"), count, sample_bytes
    )
    record_bytes = sample_bytes * sum(signal.samples for signal in signals)
    record_s = _number(fixed[244:252])
    if record_bytes == 0 or record_s <= 0:
        raise InvalidSignal("The EDF file holds no signals in time: its records have no length.")
    return _Header(
        sample_bytes=sample_bytes,
        first_byte=first_byte,
        records=_records(_integer(fixed[236:244]), (len(content) - first_byte) // record_bytes),
        record_s=record_s,
        record_bytes=record_bytes,
        signals=signals,
        discontinuous=fixed[192:197] in {"EDF+D", "BDF+D"},
    )


def _records(stated: int, held: int) -> int:
    """How many records there are; -1 is stated while a recording goes on."""
    if stated > held:
        raise CorruptedData(f"The EDF file is cut short: it holds {held} of {stated} records.")
    return held if stated == -1 else stated


def _signals(text: str, count: int, sample_bytes: int) -> tuple[_Signal, ...]:
    """The signals' header, which holds each field of all signals before the next field."""
    columns, place = {}, 0
    for name, width in _FIELDS.items():
        end = place + count * width
        columns[name] = [text[i : i + width].strip(" \0") for i in range(place, end, width)]
        place = end
    signals, start = [], 0
    for i in range(count):
        samples = _integer(columns["samples"][i])
        if samples < 0:
            raise InvalidFormat("The EDF header states less than no samples.")
        scale = tuple(columns[name][i] for name in _SCALE)
        signals.append(_Signal(columns["label"][i], columns["unit"][i], scale, samples, start))
        start += samples * sample_bytes
    return tuple(signals)


def _ecg_signals(signals: tuple[_Signal, ...]) -> list[_Signal]:
    """The ECG signals of one sampling rate."""
    stored = [signal for signal in signals if signal.samples and not signal.is_annotation]
    electric = [signal for signal in stored if electric_unit(signal.unit) is not None]
    candidates = electric or [signal for signal in stored if not signal.unit]
    ecg = [signal for signal in candidates if says_ecg(signal.label)]
    ecg = ecg or [signal for signal in candidates if not is_other_signal(signal.label)]
    if not ecg:
        raise InvalidSignal(
            "No signal of the EDF file is an ECG in volts.",
            hint="Label the signals as EDF+ does: ECG II, ECG V1.",
        )
    counts = Counter(signal.samples for signal in ecg)
    samples = max(counts, key=lambda samples: (counts[samples], samples))
    return [signal for signal in ecg if signal.samples == samples]


def _channel(signal: _Signal, sample_bytes: int) -> Channel:
    low, high, digital_low, digital_high = map(_number, signal.scale)
    gain = (high - low) / (digital_high - digital_low) if digital_high != digital_low else 0.0
    if gain == 0 or not math.isfinite(gain):
        raise InvalidFormat("The EDF header states an ECG signal without a range.")
    return Channel(
        lead_of_label(signal.label),
        electric_unit(signal.unit),
        signal.start,
        signal.samples,
        INT24 if sample_bytes == 3 else "<i2",
        gain,
        offset=low - digital_low * gain,
    )


def _runs_in_time(content: Content, header: _Header, whole: Run, fs_hz: float) -> list[Run]:
    """The records of a discontinuous recording, in runs at the times that they state."""
    samples, end = whole.channels[0].samples, 0
    starts: list[tuple[int, int]] = []  # of each run: its place in time and its first record
    for record, time_s in enumerate(_times_s(content, header)):
        position = round(time_s * fs_hz)
        if position < end - 1:
            raise CorruptedData("Records of the discontinuous EDF file overlap in time.")
        # Times are rounded: a sample more or less is no gap.
        if position > end + 1 or not starts:
            starts.append((position, record))
            check_pieces(len(starts) * len(whole.channels))
            end = position
        end += samples
    stops = [record for _, record in starts[1:]] + [header.records]
    return [
        Run(
            position,
            whole.first_byte + record * whole.record_bytes,
            stop - record,
            whole.record_bytes,
            whole.channels,
        )
        for (position, record), stop in zip(starts, stops, strict=True)
    ]


def _times_s(content: Content, header: _Header) -> Iterator[float]:
    """When each record starts, in seconds after the first one."""
    clock = next((signal for signal in header.signals if signal.is_annotation), None)
    if clock is None or header.records > _MAX_RECORDS_WITH_TIMES:
        raise InvalidFormat("The discontinuous EDF file does not say when its records start.")
    length = min(clock.samples * header.sample_bytes, _MAX_TIME_BYTES)
    start, first_s = header.first_byte + clock.start, 0.0
    for record in range(header.records):
        found = _TIME.match(content, start, start + length)
        if found is None:
            raise CorruptedData(
                "A record of the discontinuous EDF file does not say when it starts."
            )
        time_s = float(found[1])
        first_s = time_s if record == 0 else first_s
        yield time_s - first_s
        start += header.record_bytes


def _integer(text: str) -> int:
    text = text.strip(" \0")
    if re.fullmatch(r"[-+]?\d{1,8}", text) is None:
        raise InvalidFormat("The EDF header has text where a whole number belongs.")
    return int(text)


def _number(text: str) -> float:
    """A number; some writers use a decimal comma."""
    text = text.strip(" \0").replace(",", ".")
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise InvalidFormat("The EDF header has text where a number belongs.")
    return number
