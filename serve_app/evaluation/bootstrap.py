"""Percentile intervals by resampling patients: all replicates of a label at once.

A replicate is a weight for each recording: how often its patient was drawn. A patient is drawn with
all of the recordings, since those are alike (Efron and Tibshirani, 1993, chapter 8). The figures
with weights are those of ``metrics`` without; sorting is done once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .metrics import METRICS, Outcome, calibration_bins

__all__ = ["Interval", "intervals", "replicates"]

Floats = npt.NDArray[np.float64]
# Weights in memory at a time.
_CHUNK_VALUES = 200_000
# Where a figure is defined in fewer of the replicates, its interval would be of the lucky ones.
_LEAST_DEFINED = 0.95


@dataclass(frozen=True)
class Interval:
    """95 % of the replicates lie in it."""

    low: float
    high: float


def replicates(outcomes: Sequence[Outcome], patients: int, rounds: int, seed: int) -> Floats:
    """Every metric of every label in every replicate.

    Args:
        outcomes: Of the labels; each has its own recordings, the patients are numbered alike.
        patients: How many there are.
        rounds: Replicates.
        seed: Of the draws; all labels share them.

    Returns:
        (rounds, labels, metrics), NaN where one is not defined.
    """
    generator = np.random.default_rng(seed)
    weigh = [_Weighted(outcome) for outcome in outcomes]
    largest = max([patients, *(len(outcome.truth) for outcome in outcomes)])
    chunk = max(1, _CHUNK_VALUES // largest)
    found = np.full((rounds, len(outcomes), len(METRICS)), np.nan)
    for first in range(0, rounds, chunk):
        last = min(first + chunk, rounds)
        drawn = _draws(generator, patients, last - first)
        for k, weighted in enumerate(weigh):
            if len(outcomes[k].truth):
                found[first:last, k] = weighted.figures(drawn)
    return found


def intervals(samples: Floats) -> list[Interval | None]:
    """The interval of each column of (rounds, columns); None where too few are defined."""
    told: list[Interval | None] = []
    for column in samples.T:
        defined = column[np.isfinite(column)]
        if not len(defined) or len(defined) < _LEAST_DEFINED * len(column):
            told.append(None)
            continue
        low, high = np.percentile(defined, [2.5, 97.5]).tolist()
        told.append(Interval(low, high))
    return told


def _draws(generator: np.random.Generator, patients: int, rounds: int) -> Floats:
    """(rounds, patients): how often each was drawn."""
    drawn = generator.integers(0, patients, (rounds, patients))
    drawn += np.arange(rounds)[:, None] * patients
    counts = np.bincount(drawn.ravel(), minlength=rounds * patients)
    return counts.reshape(rounds, patients).astype(np.float64)


class _Weighted:
    """One label's figures with weights, prepared for many of these."""

    def __init__(self, outcome: Outcome) -> None:
        order = np.argsort(-outcome.scores, kind="stable")
        falling = -outcome.scores[order]
        truth = outcome.truth[order]
        self._patients = outcome.patients[order]
        self._positives = np.flatnonzero(truth)
        # Recordings of equal score stand or fall together: for each positive, how many recordings,
        # and how many positives, lie above it, and how many once its equals are counted too.
        own = falling[self._positives]
        self._above = np.searchsorted(falling, own, "left")
        self._with = np.searchsorted(falling, own, "right")
        self._positives_above = np.searchsorted(own, own, "left")
        self._positives_with = np.searchsorted(own, own, "right")
        said = outcome.scores[order] >= outcome.threshold
        distances = outcome.calibrated[order] - truth
        bins = calibration_bins(outcome.calibrated[order]) if len(order) else np.zeros(0, np.int64)
        binned = np.eye(bins.max(initial=0) + 1)[bins] * distances[:, None]
        sums = [np.ones(len(order)), truth, said, said & truth, distances**2]
        self._sums = np.column_stack([*sums, binned])

    def figures(self, drawn: Floats) -> Floats:
        """(rounds, metrics), in the order of METRICS."""
        weights = drawn[:, self._patients]
        whole, positive, said, tp, squares, *binned = (weights @ self._sums).T
        negative = whole - positive
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = [
                *self._ranked(weights, positive, negative),
                2 * tp / (said + positive),
                tp / positive,
                (negative - (said - tp)) / negative,
                tp / said,
                squares / whole,
                np.abs(binned).sum(axis=0) / whole,
            ]
        return np.column_stack(columns)

    def _ranked(self, weights: Floats, positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
        """AUROC with ties counted half, and average precision."""
        of_positives = weights[:, self._positives]
        everything, hits = _running(weights), _running(of_positives)
        taken, hits_taken = everything[:, self._with], hits[:, self._positives_with]
        misses_above = everything[:, self._above] - hits[:, self._positives_above]
        outranked = negative[:, None] - (misses_above + taken - hits_taken) / 2
        # Nothing was drawn yet: no hit either, so any precision will do.
        precision = hits_taken / np.where(taken > 0, taken, 1.0)
        return (
            (of_positives * outranked).sum(axis=1) / (positive * negative),
            (of_positives * precision).sum(axis=1) / positive,
        )


def _running(weights: Floats) -> Floats:
    """(rounds, n + 1): the sum of the first 0, 1, ... n."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums
