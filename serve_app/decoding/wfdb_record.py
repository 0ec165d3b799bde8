"""WFDB records: a header and the files it names, in one segment or many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.blocks import Blocks, Content, WholeOnly
from serve_app.decoding.decoded import Decoded
from serve_app.decoding.signal_names import is_other_signal
from serve_app.decoding.units import Unit, electric_unit, to_mv
from serve_app.decoding.upload import Files, Limits, base_name
from serve_app.decoding.wfdb_header import (
    MAX_HEADER_BYTES,
    Header,
    SignalLine,
    looks_like_header,
    parse_header,
)
from serve_app.decoding.wfdb_samples import (
    Contents,
    can_seek,
    frame_count,
    read_signals,
    read_stretch,
)
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal

__all__ = ["decode_wfdb", "is_header", "open_wfdb"]

_HEAD_BYTES: Final = 4096


@dataclass(frozen=True)
class _Layout:
    """The ECG signals of a record: their names, and how many samples a frame they have."""

    indices: list[int]
    leads: tuple[str, ...]
    per_frame: int
    units: frozenset[Unit]


@dataclass(frozen=True)
class _Part:
    """A segment that has some of the record's leads, and its place in the record."""

    header: Header
    layout: _Layout
    start_frame: int
    frames: int


def is_header(name: str, content: Content) -> bool:
    """Whether a file is a header, by its name or, without one, by its content."""
    if name:
        return name.lower().endswith(".hea")
    return looks_like_header(bytes(content[:_HEAD_BYTES]))


def decode_wfdb(files: Files, limits: Limits) -> Decoded:
    """Decode the one record that the files make; signals that are no potential are left out.

    Signals of several samples a frame keep them (high-resolution mode) where all leads have as
    many; other mixtures are averaged to the frame rate. Gaps between segments are NaN.
    One segment ends where the first of its leads does, once skewed ones are moved forward.

    Raises:
        InvalidFormat: No header, several records, or a header that breaks the format.
        CorruptedData: A file that is missing, cut short or damaged.
        InvalidSignal: No ECG among the signals.
        PayloadTooLarge: More samples than `limits` allow.
    """
    record, segments, signal_files = _record_of(files)
    if record.segments:
        return _read_segments(record, segments, signal_files, limits)
    layout = _layout(record)
    signal = _read_segment(record, layout, signal_files, limits)
    return _decoded(_without_skewed_end(signal, record, layout), record, layout)


def _without_skewed_end(
    signal: npt.NDArray[np.float32], record: Header, layout: _Layout
) -> npt.NDArray[np.float32]:
    """Cut to where the samples of every lead end, once skewed ones are moved forward."""
    missing = 0
    for row, index in zip(signal, layout.indices, strict=True):
        skew = record.signals[index].skew * layout.per_frame
        known = np.flatnonzero(np.isfinite(row[row.size - skew :]))
        missing = max(missing, skew - (int(known[-1]) + 1 if known.size else 0))
    return signal[:, : signal.shape[1] - missing]


def open_wfdb(files: Sequence[tuple[str, Content]], limits: Limits) -> Blocks:
    """Open the one record that the files make, to be read a stretch at a time.

    Raises:
        WholeOnly: Compressed or differenced samples, skewed signals, or leads of several rates.
        EcgServeError: As `decode_wfdb`.
    """
    record, headers, signal_files = _record_of(files)
    first = next((name for name, _ in record.segments if name != "~"), "~")
    layout = _layout(_segment_header(first, headers) if record.segments else record)
    parts = (
        _parts(record, layout, headers, signal_files)
        if record.segments
        else [_Part(record, layout, 0, frame_count(record, signal_files))]
    )
    if not all(can_seek(part.header, part.layout.indices) for part in parts):
        raise WholeOnly
    frames = sum(length for _, length in record.segments) or parts[0].frames
    limits.check_samples(frames * layout.per_frame * len(layout.leads))

    def read(start: int, stop: int) -> npt.NDArray[np.float32]:
        signal = np.full((len(layout.leads), stop - start), np.nan, np.float32)
        for part in parts:
            _fill(signal, start, part, layout, signal_files)
        return signal

    fs_hz = None if record.fs_hz is None else record.fs_hz * layout.per_frame
    return Blocks(read, frames * layout.per_frame, fs_hz, layout.leads, layout.units, "wfdb")


