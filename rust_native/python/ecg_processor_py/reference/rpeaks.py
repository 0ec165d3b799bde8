"""R peaks: candidates, the best chain of them, and each moved to the extremum of its lead.

There is no learning phase, both ends of a strip are seen through mirror images, several leads vote,
and everything is linear in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernel import Signal
from .candidates import Candidates, Voices, height, r_peak
from .chain import best_chain
from .curves import Curves
from .limits import checked, require_duration

LEAST_S = 1.0


def detect_r_peaks(x: Signal, fs_hz: float) -> NDArray[np.int64]:
    """R peaks of `(leads, samples)` as ascending sample indices; leads are judged together."""
    require_duration(x.shape[1], fs_hz, LEAST_S)
    checked(x)
    curves = Curves.of(x, fs_hz)
    return Beats.find(x.shape[1], curves, Voices.of(curves)).peaks


@dataclass(frozen=True)
class Beats:
    """The beats of a recording.

    Attributes:
        peaks: R peaks, sample indices, ascending.
        places: Where they are in the curves.
        odds: Log-odds of each.
        doubt: Beats that may have been passed over: sum of the other candidates' probabilities.
    """

    peaks: NDArray[np.int64]
    places: NDArray[np.int64]
    odds: NDArray[np.float64]
    doubt: float

    @classmethod
    def find(cls, samples: int, curves: Curves, voices: Voices) -> Beats:
        """Find them in the curves, and their peaks among the recorded samples."""
        candidates = Candidates.of(curves, voices)
        at_s = candidates.at / curves.fs_hz
        chain = best_chain(at_s, candidates.odds, curves.duration_s)
        places = r_peak(curves, voices, candidates.at[chain])
        peaks = recorded_peaks(samples, curves, height(curves, voices), places)
        before = np.maximum.accumulate(np.append(-1, peaks))[:-1]
        new = peaks > before
        odds = candidates.odds[chain]
        doubt = _probability(candidates.odds).sum() - _probability(odds).sum()
        return cls(peaks[new], places[new], odds[new], float(doubt))

    @property
    def confidence(self) -> float:
        """Sum of the beats' probabilities over the number of beats there are or may be.

        Near one the detectors agree on every beat; noise gives many half-hearted candidates. Zero
        for none.
        """
        beats = len(self.odds) + max(self.doubt, 0.0)
        return float(_probability(self.odds).sum()) / beats if len(self.odds) else 0.0


def mean_probability(odds: NDArray[np.float64]) -> float:
    """Mean probability of log-odds; zero for none."""
    return float(_probability(odds).mean()) if len(odds) else 0.0


def _probability(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def recorded_peaks(
    samples: int, curves: Curves, heights: NDArray[np.float32], places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The recorded samples where parabolas through the extrema of the band have their vertex."""
    around = np.clip(places + np.array([[-1], [0], [1]]), 0, curves.samples - 1)
    before, top, after = heights[around].astype(np.float64)
    bend = before - 2.0 * top + after
    vertex = 0.5 * (before - after) / np.where(bend < 0.0, bend, np.inf)
    middle = (places + np.clip(vertex, -0.5, 0.5)) * curves.step
    recorded = np.maximum(middle + 0.5 * (curves.step - 1), 0.0)
    whole = np.floor(recorded)
    rounded = whole + (recorded - whole >= 0.5)
    return np.asarray(np.minimum(rounded, samples - 1).astype(np.int64))
