"""What a set has to reach: ``auroc=0.8``, or of one label ``auroc:Atrial fibrillation=0.9``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from serve_app.errors import InvalidParameter

from .evaluation import Evaluation
from .metrics import LESS_IS_BETTER, METRICS

__all__ = ["Bound", "Check"]


@dataclass(frozen=True)
class Bound:
    """A limit of one metric.

    Args:
        metric: One of METRICS.
        label: Its name; None: the macro mean.
        value: The limit: the most for errors (brier, ece), the least for all others.
    """

    metric: str
    label: str | None
    value: float

    @classmethod
    def parse(cls, text: str, label_names: Sequence[str], *, at_least: bool) -> Self:
        """From ``METRIC=VALUE`` or ``METRIC:LABEL=VALUE``.

        Raises:
            InvalidParameter: Another form, or no such metric or label.
        """
        left, _, number = text.rpartition("=")
        metric, colon, name = left.partition(":")
        names = {each.casefold(): each for each in label_names}
        allowed = [each for each in METRICS if (each in LESS_IS_BETTER) is not at_least]
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if metric not in allowed or not 0 <= value <= 1:
            raise InvalidParameter(
                f"{text[:100]!r} is no bound: METRIC=VALUE or METRIC:LABEL=VALUE, METRIC one of "
                f"{', '.join(allowed)}, VALUE from 0 to 1.",
                hint="brier and ece have --at-most, all others --at-least.",
            )
        if colon and name.strip().casefold() not in names:
            raise InvalidParameter(
                f"{name[:100]!r} is no label of this model.",
                hint=f"Its labels: {', '.join(label_names)}.",
            )
        return cls(metric, names[name.strip().casefold()] if colon else None, value)

    def check(self, evaluation: Evaluation) -> "Check":
        """Whether the set keeps it; what is not defined does not."""
        figures = evaluation.macro
        if self.label is not None:
            own = [each.figures for each in evaluation.labels if each.label.name == self.label]
            figures = own[0] if own else {}
        found = figures[self.metric].value if figures else None
        if found is None:
            return Check(self, None, passed=False)
        kept = found <= self.value if self.metric in LESS_IS_BETTER else found >= self.value
        return Check(self, found, passed=kept)


@dataclass(frozen=True)
class Check:
    """A bound, what was found, and whether that keeps it."""

    bound: Bound
    found: float | None
    passed: bool

    def __str__(self) -> str:
        sign = "<=" if self.bound.metric in LESS_IS_BETTER else ">="
        found = "not defined" if self.found is None else f"{self.found:.4f}"
        what = f"{self.bound.metric} of {self.bound.label or 'all labels (macro)'}"
        return f"{what}: {found}, wanted {sign} {self.bound.value:g}"

    def to_dict(self) -> dict[str, Any]:
        """Members of JSON."""
        bound = self.bound
        told = {"metric": bound.metric, "label": bound.label, "bound": bound.value}
        return {**told, "found": self.found, "passed": self.passed}