def _record_of(
    files: Sequence[tuple[str, Content]],
) -> tuple[Header, dict[str, Header], dict[str, Content]]:
    """The record, all headers by their record's name, and the signal files."""
    named = _by_base_name(files)
    headers = {
        name: parse_header(bytes(content[: MAX_HEADER_BYTES + 1]))
        for name, content in named.items()
        if is_header(name, content)
    }
    signal_files = {n: content for n, content in named.items() if n not in headers}
    record, by_name = _choose_record(list(headers.items()))
    if "" in signal_files and len({signal.file for signal in record.signals}) == 1:
        # A lone file that came without a name can only be the one that is asked for.
        signal_files.setdefault(record.signals[0].file, signal_files[""])
    return record, by_name, signal_files


def _parts(
    record: Header, layout: _Layout, headers: dict[str, Header], files: Contents
) -> list[_Part]:
    """The segments that have some of the leads; the rest of the record is a gap."""
    parts, start = [], 0
    for name, length in record.segments:
        if name != "~" and length > 0:
            header = _segment_header(name, headers)
            own = _layout_of_segment(header, layout)
            if own is not None:
                if own.per_frame != layout.per_frame or frame_count(header, files) != length:
                    raise _unlike_told()
                parts.append(_Part(header, own, start, length))
        start += length
    return parts


