"""How well scores tell labels apart: AUROC, with bootstrap confidence intervals over patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.model.labels import LABELS, Label, join_segments

__all__ = ["Figure", "auroc", "best_threshold", "figures_of", "joined_scores"]

Floats = npt.NDArray[np.floating]

_ROUNDS: Final = 2000
# Below this a resampled interval says nothing.
_LEAST_POSITIVES: Final = 3


@dataclass(frozen=True)
class Figure:
    """One label's figure.

    Attributes:
        label: Its name.
        positives: Recordings that have it.
        negatives: Recordings that do not; where it is unknown they count as neither.
        hits: Positives at or above the label's threshold.
        false_alarms: Negatives at or above it.
        auroc: None without positives or without negatives.
        interval: 95 %, percentiles of resampled patients; None below 3 positives or negatives.
    """

    label: str
    positives: int
    negatives: int
    hits: int
    false_alarms: int
    auroc: float | None
    interval: tuple[float, float] | None


def auroc(positive: npt.NDArray[np.bool_], scores: Floats) -> float:
    """Area under the ROC curve: how often a positive scores above a negative; ties count half.

    Raises:
        ValueError: without positives or without negatives.
    """
    count = int(positive.sum())
    if not 0 < count < len(positive):
        raise ValueError("an AUROC needs positives and negatives")
    values, inverse, times = np.unique(scores, return_inverse=True, return_counts=True)
    del values
    last = np.cumsum(times)
    ranks = (last - (times - 1) / 2)[inverse]
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))


def joined_scores(logits: Floats, labels: Sequence[Label] = LABELS) -> npt.NDArray[np.float64]:
    """Scores of recordings as they are served: ``(n, segments, labels)`` to ``(n, labels)``."""
    probabilities = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    return np.stack([join_segments(each, labels) for each in probabilities])


def figures_of(
    truth: Floats,
    scores: Floats,
    patients: Sequence[str],
    labels: Sequence[Label] = LABELS,
    seed: int = 0,
) -> list[Figure]:
    """A figure for each label.

    Args:
        truth: ``(recordings, labels)``: 1, 0, or NaN for unknown.
        scores: ``(recordings, labels)``.
        patients: Of each recording: those of one are drawn together.
        labels: Of the columns, with their thresholds.
        seed: Of the resampling.
    """
    return [
        _figure(label, truth[:, i], scores[:, i], np.asarray(patients), seed)
        for i, label in enumerate(labels)
    ]


def best_threshold(positive: npt.NDArray[np.bool_], scores: Floats) -> float:
    """The score at which F1 is highest, between 0.1 and 0.95; two decimals."""
    candidates = np.arange(0.10, 0.951, 0.01)
    found = scores[:, None] >= candidates
    hits = (found & positive[:, None]).sum(0)
    f1 = 2 * hits / np.maximum(found.sum(0) + positive.sum(), 1)
    # The middle of the best: the edge of a plateau is where chance put one recording.
    return round(float(np.median(candidates[f1 >= f1.max() - 1e-9])), 2)


def _figure(
    label: Label, truth: Floats, scores: Floats, patients: npt.NDArray[np.str_], seed: int
) -> Figure:
    known = ~np.isnan(truth)
    positive, scores, patients = truth[known] == 1, scores[known], patients[known]
    called = scores >= label.threshold
    positives, negatives = int(positive.sum()), int((~positive).sum())
    interval = None
    if min(positives, negatives) >= _LEAST_POSITIVES:
        interval = _interval(positive, scores, patients, seed)
    return Figure(
        label=label.name,
        positives=positives,
        negatives=negatives,
        hits=int((called & positive).sum()),
        false_alarms=int((called & ~positive).sum()),
        auroc=auroc(positive, scores) if positives and negatives else None,
        interval=interval,
    )


def _interval(
    positive: npt.NDArray[np.bool_], scores: Floats, patients: npt.NDArray[np.str_], seed: int
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    names, group = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(group == i) for i in range(len(names))]
    found: list[float] = []
    while len(found) < _ROUNDS:
        drawn = np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))])
        if 0 < positive[drawn].sum() < len(drawn):
            found.append(auroc(positive[drawn], scores[drawn]))
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)
