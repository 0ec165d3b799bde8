"""What was fitted on labelled recordings for one model: its lines and thresholds, and for whom.

It lies in the model's ``config.json``, since it is of no use for other weights: their SHA-256 is
part of it. Engines of other precisions share it: they are held to 0.02 of a probability.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from serve_app.errors import CheckpointError

from .labels import Label

__all__ = ["Calibration", "LabelCalibration", "require_same_weights"]


@dataclass(frozen=True, slots=True)
class LabelCalibration:
    """One label's.

    Args:
        slope: On the logit of the recording's joined score, positive.
        intercept: Added to it.
        threshold: Of the joined score, 0..1, at or above which the label counts as positive.
    """

    slope: float
    intercept: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A model's; labels without one keep the prior correction and their threshold.

    Args:
        sha256: Of the weights file that it was fitted for.
        precision: What the engine computed in when it was fitted.
        thresholds: How they were chosen: ``f1``, or ``sensitivity>=0.9``.
        recordings: That it was fitted on.
        patients: Whose recordings they were.
        labels: By name.
    """

    sha256: str
    precision: str
    thresholds: str
    recordings: int
    patients: int
    labels: Mapping[str, LabelCalibration]

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Self:
        """From the members of JSON.

        Raises:
            ValueError: if members are missing, unknown or of another kind.
        """
        _require_members(told, cls, "calibration")
        if not isinstance(told["labels"], Mapping):
            raise ValueError("the calibration's labels must be an object")
        labels = {name: _label(name, each) for name, each in told["labels"].items()}
        return cls(**{**told, "labels": labels})

    def to_dict(self) -> dict[str, Any]:
        """Members of JSON."""
        return asdict(self)

    def apply(self, labels: Sequence[Label]) -> tuple[Label, ...]:
        """The labels with their lines and thresholds.

        Raises:
            ValueError: for a label that the model does not have, and impossible numbers.
        """
        if unknown := self.labels.keys() - {label.name for label in labels}:
            raise ValueError(f"calibration names no label of this model: {sorted(unknown)}")
        return tuple(
            replace(label, **asdict(self.labels[label.name]))
            if label.name in self.labels
            else label
            for label in labels
        )


def require_same_weights(calibration: Mapping[str, Any], sha256: str) -> None:
    """Refuse a calibration beside weights that it was not fitted for.

    Raises:
        CheckpointError: if its SHA-256 is another.
    """
    if calibration.get("sha256") != sha256:
        raise CheckpointError(
            "The calibration in config.json was fitted for other weights.",
            hint='Take "calibration" out of config.json, and fit it anew with: '
            "ecg-serve evaluate LABELS.csv --fit-calibration --store",
        )


def _label(name: str, told: Any) -> LabelCalibration:
    if not isinstance(told, Mapping):
        raise ValueError(f"the calibration of {name!r} must be an object")
    _require_members(told, LabelCalibration, f"calibration of {name!r}")
    if not all(type(value) in (int, float) for value in told.values()):
        raise ValueError(f"the calibration of {name!r} must hold numbers")
    return LabelCalibration(**told)


def _require_members(told: Mapping[str, Any], cls: type[Any], what: str) -> None:
    wanted = {field.name for field in fields(cls)}
    if told.keys() != wanted:
        raise ValueError(f"the {what} must have exactly the members {', '.join(sorted(wanted))}")
