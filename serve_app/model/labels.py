"""The labels of ECG-FM: how segments are joined, and what a score means.

The model was trained with binary cross-entropy and a weight on the positives, so its sigmoid is a
score and not a probability: for ventricular tachycardia 0.5 stands for about 0.0009. ``calibrated``
undoes that weight. The training labels were read from machine reports by a text labeler.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

__all__ = [
    "CALIBRATION_METHOD",
    "LABELS",
    "Join",
    "Label",
    "calibrated",
    "calibrated_logits",
    "join_segments",
]

Join = Literal["mean", "max"]
Floats = npt.NDArray[np.floating]

CALIBRATION_METHOD = "prior_correction"


@dataclass(frozen=True, slots=True)
class Label:
    """One output of the model.

    Args:
        name: As published.
        join: How a recording's segments become one score: ``max`` for what may last a few beats.
        pos_weight: Weight of the positives in training; about negatives / positives.
        threshold: Score at which it counts as positive. None is published: 0.5 until calibrated.
        noisy: The training label itself is implausible.

    Raises:
        ValueError: for an unknown join, a weight that is not positive, a threshold outside 0..1.
    """

    name: str
    join: Join = "mean"
    pos_weight: float = 1.0
    threshold: float = 0.5
    noisy: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a label needs a name")
        if self.join not in get_args(Join):
            raise ValueError(f"join of {self.name!r} must be mean or max, not {self.join!r}")
        if not 0 < self.pos_weight < float("inf"):
            raise ValueError(f"pos_weight of {self.name!r} must be positive: {self.pos_weight}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold of {self.name!r} must lie in 0..1: {self.threshold}")


# In the order of the fine-tuned model's outputs.
LABELS: tuple[Label, ...] = (
    Label("Poor data quality", "max", 36.796317),
    Label("Sinus rhythm", "mean", 0.231449),
    Label("Premature ventricular contraction", "max", 14.49034),
    Label("Tachycardia", "mean", 3.780268),
    Label("Ventricular tachycardia", "max", 1104.575439),
    Label("Supraventricular tachycardia with aberrancy", "max", 23.01044),
    Label("Atrial fibrillation", "mean", 8.897255),
    Label("Atrial flutter", "mean", 54.976018),
    Label("Bradycardia", "mean", 6.66556),
    # 12 % of the training set are labelled so: far above what any population shows.
    Label("Accessory pathway conduction", "mean", 7.404951, noisy=True),
    Label("Atrioventricular block", "mean", 11.790818),
    Label("1st degree atrioventricular block", "mean", 12.727873),
    Label("Bifascicular block", "mean", 32.175994),
    Label("Right bundle branch block", "mean", 11.188187),
    Label("Left bundle branch block", "mean", 26.172215),
    Label("Infarction", "mean", 3.464408),
    Label("Electronic pacemaker", "max", 24.640965),
)


def join_segments(probabilities: Floats, labels: Sequence[Label] = LABELS) -> Floats:
    """A recording's scores from those of its segments.

    Args:
        probabilities: (segments, labels), at least one segment.
        labels: Say for each column whether the mean or the maximum is taken.

    Returns:
        (labels,), of the same dtype.

    Raises:
        ValueError: for any other shape.
    """
    if probabilities.ndim != 2 or 0 in probabilities.shape or probabilities.shape[1] != len(labels):
        raise ValueError(f"expected (segments, {len(labels)}), got {probabilities.shape}")
    takes_max = np.array([label.join == "max" for label in labels])
    joined = np.where(takes_max, probabilities.max(axis=0), probabilities.mean(axis=0))
    return np.asarray(joined, dtype=probabilities.dtype)


def calibrated(probabilities: Floats, labels: Sequence[Label] = LABELS) -> npt.NDArray[np.float64]:
    """Prior-corrected probabilities: sigmoid(logit(p) - ln(pos_weight)).

    Written as p / (p + w (1 - p)), which is the same and defined at 0 and 1 as well.

    Args:
        probabilities: (..., labels), the model's sigmoid, 0..1.
        labels: Give the weight of each column.

    Returns:
        (..., labels) float64.

    Raises:
        ValueError: if the last axis is not as long as ``labels``.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    weights = _pos_weights(p.shape, labels)
    return np.asarray(p / (p + weights * (1.0 - p)))


def calibrated_logits(logits: Floats, labels: Sequence[Label] = LABELS) -> npt.NDArray[np.float64]:
    """Prior-corrected logits: logit - ln(pos_weight).

    Args:
        logits: (..., labels).
        labels: Give the weight of each column.

    Returns:
        (..., labels) float64.

    Raises:
        ValueError: if the last axis is not as long as ``labels``.
    """
    values = np.asarray(logits, dtype=np.float64)
    return np.asarray(values - np.log(_pos_weights(values.shape, labels)))


def _pos_weights(shape: tuple[int, ...], labels: Sequence[Label]) -> npt.NDArray[np.float64]:
    if not shape or shape[-1] != len(labels):
        raise ValueError(f"expected (..., {len(labels)}), got {shape}")
    return np.array([label.pos_weight for label in labels], dtype=np.float64)
