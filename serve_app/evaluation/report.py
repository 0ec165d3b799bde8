"""Evaluation -> report.json, report.md and the lines of a terminal."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from serve_app.engine.protocol import EngineInfo
from serve_app.errors import EcgServeError

from .bounds import Check
from .calibration_fit import FittedLabel
from .evaluation import Evaluation, Figure
from .metrics import METRICS

__all__ = ["Report", "aligned", "cell"]

_SHOWN = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "brier": "Brier",
    "ece": "ECE",
}


@dataclass(frozen=True)
class Report:
    """What was found, of what, and what came of it.

    Args:
        model: That was asked.
        evaluation: Its figures.
        recordings: In the set.
        failures: (path, error) of those that could not be scored.
        has_patients: Whether the set told whose recordings they are.
        fitted: A calibration, if one was asked for.
        stored: Whether that is now in the model's config.json.
        checks: Of the bounds that were given.
    """

    model: EngineInfo
    evaluation: Evaluation
    recordings: int
    failures: Sequence[tuple[str, EcgServeError]]
    has_patients: bool
    fitted: Sequence[FittedLabel] | None = None
    stored: bool = False
    checks: Sequence[Check] = ()

    @property
    def passed(self) -> bool:
        """Whether every recording was scored and every bound kept."""
        return not self.failures and all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Members of JSON; what is not defined is null, with the reason."""
        found, model = self.evaluation, self.model
        failed = [{"path": p, "code": e.code, "detail": e.detail} for p, e in self.failures]
        return {
            "model": {
                "name": model.name,
                "revision": model.revision,
                "sha256": model.sha256,
                "engine": model.engine,
                "precision": model.precision,
                "demo": model.demo,
            },
            "set": {
                "recordings": self.recordings,
                "scored": self.recordings - len(failed),
                "patients": found.patients if self.has_patients else None,
                "failed": failed,
            },
            "bootstrap": {
                "rounds": found.rounds,
                "seed": found.seed,
                "of": "patients" if self.has_patients else "recordings",
                "level": 0.95,
            },
            "labels": [
                {
                    "label": each.label.name,
                    "noisy": each.label.noisy,
                    "calibration": each.label.calibration,
                    "threshold": each.label.threshold,
                    "recordings": len(each.outcome.truth),
                    "positives": each.outcome.positives,
                    "prevalence": each.prevalence,
                    **_as_dict(each.figures),
                }
                for each in found.labels
            ],
            "unlabelled": list(found.unlabelled),
            "macro": _as_dict(found.macro),
            "weighted": _as_dict(found.weighted),
            "fitted": None if self.fitted is None else [_fit_dict(each) for each in self.fitted],
            "stored": self.stored,
            "checks": [check.to_dict() for check in self.checks],
            "passed": self.passed,
        }

    def header(self) -> list[str]:
        """What it is about, line by line."""
        found, model = self.evaluation, self.model
        scored = self.recordings - len(self.failures)
        whose = f" of {found.patients} patients" if self.has_patients else ""
        lines = [
            f"{model.name}, revision {model.revision}, {model.engine} {model.precision}: "
            f"{scored} of {self.recordings} recordings{whose}"
        ]
        if model.demo:
            lines.append("demo model: its answers know nothing of cardiology")
        if found.rounds:
            drawn = "patients" if self.has_patients else "recordings"
            lines.append(
                f"95 % percentile intervals of {found.rounds} bootstrap samples of {drawn}"
            )
        if found.unlabelled:
            lines.append(f"not in the table: {', '.join(found.unlabelled)}")
        return lines

    def columns(self) -> list[str]:
        """Of the table of figures."""
        return ["label", "n", "positive", *(_SHOWN[name] for name in METRICS)]

    def rows(self, intervals_of: Container[str] = METRICS) -> Iterator[list[str]]:
        """Of the same table; only these metrics show their intervals."""
        for each in self.evaluation.labels:
            name = each.label.name + (" (noisy)" if each.label.noisy else "")
            counts = [str(len(each.outcome.truth)), str(each.outcome.positives)]
            yield [name, *counts, *_cells(each.figures, intervals_of)]
        means = (("mean", self.evaluation.macro), ("weighted mean", self.evaluation.weighted))
        for name, figures in means:
            yield [name, "", "", *_cells(figures, intervals_of)]

    def fit_columns(self) -> list[str]:
        """Of the table of what was fitted."""
        names = ["label", "slope", "intercept", "threshold"]
        return [*names, "Brier, before and after", "ECE", "F1", ""]

    def fit_rows(self) -> Iterator[list[str]]:
        """Of the same table; before and after are cross-validated."""
        for each in self.fitted or ():
            if each.calibration is None or each.effect is None:
                yield [each.label, *6 * ["-"], each.reason or ""]
                continue
            line, effect = each.calibration, each.effect
            numbers = (line.slope, line.intercept, line.threshold)
            pairs = (effect.brier, effect.ece, effect.f1)
            yield [
                each.label,
                *(f"{number:.4g}" for number in numbers),
                *(f"{_number(before)} {_number(after)}" for before, after in pairs),
                "",
            ]

    def markdown(self) -> str:
        """The whole, for people."""
        parts = ["# Evaluation", *self.header(), _table(self.columns(), self.rows())]
        if self.fitted is not None:
            parts += [
                "## Calibration",
                self.fit_note(),
                _table(self.fit_columns(), self.fit_rows()),
            ]
        if self.checks:
            lines = [f"- {'kept' if c.passed else 'BROKEN'}: {c}" for c in self.checks]
            parts += ["## Bounds", "\n".join(lines)]
        if self.failures:
            lines = [f"- `{path}`: {error.detail}" for path, error in self.failures]
            parts += ["## Not scored", "\n".join(lines)]
        return "\n\n".join(parts) + "\n"

    def fit_note(self) -> str:
        """How the fit is to be read."""
        kept = "stored in config.json" if self.stored else "not stored"
        return (
            "Fitted on all recordings; before and after are of patients left out of the fit "
            f"(5-fold); {kept}."
        )


