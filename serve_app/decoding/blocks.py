"""Recordings that can be read a stretch at a time, so that day-long ones need little memory."""

from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap

import numpy as np
import numpy.typing as npt

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.units import Unit
from serve_app.decoding.upload import Limits

__all__ = ["Blocks", "Content", "WholeOnly", "blocks_of", "read_whole"]

# A file's bytes: in memory, or mapped where it lies.
Content = bytes | memoryview | mmap


class WholeOnly(Exception):
    """This file, though of a format that has an opener, can only be decoded as a whole."""


@dataclass(frozen=True)
class Blocks:
    """An opened file: what it holds is known, its samples are read when they are asked for.

    Attributes:
        read: ``read(start, stop)`` gives samples ``start`` to ``stop`` of every lead,
            ``(leads, stop - start)`` float32 in millivolts (as stored where `units` is empty);
            a missing sample is NaN.
        samples: Of each lead.
        fs_hz: Samples a second; None where the file does not say.
        leads: A name for each row; None where the file does not say.
        units: What the file says its samples are in.
        format: Name of the format.
    """

    read: Callable[[int, int], npt.NDArray[np.float32]]
    samples: int
    fs_hz: float | None
    leads: tuple[str, ...] | None
    units: frozenset[Unit]
    format: str


def read_whole(blocks: Blocks, rows: int, limits: Limits) -> Decoded:
    """All samples at once.

    Args:
        blocks: The opened file.
        rows: Its leads.
        limits: How much is taken.

    Raises:
        PayloadTooLarge: More samples than `limits` allow.
    """
    limits.check_samples(rows * blocks.samples)
    return Decoded(
        blocks.read(0, blocks.samples), blocks.fs_hz, blocks.leads, blocks.units, blocks.format
    )


def blocks_of(decoded: Decoded) -> Blocks:
    """What has been decoded whole, as something that is read a stretch at a time."""

    def read(start: int, stop: int) -> npt.NDArray[np.float32]:
        return decoded.signal[:, start:stop].astype(np.float32)

    samples = decoded.signal.shape[1]
    return Blocks(read, samples, decoded.fs_hz, decoded.leads, decoded.units, decoded.format)
