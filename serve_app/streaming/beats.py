"""Beats of a signal that arrives in pieces and has gaps."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

import ecg_processor_py as core
import numpy as np
import numpy.typing as npt

__all__ = ["BeatTracker"]

Signal = npt.NDArray[np.float32]
# No more than one QRS: the longest gap that is bridged, as in `ecg_processor_py.fill_gaps`.
_BRIDGED_S: Final = 0.2


class BeatTracker:
    """The beats of `ecg_processor_py.StreamingAnalyzer`, over gaps.

    Where every lead misses its samples for more than 0.2 s, or a piece is refused as no heart's
    signal, the stretch ends there and the next one begins anew: no interval spans a gap. Shorter
    gaps, and those of a lead beside others that go on, are bridged by a straight line, at the end
    of a piece by the last sample.

    Args:
        fs_hz: Samples a second, 100 to 2000.
        leads: Rows of each piece.
    """

    def __init__(self, fs_hz: float, leads: int) -> None:
        self._fs_hz = fs_hz
        self._analyzer = core.StreamingAnalyzer(fs_hz, leads)
        self._last_mv = np.zeros(leads, np.float32)
        self._missing = 0
        self._start: int | None = None
        self._ended: list[tuple[int, int]] = []
        self.position = 0

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Where beats could be seen so far: ascending spans of samples from the start."""
        open_ = [] if self._start is None else [(self._start, self.position)]
        return [*self._ended, *open_]

    def push(self, signal_mv: Signal) -> list[core.Beat]:
        """Take the next samples ``(leads, samples)``, NaN where missing; what is told by them.

        Indices and times count from the first sample of all.
        """
        beats: list[core.Beat] = []
        for start, stop, seen in _runs(np.any(np.isfinite(signal_mv), axis=0)):
            self._missing = 0 if seen else self._missing + stop - start
            if self._missing > _BRIDGED_S * self._fs_hz:
                beats += self.end_stretch()
            elif seen or self._start is not None:
                beats += self._take(signal_mv[:, start:stop])
            self.position += stop - start
        return beats

    def end_stretch(self) -> list[core.Beat]:
        """End what has come so far: the beats of its last half second."""
        if self._start is None:
            return []
        beats = self._placed(self._analyzer.flush())
        self._ended.append((self._start, self.position))
        self._start = None
        return beats

    def _take(self, piece_mv: Signal) -> list[core.Beat]:
        bridged = _bridged(piece_mv, self._last_mv)
        try:
            beats = self._analyzer.push(bridged)
        except core.InvalidSignalError:  # beyond what any heart does: nothing of it was taken
            return self.end_stretch()
        self._last_mv = bridged[:, -1]
        if self._start is None:
            self._start = self.position
        return self._placed(beats)

    def _placed(self, beats: list[core.Beat]) -> list[core.Beat]:
        start = self._start or 0
        return [
            replace(beat, index=beat.index + start, time_s=(beat.index + start) / self._fs_hz)
            for beat in beats
        ]


def _runs(seen: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int, bool]]:
    """Maximal runs of equal marks: start, stop, mark."""
    if not len(seen):
        return
    edges = [0, *(np.flatnonzero(seen[1:] != seen[:-1]) + 1).tolist(), len(seen)]
    for start, stop in pairwise(edges):
        yield start, stop, bool(seen[start])


def _bridged(piece_mv: Signal, last_mv: Signal) -> Signal:
    """The piece without missing samples."""
    finite = np.isfinite(piece_mv)
    if finite.all():
        return np.ascontiguousarray(piece_mv)
    bridged = np.array(piece_mv)
    places = np.arange(piece_mv.shape[1])
    for row, known, last in zip(bridged, finite, last_mv, strict=True):
        row[~known] = np.interp(places[~known], places[known], row[known]) if known.any() else last
    return bridged
