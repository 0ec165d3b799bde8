"""Calibration fitted to labelled recordings, and its effect on patients it was not fitted to.

Per label a line on the logit of the joined score (Platt, 1999): its slope is the inverse of a
temperature (Guo et al., 2017), and its intercept moves the prevalence, which a temperature alone
cannot. Targets are Platt's smoothed ones, (N+ + 1) / (N+ + 2) and 1 / (N- + 2), so that classes
that are told apart do not make the slope infinite.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from serve_app.model.calibration import LabelCalibration
from serve_app.model.labels import Label, calibrated

from .extra import require_extra
from .metrics import Outcome, figures

__all__ = ["Effect", "FittedLabel", "fit_label", "fit_line", "fit_threshold"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_FOLDS: Final = 5
_LEAST_RECORDINGS: Final = 10
# float32 scores have no more to tell: 1 - 6e-8 is the next to 1.
_MOST_LOGIT: Final = 16.0


@dataclass(frozen=True)
class Effect:
    """What calibrating does, on recordings of patients whose recordings were left out of the fit.

    Args:
        brier: Before and after.
        ece: Before and after.
        f1: At the threshold before, and at the fitted one; None where not defined.
    """

    brier: tuple[float, float]
    ece: tuple[float, float]
    f1: tuple[float | None, float | None]


@dataclass(frozen=True)
class FittedLabel:
    """One label's calibration with its cross-validated effect, or the reason why there is none."""

    label: str
    calibration: LabelCalibration | None
    effect: Effect | None
    reason: str | None = None


def fit_label(
    label: Label, outcome: Outcome, seed: int, sensitivity: float | None = None
) -> FittedLabel:
    """Fit one label's line and threshold on all of its recordings.

    Args:
        label: As it is served now.
        outcome: Its recordings.
        seed: Of the folds, which keep a patient's recordings together.
        sensitivity: That the threshold has to reach; None: it maximises F1.

    Raises:
        NotInstalled: scikit-learn is missing.
    """
    if reason := _too_few(outcome):
        return FittedLabel(label.name, None, None, reason)
    line = _fit(outcome, sensitivity)
    if line is None:
        return FittedLabel(label.name, None, None, "the scores do not rise with the truth")
    return FittedLabel(label.name, line, _effect(label, outcome, seed, sensitivity))


def fit_line(scores: Floats, truth: Bools) -> tuple[float, float]:
    """Slope and intercept on the logit, of least log loss against Platt's targets.

    Args:
        scores: (n,) 0..1.
        truth: (n,) with both classes.
    """
    logits = _logits(scores)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    targets = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(line: Floats) -> tuple[float, Floats]:
        values = line[0] * logits + line[1]
        errors = _sigmoid(values) - targets
        total = np.mean(np.logaddexp(0.0, values) - targets * values)
        return float(total), np.array([np.mean(errors * logits), np.mean(errors)])

    start = np.array([1.0, np.log((positives + 1) / (negatives + 1)) - logits.mean()])
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    slope, intercept = found.x.tolist()
    return slope, intercept


def fit_threshold(scores: Floats, truth: Bools, sensitivity: float | None = None) -> float:
    """The score at or above which to say yes.

    Args:
        scores: (n,) 0..1.
        truth: (n,) with both classes.
        sensitivity: The highest threshold that reaches it; None: the one of the largest F1.

    Returns:
        Half way between two scores, so that rounding does not turn an answer round.
    """
    rising = np.unique(scores)
    positives = np.sort(scores[truth])
    everything = np.sort(scores)
    hits = len(positives) - np.searchsorted(positives, rising, side="left")
    said = len(everything) - np.searchsorted(everything, rising, side="left")
    if sensitivity is None:
        best = int(np.argmax(2 * hits / (said + len(positives))))
    else:
        best = int(np.flatnonzero(hits >= sensitivity * len(positives) - 1e-9)[-1])
    below = rising[best - 1] if best else rising[0]
    return float((below + rising[best]) / 2)


def _fit(outcome: Outcome, sensitivity: float | None) -> LabelCalibration | None:
    slope, intercept = fit_line(outcome.scores, outcome.truth)
    if not (slope > 0 and np.isfinite([slope, intercept]).all()):
        return None
    threshold = fit_threshold(outcome.scores, outcome.truth, sensitivity)
    return LabelCalibration(slope, intercept, threshold)


def _effect(label: Label, outcome: Outcome, seed: int, sensitivity: float | None) -> Effect:
    after, said = outcome.calibrated.copy(), outcome.scores >= outcome.threshold
    for fitted, held_out in _folds(outcome, seed):
        line = _fit(_part(outcome, fitted), sensitivity)
        if line is None:
            continue
        of_fold = replace(label, slope=line.slope, intercept=line.intercept)
        after[held_out] = calibrated(outcome.scores[held_out, None], [of_fold])[:, 0]
        said[held_out] = outcome.scores[held_out] >= line.threshold
    old, _ = figures(outcome)
    new, _ = figures(replace(outcome, calibrated=after))
    at_threshold, _ = figures(replace(outcome, scores=said.astype(np.float64), threshold=0.5))
    return Effect(
        brier=(_number(old["brier"]), _number(new["brier"])),
        ece=(_number(old["ece"]), _number(new["ece"])),
        f1=(old["f1"], at_threshold["f1"]),
    )


def _folds(outcome: Outcome, seed: int) -> Iterator[tuple[npt.NDArray[np.int64], ...]]:
    require_extra("sklearn.model_selection")
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for fitted, held_out in splitter.split(outcome.scores, outcome.truth, outcome.patients):
        if 0 < outcome.truth[fitted].sum() < len(fitted):
            yield fitted, held_out


def _too_few(outcome: Outcome) -> str | None:
    for kind, chosen in (("positives", outcome.truth), ("negatives", ~outcome.truth)):
        count, patients = int(chosen.sum()), len(np.unique(outcome.patients[chosen]))
        if count < _LEAST_RECORDINGS or patients < _FOLDS:
            return f"too few {kind}: {count} of {patients} patients"
    return None


def _part(outcome: Outcome, chosen: npt.NDArray[np.int64]) -> Outcome:
    return Outcome(
        outcome.truth[chosen],
        outcome.scores[chosen],
        outcome.calibrated[chosen],
        outcome.threshold,
        outcome.patients[chosen],
    )


def _logits(scores: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        logits = np.log(scores) - np.log1p(-scores)
    return np.asarray(np.clip(logits, -_MOST_LOGIT, _MOST_LOGIT))


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(values / 2)))


def _number(value: float | None) -> float:
    assert value is not None  # noqa: S101 - a Brier score needs one recording only
    return value