def cell(figure: Figure) -> str:
    """``0.912 (0.871-0.944)``, or a dash where it is not defined."""
    if figure.value is None:
        return "-"
    ends = figure.interval
    return f"{figure.value:.3f}" + (f" ({ends.low:.3f}-{ends.high:.3f})" if ends else "")


def aligned(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table for a terminal, as wide as it has to be."""
    lines = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        yield "  ".join(padded).rstrip()


def _cells(figures: dict[str, Figure], intervals_of: Container[str]) -> Iterator[str]:
    for metric in METRICS:
        figure = figures[metric]
        yield cell(figure if metric in intervals_of else replace(figure, interval=None))


def _as_dict(figures: dict[str, Figure]) -> dict[str, Any]:
    return {name: _figure_dict(figure) for name, figure in figures.items()}


def _figure_dict(figure: Figure) -> dict[str, Any]:
    ends = figure.interval
    told = {
        "value": figure.value,
        "low": ends.low if ends else None,
        "high": ends.high if ends else None,
    }
    return told | ({"reason": figure.reason} if figure.reason else {})


def _fit_dict(fitted: FittedLabel) -> dict[str, Any]:
    line, effect = fitted.calibration, fitted.effect
    if line is None or effect is None:
        return {"label": fitted.label, "fitted": False, "reason": fitted.reason}
    pairs = {
        name: {"before": before, "after": after}
        for name, (before, after) in (
            ("brier", effect.brier),
            ("ece", effect.ece),
            ("f1", effect.f1),
        )
    }
    return {"label": fitted.label, "fitted": True, **asdict(line), "cross_validated": pairs}


def _table(columns: Sequence[str], rows: Iterator[list[str]]) -> str:
    lines = [list(columns), ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
