"""R peaks of a signal that is still arriving: the twin of the Rust core's `stream`.

The last ten seconds are kept. At fixed sample positions, so that it does not matter how the stream
is cut, the detector of whole recordings looks at them, and beats that are old enough to be told,
and not yet too old to be told in time, are given. Memory and time a sample are bounded.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ..kernel import RawBeat, Signal
from .candidates import Voices
from .curves import Curves, count, step_at
from .limits import checked
from .rpeaks import Beats

# What is kept and looked at, s.
WINDOW_S = 10.0
# From one look to the next, s.
LOOK_EVERY_S = 0.04
# Signal after a beat before it can be told, and within which it must be told, s.
LEAST_AGE_S, MOST_AGE_S = 0.36, 0.5
# With less signal than this only sure beats are given, s, and what is sure, log-odds.
EARLY_S, EARLY_ODDS = 0.8, 2.5
# No two beats are nearer, s.
REFRACTORY_S = 0.2
# Blocks from which a lead's say in the vote is told, s, and how many: half an hour.
BLOCK_S, BLOCKS = 2.0, 900
# At the live end of the curves they still change, s.
UNSETTLED_S = 0.25
# Intervals from which the rate is told.
RECENT = 8
# Part of the usual interval below which a beat is premature.
PREMATURE = 0.8


def open_stream(fs_hz: float, leads: int) -> BeatStream:
    """Begin a stream of so many leads."""
    return BeatStream(fs_hz, leads)


class BeatStream:
    """Finds beats in a signal that arrives in chunks; threads wait for each other."""

    def __init__(self, fs_hz: float, leads: int) -> None:
        """Begin at the first sample."""
        self._grid, self._leads = Grid.at(fs_hz), leads
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        # Room for what is kept, and for what has come since the last look.
        self._data = np.zeros((self._leads, self._grid.window), dtype=np.float32)
        self._held, self._start = 0, 0
        self._last: int | None = None
        self._intervals_ms: deque[float] = deque(maxlen=RECENT)
        self._past = Past(self._leads)

    def push(self, x: Signal) -> list[RawBeat]:
        """Take the next samples and give the beats that can be told now."""
        checked(x)
        beats: list[RawBeat] = []
        taken, hop = 0, self._grid.hop
        with self._lock:
            while taken < x.shape[1]:
                size = min(hop - self._held % hop, x.shape[1] - taken)
                self._data[:, self._held : self._held + size] = x[:, taken : taken + size]
                taken, self._held = taken + size, self._held + size
                if self._held % hop == 0:
                    beats += self._look(self._grid.least_age)
                    self._forget()
        return beats

    def flush(self) -> list[RawBeat]:
        """Give the beats that were still too young, and begin anew."""
        with self._lock:
            beats = self._look(0)
            self._begin()
        return beats

    def _look(self, least_age: int) -> list[RawBeat]:
        """Let the detector look at what is kept; give what is old enough and not too old."""
        now, grid = self._start + self._held, self._grid
        if now < grid.least_age:
            return []
        beats, found = [], self._found()
        for peak, odds in zip(found.peaks.tolist(), found.odds.tolist(), strict=True):
            index = self._start + peak
            in_time = index + least_age <= now <= index + grid.most_age
            sure = now >= grid.early or odds >= EARLY_ODDS
            if in_time and sure and (self._last is None or self._last + grid.refractory < index):
                beats.append(self._told(index, odds))
        return beats

    def _found(self) -> Beats:
        """The beats of what is kept."""
        curves = Curves.of(self._data[:, : self._held], self._grid.fs_hz)
        voices = Voices.of(curves)
        if self._leads > 1:
            # From the past, once there is more of it than is kept.
            self._past.learn(curves, self._start)
            voices = self._past.voices() if self._start else voices
        return Beats.find(self._held, curves, voices)

    def _told(self, index: int, odds: float) -> RawBeat:
        fs_hz, usual_ms, rr_ms = self._grid.fs_hz, self._usual_ms(), math.nan
        if self._last is not None:
            rr_ms = (index - self._last) / fs_hz * 1000.0
            self._intervals_ms.append(rr_ms)
        self._last = index
        confidence = 1.0 / (1.0 + math.exp(-odds))
        rate = 60_000.0 / self._usual_ms()
        return index, index / fs_hz, rr_ms, rate, confidence, rr_ms <= PREMATURE * usual_ms

    def _usual_ms(self) -> float:
        return float(np.median(self._intervals_ms)) if self._intervals_ms else math.nan

    def _forget(self) -> None:
        """Drop what the next look does not see."""
        old = max(0, self._held + self._grid.hop - self._grid.window)
        if old:
            self._data[:, : self._held - old] = self._data[:, old : self._held].copy()
            self._held, self._start = self._held - old, self._start + old


@dataclass(frozen=True)
class Grid:
    """Durations in recorded samples."""

    fs_hz: float
    hop: int
    window: int
    least_age: int
    most_age: int
    refractory: int
    early: int

    @classmethod
    def at(cls, fs_hz: float) -> Grid:
        """The durations at a rate."""
        step = step_at(fs_hz)
        hop = step * count(LOOK_EVERY_S, fs_hz / step)
        window = hop * count(WINDOW_S, fs_hz / hop)
        seconds = (LEAST_AGE_S, MOST_AGE_S, REFRACTORY_S, EARLY_S)
        return cls(fs_hz, hop, window, *(int(length * fs_hz) for length in seconds))


class Past:
    """Height and mean of the slope energy, by block, of the last half hour."""

    def __init__(self, leads: int) -> None:
        """Begin with nothing."""
        self._maxima: deque[NDArray[np.float64]] = deque(maxlen=BLOCKS)
        self._means: deque[NDArray[np.float64]] = deque(maxlen=BLOCKS)
        self._learnt, self._voices = 0, Voices.weighed([0.0] * leads, [0.0] * leads)

    def learn(self, curves: Curves, start: int) -> None:
        """Take in the blocks that have settled since the last look."""
        block, first = count(BLOCK_S, curves.fs_hz), start // curves.step
        settled = first + curves.samples - count(UNSETTLED_S, curves.fs_hz)
        while (self._learnt + 1) * block <= settled:
            begin = self._learnt * block - first
            energy = curves.energy[:, begin : begin + block].astype(np.float64)
            self._maxima.append(energy.max(axis=1))
            self._means.append(energy.mean(axis=1))
            self._learnt += 1
            levels, averages = np.median(self._maxima, axis=0), np.mean(self._means, axis=0)
            self._voices = Voices.weighed(levels.tolist(), averages.tolist())

    def voices(self) -> Voices:
        """Each lead's say in the vote."""
        return self._voices
