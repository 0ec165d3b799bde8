"""The figures of one label, by scikit-learn; what is not defined is None with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .extra import require_extra

__all__ = ["LESS_IS_BETTER", "METRICS", "Outcome", "calibration_bins", "figures"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

METRICS: Final = ("auroc", "auprc", "f1", "sensitivity", "specificity", "ppv", "brier", "ece")
LESS_IS_BETTER: Final = frozenset({"brier", "ece"})
_BINS: Final = 10
_ONE_CLASS: Final = "only one class is there"
_NO_POSITIVE: Final = "no positive is there"
_WHY: Final[Mapping[str, str]] = {
    "auroc": _ONE_CLASS,
    "auprc": _NO_POSITIVE,
    "f1": "neither a positive nor a positive answer is there",
    "sensitivity": _NO_POSITIVE,
    "specificity": "no negative is there",
    "ppv": "no positive answer is there",
}


@dataclass(frozen=True)
class Outcome:
    """What the model said of one label, and what is true, where that is known.

    Args:
        truth: (n,) bool.
        scores: (n,) joined scores, 0..1.
        calibrated: (n,) calibrated probabilities.
        threshold: Score at or above which the answer is positive.
        patients: (n,) equal numbers are one patient's.
    """

    truth: Bools
    scores: Floats
    calibrated: Floats
    threshold: float
    patients: npt.NDArray[np.int64]

    @property
    def positives(self) -> int:
        """How many are true."""
        return int(self.truth.sum())

    @property
    def both_classes(self) -> bool:
        """Whether there is something to tell apart."""
        return 0 < self.positives < len(self.truth)


def figures(outcome: Outcome) -> tuple[dict[str, float | None], dict[str, str]]:
    """Every metric, and for those that are None the reason.

    Args:
        outcome: Of one label.

    Raises:
        NotInstalled: scikit-learn is missing.
    """
    require_extra("sklearn.metrics")
    from sklearn import metrics

    truth, scores = outcome.truth, outcome.scores
    if not len(truth):
        return dict.fromkeys(METRICS), dict.fromkeys(METRICS, "no recording has this label known")
    said = scores >= outcome.threshold
    tn, fp, fn, tp = metrics.confusion_matrix(truth, said, labels=[False, True]).ravel().tolist()
    found: dict[str, float | None] = {
        "auroc": float(metrics.roc_auc_score(truth, scores)) if outcome.both_classes else None,
        "auprc": float(metrics.average_precision_score(truth, scores)) if truth.any() else None,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "ppv": _ratio(tp, tp + fp),
        "brier": float(np.mean((outcome.calibrated - truth) ** 2)),
        "ece": _calibration_error(outcome),
    }
    return found, {name: _WHY[name] for name, value in found.items() if value is None}


def calibration_bins(calibrated: Floats) -> npt.NDArray[np.int64]:
    """(n,) bin of each probability: ten with as many recordings each, ties together.

    Bins of equal width would put nearly all of a rare label into the first (Nixon et al., 2019).
    """
    edges = np.quantile(calibrated, np.linspace(0, 1, _BINS + 1)[1:-1])
    bins = np.searchsorted(np.unique(edges), calibrated, side="right")
    return np.asarray(bins, np.int64)


def _calibration_error(outcome: Outcome) -> float:
    """Expected calibration error: mean distance of what is said from what is so, over the bins."""
    bins = calibration_bins(outcome.calibrated)
    distances = np.bincount(bins, outcome.calibrated - outcome.truth)
    return float(np.abs(distances).sum() / len(outcome.truth))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
