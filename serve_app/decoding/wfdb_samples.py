"""WFDB signal files: stored bytes to samples.

The common formats are unpacked here, a hundred times faster than importing the wfdb package, and
to the same bits; it reads the rest (first differences, 310, 311, FLAC, skewed signals).
"""

import math
import tempfile
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.blocks import Content
from serve_app.decoding.upload import Limits
from serve_app.decoding.wfdb_header import Header, SignalLine
from serve_app.errors import CorruptedData, InvalidFormat, ResourceExhausted

__all__ = ["Contents", "can_seek", "frame_count", "read_signals", "read_stretch"]

# Bytes a sample, and the stored value that stands for a missing one.
_FORMATS: Final[dict[str, tuple[float, int]]] = {
    "16": (2, -(2**15)),
    "61": (2, -(2**15)),
    "160": (2, -(2**15)),
    "24": (3, -(2**23)),
    "32": (4, -(2**31)),
    "80": (1, -(2**7)),
    "212": (1.5, -(2**11)),
}
_BY_LIBRARY: Final = {"8": 1.0, "310": 4 / 3, "311": 4 / 3}
_FLAC: Final = ("508", "516", "524")
Values = npt.NDArray[np.float64]
Contents = Mapping[str, Content]


def frame_count(header: Header, files: Contents) -> int:
    """Frames in the record, checked against the sizes of its signal files.

    Raises:
        InvalidFormat: A format that WFDB does not have.
        CorruptedData: A file that is missing, or shorter than the header says.
    """
    frames = header.frames
    for signals in _by_file(header).values():
        content = _content(signals[0].file, files)
        held = _frames_held(signals, content)
        if frames is None:
            frames = held
        if held < frames or frames < 1:
            raise CorruptedData(
                f"{signals[0].file} is cut short: it holds {held} of {frames} samples."
            )
    return frames or 0


def read_signals(
    header: Header, files: Contents, wanted: list[int], frames: int, limits: Limits
) -> list[Values]:
    """The wanted signals in their own units, ``frames * per_frame`` samples each.

    Where they differ in samples a frame, each is averaged to one sample a frame.

    Raises:
        PayloadTooLarge: More samples than `limits` allow.
        CorruptedData: A signal file that cannot be read.
    """
    limits.check_samples(frames * sum(signal.per_frame for signal in header.signals))
    if can_seek(header, wanted):
        return read_stretch(header, files, wanted, range(frames))
    same_rate = _are_of_one_rate(header, wanted)
    return _read_by_library(header, files, wanted, frames, expanded=same_rate)


def can_seek(header: Header, wanted: list[int]) -> bool:
    """Whether any stretch of the wanted signals can be read by itself."""
    plain = all(s.format in _FORMATS and s.skew == 0 for s in header.signals)
    return plain and _are_of_one_rate(header, wanted)


def _are_of_one_rate(header: Header, wanted: list[int]) -> bool:
    return len({header.signals[i].per_frame for i in wanted}) == 1


def _by_file(header: Header) -> dict[str, list[SignalLine]]:
    groups: dict[str, list[SignalLine]] = {}
    for signal in header.signals:
        groups.setdefault(signal.file, []).append(signal)
    return groups


def _content(name: str, files: Contents) -> Content:
    content = files.get(name)
    if content is None:
        raise CorruptedData(
            f"The WFDB record lacks its file {name}.",
            hint="Send the .hea with its .dat or .mat, in a zip or as a multipart body.",
        )
    return content


def _frames_held(signals: list[SignalLine], content: Content) -> int:
    per_frame = sum(signal.per_frame for signal in signals)
    format_, offset = signals[0].format, signals[0].offset
    if format_ in _FLAC:
        # STREAMINFO's count of samples: 36 bits in bytes 21 to 25.
        if content[:4] != b"fLaC" or len(content) < 42:
            raise CorruptedData(f"{signals[0].file} is no FLAC file, or is cut short.")
        total = int.from_bytes(content[21:26]) & 0xF_FFFF_FFFF
        return (total - offset) // signals[0].per_frame
    size = _FORMATS[format_][0] if format_ in _FORMATS else _BY_LIBRARY.get(format_)
    if size is None:
        raise InvalidFormat(f"WFDB has no signal format {format_}.")
    # A tolerance, for thirds of bytes.
    return int((len(content) - offset) / size + 1e-6) // per_frame


