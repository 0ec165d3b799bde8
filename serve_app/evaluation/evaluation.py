"""Scores and truth of a labelled set -> Evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.model.calibration import Calibration
from serve_app.model.labels import Label, calibrated

from .bootstrap import Interval, intervals, replicates
from .calibration_fit import FittedLabel, fit_label
from .labels_table import UNKNOWN, LabelledSet
from .metrics import METRICS, Outcome, figures

__all__ = [
    "Evaluation",
    "Figure",
    "LabelEvaluation",
    "calibration_of",
    "evaluate",
    "fit_labels",
    "outcomes_of",
]

Floats = npt.NDArray[np.float64]

_NO_INTERVAL: Final = "it is not defined in more than 5 % of the samples: too few patients"


@dataclass(frozen=True)
class Figure:
    """A metric with its interval; where either is None, the reason."""

    value: float | None
    interval: Interval | None = None
    reason: str | None = None


@dataclass(frozen=True)
class LabelEvaluation:
    """One label's figures, over the recordings for which it is known."""

    label: Label
    outcome: Outcome
    figures: dict[str, Figure]

    @property
    def prevalence(self) -> float:
        """Share of positives."""
        return self.outcome.positives / len(self.outcome.truth)


@dataclass(frozen=True)
class Evaluation:
    """All figures of a set.

    Args:
        labels: Those of which the set knows something, in the model's order.
        unlabelled: Names of the others.
        macro: Means over the labels with both classes.
        weighted: The same, weighted by the number of positives.
        patients: That were resampled.
        rounds: Replicates of the bootstrap.
        seed: Of it and of folds.
    """

    labels: tuple[LabelEvaluation, ...]
    unlabelled: tuple[str, ...]
    macro: dict[str, Figure]
    weighted: dict[str, Figure]
    patients: int
    rounds: int
    seed: int


def evaluate(
    labels: Sequence[Label],
    scores: npt.NDArray[np.float32],
    known: LabelledSet,
    *,
    rounds: int,
    seed: int,
) -> Evaluation:
    """Every figure of every label, with 95 % percentile intervals over resampled patients.

    Args:
        labels: Of the model.
        scores: (recordings, labels) joined scores; NaN in the rows of what could not be read.
        known: The same recordings' truth.
        rounds: Replicates; 0 for no intervals.
        seed: Of the draws.

    Raises:
        NotInstalled: scikit-learn is missing.
    """
    outcomes, patients = outcomes_of(labels, scores, known)
    told = [(k, each) for k, each in enumerate(outcomes) if len(each.truth)]
    drawn = replicates([each for _, each in told], patients, rounds, seed)
    evaluated = tuple(
        LabelEvaluation(labels[k], each, _figures(each, drawn[:, place]))
        for place, (k, each) in enumerate(told)
    )
    unlabelled = tuple(labels[k].name for k, each in enumerate(outcomes) if not len(each.truth))
    comparable = np.array([each.both_classes for _, each in told], bool)
    positives = np.array([each.positives for _, each in told], float)
    return Evaluation(
        evaluated,
        unlabelled,
        _means(evaluated, drawn, comparable.astype(float)),
        _means(evaluated, drawn, comparable * positives),
        patients,
        rounds,
        seed,
    )


def outcomes_of(
    labels: Sequence[Label], scores: npt.NDArray[np.float32], known: LabelledSet
) -> tuple[list[Outcome], int]:
    """One Outcome a label, of the recordings with a score and a known truth; and the patients."""
    read = np.isfinite(scores).all(axis=1)
    patients = np.full(len(scores), -1)
    # Numbered anew: who has no readable recording cannot be drawn.
    numbers, patients[read] = np.unique(known.patients[read], return_inverse=True)
    probabilities = calibrated(scores, labels)
    outcomes = []
    for k, label in enumerate(labels):
        chosen = read & (known.truth[:, k] != UNKNOWN)
        outcomes.append(
            Outcome(
                known.truth[chosen, k] == 1,
                scores[chosen, k].astype(np.float64),
                probabilities[chosen, k],
                label.threshold,
                patients[chosen],
            )
        )
    return outcomes, len(numbers)


def fit_labels(evaluation: Evaluation, sensitivity: float | None = None) -> list[FittedLabel]:
    """A calibration for each label that has enough recordings; arguments as for ``fit_label``."""
    return [
        fit_label(each.label, each.outcome, evaluation.seed, sensitivity)
        for each in evaluation.labels
    ]


def calibration_of(
    fitted: Sequence[FittedLabel],
    *,
    sha256: str,
    precision: str,
    recordings: int,
    patients: int,
    sensitivity: float | None = None,
) -> Calibration:
    """What is stored with the model; arguments as of ``Calibration``."""
    labels = {each.label: each.calibration for each in fitted if each.calibration is not None}
    thresholds = "f1" if sensitivity is None else f"sensitivity>={sensitivity:g}"
    return Calibration(sha256, precision, thresholds, recordings, patients, labels)


def _figures(outcome: Outcome, drawn: Floats) -> dict[str, Figure]:
    values, reasons = figures(outcome)
    ends = intervals(drawn)
    return {
        name: _figure(values[name], ends[k], reasons.get(name), len(drawn))
        for k, name in enumerate(METRICS)
    }


def _figure(value: float | None, ends: Interval | None, reason: str | None, rounds: int) -> Figure:
    if value is None:
        return Figure(None, reason=reason)
    if ends is None:
        return Figure(value, reason=_NO_INTERVAL if rounds else "no samples were drawn")
    return Figure(value, ends)


def _means(labels: Sequence[LabelEvaluation], drawn: Floats, weights: Floats) -> dict[str, Figure]:
    """Weighted means over the labels for which a metric is defined, here and in each replicate."""
    means = {}
    for k, name in enumerate(METRICS):
        values = np.array([each.figures[name].value for each in labels], float)
        if not (weights * np.isfinite(values)).any():
            means[name] = Figure(None, reason="no label has both classes")
            continue
        of_rounds = drawn[:, np.isfinite(values), k]
        (interval,) = intervals(_mean(of_rounds, weights[np.isfinite(values)])[:, None])
        mean = float(_mean(values[None], weights)[0])
        means[name] = _figure(mean, interval, None, len(drawn))
    return means


def _mean(values: Floats, weights: Floats) -> Floats:
    """Row by row, over what is finite."""
    parts = np.isfinite(values) * weights
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nan_to_num(values * weights).sum(axis=1) / parts.sum(axis=1))
