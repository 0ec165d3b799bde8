"""Samples stored in records: a stretch of each channel, one behind the other, again and again.

EDF calls them data records, MFER sequences; ISHNE's hold a sample of each lead. Only the bytes that
are asked for are touched, so a file can be mapped instead of read.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.blocks import Blocks, Content
from serve_app.decoding.units import Unit, to_mv
from serve_app.errors import InvalidFormat

__all__ = ["INT24", "Channel", "Run", "check_pieces", "open_runs"]

INT24: Final = "int24"  # little-endian, which NumPy has no type for
_AT_ONCE: Final = 1 << 18  # samples of a channel that are floats of eight bytes on the way
_MAX_PIECES: Final = 200_000  # of all channels: two seconds to read


@dataclass(frozen=True)
class Channel:
    """A lead's place in each record, and ``value = (stored + zero) * gain + offset``.

    Attributes:
        lead: Its name.
        unit: Of the value; None where the file does not say.
        start: Byte in the record where its samples start.
        samples: In a record, the same for all channels of a run.
        dtype: Of a stored sample, as NumPy writes it, or INT24.
        gain: Units of `unit` a step.
        offset: In units of `unit`.
        zero: In steps.
        missing: The stored value that stands for a missing sample.
    """

    lead: str
    unit: Unit | None
    start: int
    samples: int
    dtype: str
    gain: float
    offset: float = 0.0
    zero: float = 0.0
    missing: float | None = None


@dataclass(frozen=True)
class Run:
    """Records without a gap between them.

    Attributes:
        position: Where its first sample belongs in the recording.
        first_byte: Where its first record starts in the file.
        records: How many they are.
        record_bytes: Length of each.
        channels: What is read of them.
    """

    position: int
    first_byte: int
    records: int
    record_bytes: int
    channels: tuple[Channel, ...]

    @property
    def end(self) -> int:
        """The sample after its last."""
        return self.position + self.records * self.channels[0].samples


def check_pieces(count: int) -> None:
    """Refuse runs, times channels, that would take long to put together.

    Raises:
        InvalidFormat: Far more than a recording has.
    """
    if count > _MAX_PIECES:
        raise InvalidFormat("The recording is in far more pieces than one has.")


def open_runs(
    content: Content, runs: Sequence[Run], fs_hz: float | None, format_name: str
) -> Blocks:
    """Runs in the order of time, with the same leads, as one recording; gaps are NaN.

    The caller has checked that `content` holds them.

    Raises:
        InvalidFormat: Far more runs than a recording has.
    """
    channels = runs[0].channels
    check_pieces(len(runs) * len(channels))
    return Blocks(
        read=partial(_read, content, runs, [run.position for run in runs]),
        samples=runs[-1].end,
        fs_hz=fs_hz,
        leads=tuple(channel.lead for channel in channels),
        units=frozenset(channel.unit for channel in channels if channel.unit is not None),
        format=format_name,
    )


def _read(
    content: Content, runs: Sequence[Run], positions: list[int], start: int, stop: int
) -> npt.NDArray[np.float32]:
    """``(leads, stop - start)`` in millivolts."""
    signal = np.full((len(runs[0].channels), stop - start), np.nan, np.float32)
    reached = max(bisect_right(positions, start) - 1, 0)
    for run in (runs[i] for i in range(reached, bisect_left(positions, stop))):
        first, last = max(start, run.position), min(stop, run.end)
        for begin in range(first, last, _AT_ONCE):
            end = min(begin + _AT_ONCE, last)
            for row, channel in enumerate(run.channels):
                stored = _stored(content, run, channel, begin - run.position, end - run.position)
                signal[row, begin - start : end - start] = _millivolts(stored, channel)
    return signal


def _stored(
    content: Content, run: Run, channel: Channel, start: int, stop: int
) -> npt.NDArray[Any]:
    """Samples `start` to `stop` of the run, as they are stored."""
    first = start // channel.samples
    records = -(-stop // channel.samples) - first
    skipped, samples = start - first * channel.samples, channel.samples
    place = run.first_byte + first * run.record_bytes + channel.start
    itemsize = 3 if channel.dtype == INT24 else np.dtype(channel.dtype).itemsize
    if records == 1:
        # Of a long record no more than what is asked for.
        place, samples, skipped = place + skipped * itemsize, stop - start, 0
    shape, strides = (records, samples), (run.record_bytes, itemsize)
    if channel.dtype == INT24:
        octets = np.ndarray((*shape, 3), np.uint8, content, place, (*strides, 1))
        stored: npt.NDArray[Any] = _int24(octets)
    else:
        stored = np.ndarray(shape, channel.dtype, content, place, strides)
    return stored.reshape(-1)[skipped : skipped + stop - start]


def _int24(octets: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    low, middle, high = (octets[..., i].astype(np.int32) for i in range(3))
    return ((low | middle << 8 | high << 16) ^ 0x800000) - 0x800000


def _millivolts(stored: npt.NDArray[Any], channel: Channel) -> npt.NDArray[np.floating]:
    values = stored.astype(np.float64)
    if channel.zero:
        values += channel.zero
    values *= channel.gain
    if channel.offset:
        values += channel.offset
    if channel.missing is not None:
        values[stored == channel.missing] = np.nan
    return values if channel.unit is None else to_mv(values, channel.unit)