def _fill(
    signal: npt.NDArray[np.float32], start: int, part: _Part, whole: _Layout, files: Contents
) -> None:
    """Fill in what a part has of the stretch of the record that begins at sample `start`."""
    per_frame = whole.per_frame
    first = max(start - part.start_frame * per_frame, 0)
    last = min(start + signal.shape[1], (part.start_frame + part.frames) * per_frame)
    last -= part.start_frame * per_frame
    if first >= last:
        return
    frames = range(first // per_frame, -(-last // per_frame))
    values = read_stretch(part.header, files, part.layout.indices, frames)
    inside = slice(first - frames.start * per_frame, last - frames.start * per_frame)
    to = part.start_frame * per_frame + first - start
    for lead, index, samples in zip(part.layout.leads, part.layout.indices, values, strict=True):
        if lead in whole.leads:
            unit = electric_unit(part.header.signals[index].units) or "mV"
            row = whole.leads.index(lead)
            signal[row, to : to + last - first] = to_mv(samples[inside], unit)


def _by_base_name(files: Sequence[tuple[str, Content]]) -> dict[str, Content]:
    named: dict[str, Content] = {}
    for name, content in files:
        base = base_name(name)
        if not base and is_header(base, content):
            base = ".hea"
        if base in named:
            raise InvalidFormat(
                f"Two files are called {base or 'nothing'}.", hint="Send the files of one record."
            )
        named[base] = content
    return named


def _choose_record(headers: list[tuple[str, Header]]) -> tuple[Header, dict[str, Header]]:
    """The record that is no other's segment, and all headers by their record's name."""
    by_name = {header.name: header for _, header in headers}
    by_name |= {file.rpartition(".")[0]: header for file, header in headers if file != ".hea"}
    segments = {name for _, header in headers for name, _ in header.segments}
    tops = [h for f, h in headers if not {h.name, f.rpartition(".")[0]} & segments]
    if not tops:
        raise InvalidFormat(
            "None of the files is the header (.hea) of a WFDB record.",
            hint="Send one recording: a single file, or a WFDB record with its header.",
        )
    if len(tops) > 1:
        raise InvalidFormat(
            f"{len(tops)} WFDB records were sent together.", hint="Send one record at a time."
        )
    return tops[0], by_name


def _layout(header: Header) -> _Layout:
    ecg = [
        (i, signal, unit)
        for i, signal in enumerate(header.signals)
        if (unit := _ecg_unit(signal)) is not None
    ]
    if not ecg:
        raise InvalidSignal(
            "No signal of the WFDB record is an ECG in volts.", hint="Send a record with an ECG."
        )
    rates = {signal.per_frame for _, signal, _ in ecg}
    return _Layout(
        [i for i, _, _ in ecg],
        _distinct([signal.name or f"signal {i + 1}" for i, signal, _ in ecg]),
        rates.pop() if len(rates) == 1 else 1,
        frozenset(unit for _, _, unit in ecg),
    )


def _ecg_unit(signal: SignalLine) -> Unit | None:
    """The signal's unit; None for another quantity, by its unit or its name."""
    return None if is_other_signal(signal.name) else electric_unit(signal.units)


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Names that find a signal again in other segments, where two are called alike."""
    nth = [names[:i].count(name) for i, name in enumerate(names)]
    return tuple(f"{name} {n + 1}" if n else name for name, n in zip(names, nth, strict=True))


def _decoded(signal: npt.NDArray[np.float32], record: Header, layout: _Layout) -> Decoded:
    fs_hz = None if record.fs_hz is None else record.fs_hz * layout.per_frame
    return Decoded(signal, fs_hz, layout.leads, layout.units, "wfdb")


def _read_segment(
    header: Header, layout: _Layout, files: Contents, limits: Limits
) -> npt.NDArray[np.float32]:
    """``(leads, samples)`` in millivolts."""
    frames = frame_count(header, files)
    values = read_signals(header, files, layout.indices, frames, limits)
    signal = np.empty((len(values), values[0].size), np.float32)
    for row, index in enumerate(layout.indices):
        unit = electric_unit(header.signals[index].units) or "mV"
        signal[row] = to_mv(values[row], unit)
    return signal


def _read_segments(
    record: Header, headers: dict[str, Header], files: Contents, limits: Limits
) -> Decoded:
    """Segments one after the other, each lead in its row, whether all segments have it or not."""
    first = next((name for name, _ in record.segments if name != "~"), "~")
    layout = _layout(_segment_header(first, headers))
    frames = sum(length for _, length in record.segments)
    limits.check_samples(frames * layout.per_frame * len(layout.leads))
    signal = np.full((len(layout.leads), frames * layout.per_frame), np.nan, np.float32)
    start = 0
    for name, length in record.segments:
        if name != "~" and length > 0:
            header = _segment_header(name, headers)
            part = _layout_of_segment(header, layout)
            if part is not None:
                read = _read_segment(header, part, files, limits)
                _paste(read, part, signal, layout, (start, length))
        start += length
    return _decoded(signal, record, layout)


def _layout_of_segment(header: Header, whole: _Layout) -> _Layout | None:
    """The segment's own layout; None where it has none of the record's leads."""
    if not any(map(_ecg_unit, header.signals)):
        return None
    part = _layout(header)
    return part if set(part.leads) & set(whole.leads) else None


def _paste(
    read: npt.NDArray[np.float32],
    part: _Layout,
    signal: npt.NDArray[np.float32],
    whole: _Layout,
    place: tuple[int, int],
) -> None:
    start, length = (frames * whole.per_frame for frames in place)
    if part.per_frame != whole.per_frame or read.shape[1] != length:
        raise _unlike_told()
    for row, lead in enumerate(part.leads):
        if lead in whole.leads:
            signal[whole.leads.index(lead), start : start + length] = read[row]


def _unlike_told() -> CorruptedData:
    return CorruptedData("A segment of the WFDB record has another rate or length than told.")


def _segment_header(name: str, headers: dict[str, Header]) -> Header:
    header = headers.get(name)
    if header is None:
        raise CorruptedData(
            f"The WFDB record lacks its segment {name}.hea.",
            hint="Send the headers and signal files of all segments together.",
        )
    if header.segments:
        raise InvalidFormat("A segment of the WFDB record has segments itself.")
    return header