def read_stretch(header: Header, files: Contents, wanted: list[int], frames: range) -> list[Values]:
    """Some frames of the wanted signals in their own units, where `can_seek` allows it."""
    read: dict[int, Values] = {}
    for name, signals in _by_file(header).items():
        per_frame = [signal.per_frame for signal in signals]
        format_, offset = signals[0].format, signals[0].offset
        stretch = range(frames.start * sum(per_frame), frames.stop * sum(per_frame))
        stored = _unpack_stretch(format_, _content(name, files), offset, stretch)
        by_frame = stored.reshape(len(frames), sum(per_frame))
        starts = np.cumsum([0, *per_frame])
        indices = [i for i, signal in enumerate(header.signals) if signal.file == name]
        for k, index in enumerate(indices):
            if index in wanted:
                own = by_frame[:, starts[k] : starts[k + 1]].reshape(-1)
                values = (own.astype(np.float64) - signals[k].baseline) / signals[k].gain
                values[own == _FORMATS[format_][1]] = np.nan
                read[index] = values
    return [read[index] for index in wanted]


def _unpack_stretch(
    format_: str, content: Content, offset: int, stretch: range
) -> npt.NDArray[Any]:
    # Samples of 12 bits come in pairs: an odd one is reached by way of its neighbour.
    before = stretch.start % 2 if format_ == "212" else 0
    start = offset + int((stretch.start - before) * _FORMATS[format_][0])
    return _unpack(format_, content, start, before + len(stretch))[before:]


def _unpack(format_: str, content: Content, offset: int, count: int) -> npt.NDArray[Any]:
    if format_ in {"16", "61", "32"}:
        dtype = {"16": "<i2", "61": ">i2", "32": "<i4"}[format_]
        return np.frombuffer(content, dtype, count, offset)
    if format_ == "80":
        return np.frombuffer(content, np.uint8, count, offset).astype(np.int16) - 128
    if format_ == "160":
        return np.frombuffer(content, "<u2", count, offset).astype(np.int32) - 32768
    size = math.ceil(count * _FORMATS[format_][0])
    octets = np.frombuffer(content, np.uint8, size, offset)
    if format_ == "24":
        low, middle, high = octets.reshape(-1, 3).T.astype(np.int32)
        return ((low | middle << 8 | high << 16) ^ 0x800000) - 0x800000
    return _unpack_212(octets, count)


def _unpack_212(octets: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.int16]:
    """Two samples of 12 bits in three octets; the last sample of an odd count takes two."""
    triplets = np.zeros((math.ceil(octets.size / 3), 3), np.int16)
    triplets.reshape(-1)[: octets.size] = octets
    first, middle, second = triplets.T
    pairs = np.empty((len(triplets), 2), np.int16)
    pairs[:, 0] = first | (middle & 0x0F) << 8
    pairs[:, 1] = second | (middle & 0xF0) << 4
    return (pairs.reshape(-1)[:count] ^ 0x800) - 0x800


@cache
def _wfdb() -> Any:
    # Imported late: it brings pandas and matplotlib, for formats that are seldom met.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what pandas will drop
        import wfdb

    return wfdb


def _read_by_library(
    header: Header, files: Contents, wanted: list[int], frames: int, *, expanded: bool
) -> list[Values]:
    _check_skew(header, frames)
    wfdb = _wfdb()
    # A private folder (0700), removed whatever happens; all names in it are our own.
    with tempfile.TemporaryDirectory(prefix="ecg-") as folder:
        names = {file: f"s{i}.dat" for i, file in enumerate(_by_file(header))}
        try:
            for file, name in names.items():
                (Path(folder) / name).write_bytes(_content(file, files))
            (Path(folder) / "r.hea").write_text(_header_text(header, names, frames))
        except OSError:
            raise ResourceExhausted("No room to unpack the record.") from None
        try:
            record = wfdb.rdrecord(
                str(Path(folder) / "r"), channels=wanted, smooth_frames=not expanded
            )
        except MemoryError:
            raise
        except Exception:  # its texts hold the folder's path
            raise CorruptedData("A signal file of the WFDB record cannot be read.") from None
    signals = record.e_p_signal if expanded else list(record.p_signal.T)
    return [np.asarray(signal, np.float64) for signal in signals]


def _check_skew(header: Header, frames: int) -> None:
    # wfdb pads by the skew, so a hostile one would ask for any amount of memory.
    if any(signal.skew >= frames for signal in header.signals):
        raise InvalidFormat("A signal of the WFDB record is skewed by more than its length.")


def _header_text(header: Header, names: dict[str, str], frames: int) -> str:
    """The header as far as reading needs it: no comments, dates or names of the sender's."""
    lines = [f"r {len(header.signals)} 1 {frames}"]
    for i, s in enumerate(header.signals):
        storage = f"{s.format}x{s.per_frame}:{s.skew}+{s.offset}"
        scale = f"{s.gain!r}({s.baseline:.0f})/mV"
        lines.append(f"{names[s.file]} {storage} {scale} 16 0 {s.initial} 0 0 s{i}")
    return "\n".join(lines) + "\n"
