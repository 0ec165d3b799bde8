"""The labels of ECG-FM: how segments are joined, and what a score means.

The model was trained with binary cross-entropy and a weight on the positives, so its sigmoid is a
score and not a probability: for ventricular tachycardia 0.5 stands for about 0.0009. ``calibrated``
undoes that weight, or applies what was fitted on labelled recordings (``ecg-serve evaluate``). The
training labels were read from machine reports by a text labeler.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

__all__ = [
    "LABELS",
    "CalibrationMethod",
    "Join",
    "Label",
    "calibrated",
    "calibrated_logits",
    "join_segments",
]

Join = Literal["mean", "max"]
Floats = npt.NDArray[np.floating]

# A sigmoid of a logit's straight line, either way: with the slope 1 and the intercept
# -ln(pos_weight), or with both fitted (Platt, 1999).
CalibrationMethod = Literal["prior_correction", "platt"]


@dataclass(frozen=True, slots=True)
class Label:
    """One output of the model.

    Args:
        name: As published.
        join: How a recording's segments become one score: ``max`` for what may last a few beats.
        pos_weight: Weight of the positives in training; about negatives / positives.
        threshold: Score at which it counts as positive. None is published: 0.5 until calibrated.
        noisy: The training label itself is implausible.
        slope: Of the calibration, on the logit of the joined score.
        intercept: Of the calibration; None: -ln(pos_weight), the prior correction.

    Raises:
        ValueError: for an unknown join, a weight or slope that is not positive, a threshold outside
            0..1, an intercept that is not finite.
    """

    name: str
    join: Join = "mean"
    pos_weight: float = 1.0
    threshold: float = 0.5
    noisy: bool = False
    slope: float = 1.0
    intercept: float | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a label needs a name")
        if self.join not in get_args(Join):
            raise ValueError(f"join of {self.name!r} must be mean or max, not {self.join!r}")
        if not 0 < self.pos_weight < float("inf"):
            raise ValueError(f"pos_weight of {self.name!r} must be positive: {self.pos_weight}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold of {self.name!r} must lie in 0..1: {self.threshold}")
        if not 0 < self.slope < math.inf or not math.isfinite(self.intercept or 0.0):
            raise ValueError(f"calibration of {self.name!r} must be finite, its slope positive")

    @property
    def calibration(self) -> CalibrationMethod:
        """How its calibrated probability comes about."""
        return "prior_correction" if self.intercept is None else "platt"

    @property
    def offset(self) -> float:
        """The calibration's intercept, whichever its method."""
        return -math.log(self.pos_weight) if self.intercept is None else self.intercept


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
    """Calibrated probabilities: sigmoid(slope * logit(p) + intercept).

    Written as p^s / (p^s + e^-i (1 - p)^s), which is the same and defined at 0 and 1 as well. By
    default it is the prior correction, p / (p + w (1 - p)).

    Args:
        probabilities: (..., labels), the model's sigmoid, 0..1.
        labels: Give the slope and the intercept of each column, or the weight of its positives.

    Returns:
        (..., labels) float64.

    Raises:
        ValueError: if the last axis is not as long as ``labels``.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    slopes, offsets = _lines(p.shape, labels)
    for_it, against = p**slopes, (1.0 - p) ** slopes
    return np.asarray(for_it / (for_it + np.exp(-offsets) * against))


def calibrated_logits(logits: Floats, labels: Sequence[Label] = LABELS) -> npt.NDArray[np.float64]:
    """Calibrated logits: slope * logit + intercept, by default logit - ln(pos_weight).

    Args:
        logits: (..., labels).
        labels: Give the slope and the intercept of each column.

    Returns:
        (..., labels) float64.

    Raises:
        ValueError: if the last axis is not as long as ``labels``.
    """
    values = np.asarray(logits, dtype=np.float64)
    slopes, offsets = _lines(values.shape, labels)
    return np.asarray(slopes * values + offsets)


def _lines(
    shape: tuple[int, ...], labels: Sequence[Label]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if not shape or shape[-1] != len(labels):
        raise ValueError(f"expected (..., {len(labels)}), got {shape}")
    slopes = np.array([label.slope for label in labels], dtype=np.float64)
    return slopes, np.array([label.offset for label in labels], dtype=np.float64)
