"""WFDB records: a header and the files it names, in one segment or many."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.signal_names import is_other_signal
from serve_app.decoding.units import Unit, electric_unit, to_mv
from serve_app.decoding.upload import Files, Limits, base_name
from serve_app.decoding.wfdb_header import Header, SignalLine, looks_like_header, parse_header
from serve_app.decoding.wfdb_samples import frame_count, read_signals
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal

__all__ = ["decode_wfdb", "is_header"]


@dataclass(frozen=True)
class _Layout:
    """The ECG signals of a record: their names, and how many samples a frame they have."""

    indices: list[int]
    leads: tuple[str, ...]
    per_frame: int
    units: frozenset[Unit]


def is_header(name: str, content: bytes) -> bool:
    """Whether a file is a header, by its name or, without one, by its content."""
    if name:
        return name.lower().endswith(".hea")
    return looks_like_header(content)


def decode_wfdb(files: Files, limits: Limits) -> Decoded:
    """Decode the one record that the files make; signals that are no potential are left out.

    Signals of several samples a frame keep them (high-resolution mode) where all leads have as
    many; other mixtures are averaged to the frame rate. Gaps between segments are NaN.

    Raises:
        InvalidFormat: No header, several records, or a header that breaks the format.
        CorruptedData: A file that is missing, cut short or damaged.
        InvalidSignal: No ECG among the signals.
        PayloadTooLarge: More samples than `limits` allow.
    """
    named = _by_base_name(files)
    headers = {n: parse_header(content) for n, content in named.items() if is_header(n, content)}
    signal_files = {n: content for n, content in named.items() if n not in headers}
    record, segments = _choose_record(list(headers.items()))
    if record.segments:
        return _read_segments(record, segments, signal_files, limits)
    if "" in signal_files and len({signal.file for signal in record.signals}) == 1:
        # A lone file that came without a name can only be the one that is asked for.
        signal_files.setdefault(record.signals[0].file, signal_files[""])
    layout = _layout(record)
    signal = _read_segment(record, layout, signal_files, limits)
    return _decoded(signal, record, layout)


def _by_base_name(files: Files) -> dict[str, bytes]:
    named: dict[str, bytes] = {}
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
    header: Header, layout: _Layout, files: dict[str, bytes], limits: Limits
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
    record: Header, headers: dict[str, Header], files: dict[str, bytes], limits: Limits
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
        raise CorruptedData("A segment of the WFDB record has another rate or length than told.")
    for row, lead in enumerate(part.leads):
        if lead in whole.leads:
            signal[whole.leads.index(lead), start : start + length] = read[row]


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
