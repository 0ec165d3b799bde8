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
from .candidates import Voices, usual_height
from .curves import Curves, count, step_at
from .limits import MAX_SWING_MV, checked, require_plausible
from .rpeaks import Beats

# What is kept and looked at, s.
WINDOW_S = 10.0
# From one look to the next, s.
LOOK_EVERY_S = 0.04
# Signal after a beat before it can be told, and within which it must be told, s.
LEAST_AGE_S, MOST_AGE_S = 0.36, 0.5
# With less signal than this only sure beats are given, s, and what is sure, log-odds.
EARLY_S, EARLY_ODDS = 0.8, 2.5
# What is less sure waits for the last look that is in time, log-odds: in noise the next samples
# often refute it.
DOUBTFUL_ODDS = 1.0
# No two beats are nearer, s.
REFRACTORY_S = 0.2
# Blocks from which a lead's say in the vote is told, s, and the heights that are kept of them: of
# every block for half an hour, then of every other one, and so on.
BLOCK_S, MOST_BLOCKS = 2.0, 900
# At the live end of the curves they still change, s.
UNSETTLED_S = 0.25
# Blocks that are judged together: ten seconds; fewer wild ones may be an electrode being attached.
JUDGED_BLOCKS, LEAST_WILD = 5, 3
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
        self._swings = Swings(self._grid.fs_hz)

    def push(self, x: Signal) -> list[RawBeat]:
        """Take the next samples and give the beats that can be told now.

        Raises:
            InvalidSignalError: impossible samples, or most of the last ten seconds swing further
                than any heart's; nothing is taken then.
        """
        wide = checked(x)
        beats: list[RawBeat] = []
        taken, hop = 0, self._grid.hop
        with self._lock:
            self._swings.take(wide)
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
            told = self._last is not None and index <= self._last + grid.refractory
            if not told and grid.may_tell(index, odds, now, least_age):
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

    def may_tell(self, index: int, odds: float, now: int, least_age: int) -> bool:
        """Whether a beat is old enough to be told, not too old, and sure enough for its age."""
        in_time = index + least_age <= now <= index + self.most_age
        last_look = least_age == 0 or now + self.hop > index + self.most_age
        sure = odds >= DOUBTFUL_ODDS or last_look
        return in_time and sure and (now >= self.early or odds >= EARLY_ODDS)


class Past:
    """Height and mean of the slope energy of all blocks since the stream began.

    The longer the past, the nearer its voices are to those of the whole recording, and so are the
    peaks: those of the last ten seconds alone would move with every change of posture.
    """

    def __init__(self, leads: int) -> None:
        """Begin with nothing."""
        self._maxima: list[NDArray[np.float64]] = []
        self._sums = np.zeros(leads)
        self._every, self._learnt = 1, 0
        self._voices = Voices.weighed([0.0] * leads, [0.0] * leads)

    def learn(self, curves: Curves, start: int) -> None:
        """Take in the blocks that have settled since the last look."""
        block, first = count(BLOCK_S, curves.fs_hz), start // curves.step
        settled = first + curves.samples - count(UNSETTLED_S, curves.fs_hz)
        while (self._learnt + 1) * block <= settled:
            begin = self._learnt * block - first
            self._remember(curves.energy[:, begin : begin + block].astype(np.float64))

    def _remember(self, energy: NDArray[np.float64]) -> None:
        self._sums += energy.mean(axis=1)
        if self._learnt % self._every == 0:
            self._maxima.append(energy.max(axis=1))
        self._learnt += 1
        levels = [usual_height(maxima) for maxima in np.transpose(self._maxima)]
        self._voices = Voices.weighed(levels, (self._sums / self._learnt).tolist())
        if len(self._maxima) == MOST_BLOCKS:
            self._maxima, self._every = self._maxima[::2], 2 * self._every

    def voices(self) -> Voices:
        """Each lead's say in the vote."""
        return self._voices


class Swings:
    """How far the leads swing, block by block: whether the stream can be in millivolts."""

    def __init__(self, fs_hz: float) -> None:
        """Begin with nothing."""
        self._block = max(1, int(BLOCK_S * fs_hz + 0.5))
        # Of the present block.
        self._held: list[NDArray[np.float64]] = []
        self._filled = 0
        # Widest swing of each block in which every lead that moves swings too far, else zero.
        self._wild_mv: list[float] = []

    def take(self, x: NDArray[np.float64]) -> None:
        """Take in the next samples.

        Raises:
            InvalidSignalError: a wild block ends and most of those judged are wild; nothing is
                taken then, and a new block begins, so that a calm chunk is welcome at once.
        """
        starts = range(-self._filled, x.shape[1], self._block)
        parts = [x[:, max(0, start) : start + self._block] for start in starts]
        extremes = [np.stack([part.min(axis=1), part.max(axis=1)]) for part in parts]
        ended = (self._filled + x.shape[1]) // self._block
        blocks = [*self._held, *extremes[:1]], *([one] for one in extremes[1:])
        wild_mv = [_wild_swing_mv(block) for block in blocks[:ended]]
        judged = (self._wild_mv + wild_mv)[-max(ended, JUDGED_BLOCKS) :]
        wild = sum(swing > 0.0 for swing in judged)
        if any(wild_mv) and wild >= LEAST_WILD and 2 * wild > len(judged):
            self._held, self._filled = [], 0
            # One block that swings as far: refused in the words of whole recordings.
            require_plausible(np.array([[0.0, max(judged)]]), 1.0)
        self._wild_mv = judged[-JUDGED_BLOCKS:]
        self._filled = (self._filled + x.shape[1]) % self._block
        self._held = _joined(blocks[ended]) if ended < len(blocks) else []


def _joined(extremes: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Join extremes `(2, leads)` of parts of a block into one, so that memory is bounded."""
    both = np.array(extremes)
    return [np.stack([both[:, 0].min(axis=0), both[:, 1].max(axis=0)])]


def _wild_swing_mv(extremes: list[NDArray[np.float64]]) -> float:
    """The widest swing, or zero if a lead moves as a heart does, or none at all."""
    low, high = _joined(extremes)[0]
    swings = (high - low)[high > low]
    return float(swings.max()) if len(swings) and swings.min() > MAX_SWING_MV else 0.0
