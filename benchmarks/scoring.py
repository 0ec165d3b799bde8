"""Detected beats against reference beats, as ANSI/AAMI EC57 and WFDB's `bxb` count them.

A pair is one reference beat and one detection within the tolerance, nearest first, each used once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.databases import AnnotatedRecord

TOLERANCE_S = 0.15
NARROW_S = 0.05


@dataclass(frozen=True)
class BeatScore:
    """Beats found, missed and invented, and how many samples off the found ones are."""

    found: int
    missed: int
    invented: int
    errors: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def sensitivity(self) -> float:
        """Percent of the reference beats that were found."""
        return _percent(self.found, self.found + self.missed)

    @property
    def ppv(self) -> float:
        """Percent of the detections that are beats."""
        return _percent(self.found, self.found + self.invented)

    @property
    def f1(self) -> float:
        """Harmonic mean of both, percent."""
        return _percent(2 * self.found, 2 * self.found + self.missed + self.invented)

    @property
    def median_error(self) -> float:
        """Median distance of the found beats from their reference, samples; NaN without any."""
        return float(np.median(np.abs(self.errors))) if self.errors.size else float("nan")

    @property
    def wrong(self) -> int:
        return self.missed + self.invented


def match_beats(
    reference: np.ndarray, detected: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pair beats one to one, the closest pair first.

    Args:
        reference: sample indices, ascending.
        detected: sample indices, ascending.
        tolerance: largest distance of a pair, in samples.

    Returns:
        Positions in `reference` and in `detected` of the pairs, both ascending.
    """
    pairs = sorted(_candidates(reference, detected, tolerance))
    taken: dict[int, int] = {}
    used: set[int] = set()
    for _, i, j in pairs:
        if i not in taken and j not in used:
            taken[i] = j
            used.add(j)
    rows = sorted(taken)
    return np.array(rows, np.int64), np.array([taken[i] for i in rows], np.int64)


def score_beats(
    record: AnnotatedRecord,
    detected: np.ndarray,
    tolerance_s: float = TOLERANCE_S,
    skip_s: float = 0.0,
) -> BeatScore:
    """Count one record's beats where they were annotated, outside ventricular fibrillation.

    Args:
        record: with its reference beats.
        detected: sample indices of a detector.
        tolerance_s: largest distance of a pair.
        skip_s: learning time at the start that does not count; `bxb` skips 300 s.
    """
    reference, detected = record.r_peaks, np.unique(np.asarray(detected, np.int64))
    rows, columns = match_beats(reference, detected, tolerance_s * record.fs_hz)
    counted = is_scored(record, reference, skip_s)
    paired = np.isin(np.arange(len(reference)), rows)
    unpaired = np.delete(detected, columns)
    kept = counted[rows]
    return BeatScore(
        found=int(kept.sum()),
        missed=int((counted & ~paired).sum()),
        invented=int(is_scored(record, unpaired, skip_s).sum()),
        errors=(detected[columns] - reference[rows])[kept],
    )


def is_scored(record: AnnotatedRecord, samples: np.ndarray, skip_s: float) -> np.ndarray:
    """Tell which sample indices count."""
    first, last = record.scored
    inside = (samples >= max(first, skip_s * record.fs_hz)) & (samples <= last)
    for start, end in record.excluded:
        inside &= (samples < start) | (samples > end)
    return inside


def total(scores: Iterable[BeatScore]) -> BeatScore:
    """Add up records: the gross statistics of EC57."""
    scores = list(scores)
    return BeatScore(
        sum(s.found for s in scores),
        sum(s.missed for s in scores),
        sum(s.invented for s in scores),
        np.concatenate([s.errors for s in scores]) if scores else np.empty(0),
    )


def _candidates(
    reference: np.ndarray, detected: np.ndarray, tolerance: float
) -> Iterable[tuple[float, int, int]]:
    firsts = np.searchsorted(detected, reference - tolerance, side="left")
    lasts = np.searchsorted(detected, reference + tolerance, side="right")
    for i, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        for j in range(first, last):
            yield abs(float(detected[j] - reference[i])), i, j


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else float("nan")
