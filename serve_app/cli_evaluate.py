"""`ecg-serve evaluate`: figures over a labelled set, and a calibration fitted to it.

Exit codes: 0 done, 1 some recording failed or a bound is broken, 2 a wrong call.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

from serve_app.cli_output import tell_error
from serve_app.errors import EcgServeError, InvalidFormat, NotFound
from serve_app.settings import Settings, load_settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from serve_app.engine.protocol import Engine
    from serve_app.evaluation.labels_table import LabelledSet
    from serve_app.evaluation.report import Report
    from serve_app.evaluation.scoring import Reading
from serve_app.wording import in_shell

__all__ = ["evaluate"]

_out = Console(highlight=False, soft_wrap=True, markup=False)
_told = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
_Failures = list[tuple[str, EcgServeError]]


class MissingLeads(StrEnum):
    """What the model is given for leads that a recording lacks."""

    REFUSE = "refuse"
    ZERO = "zero"


class Units(StrEnum):
    """Of the samples, where the file does not say."""

    MV = "mV"
    UV = "uV"


def evaluate(
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS.csv",
            help="Columns: path, patient (if known), and a label each: 1, 0 or blank.",
        ),
    ],
    model: Annotated[str | None, typer.Option(help="As ECG_MODEL.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.json, report.md, evaluation.svg, .png.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Samples of patients.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of samples and folds.")] = 0,
    at_least: Annotated[
        list[str] | None,
        typer.Option(help="auroc=0.8 of the mean, or auroc:'Atrial fibrillation'=0.9."),
    ] = None,
    at_most: Annotated[
        list[str] | None, typer.Option(help="The same for errors: brier=0.1, ece=0.05.")
    ] = None,
    fit_calibration: Annotated[
        bool, typer.Option("--fit-calibration", help="Fit probabilities and thresholds.")
    ] = False,
    sensitivity: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Of fitted thresholds; by default F1 is the largest."),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Keep the fit in the model's config.json.")
    ] = False,
    engine: Annotated[str | None, typer.Option(help="As ECG_ENGINE.")] = None,
    precision: Annotated[str | None, typer.Option(help="As ECG_PRECISION.")] = None,
    missing_leads: Annotated[MissingLeads, typer.Option()] = MissingLeads.REFUSE,
    fs_hz: Annotated[float | None, typer.Option(help="Where a file does not say.")] = None,
    units: Annotated[Units | None, typer.Option(help="Where a file does not say.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Figures of a model over labelled recordings, each with its 95 % interval."""
    if (store or sensitivity is not None) and not fit_calibration:
        raise typer.BadParameter("--store and --sensitivity belong to --fit-calibration")
    try:
        from serve_app.decoding import Hints
        from serve_app.evaluation.extra import require_extra
        from serve_app.evaluation.scoring import Reading

        settings = load_settings(model=model, engine=engine, precision=precision)
        require_extra("sklearn", *(["matplotlib"] if out else []))
        if store:
            from serve_app.model.conversion import require_storable

            require_storable(settings.model)
        if out is not None:
            _make_folder(out)
        reading = Reading(Hints(fs_hz, units.value if units else None, None), missing_leads.value)
        report = _evaluate(
            settings, labels, reading, (at_least or [], at_most or []), bootstrap, seed
        )
        if fit_calibration:
            report = _fitted(report, settings.model, sensitivity, store)
        if out is not None:
            _write(report, out)
    except EcgServeError as error:
        tell_error(error, as_json)
        raise typer.Exit(2) from error
    _tell(report, as_json)
    raise typer.Exit(0 if report.passed else 1)


def _evaluate(
    settings: Settings,
    path: Path,
    reading: "Reading",
    bounds: tuple[Sequence[str], Sequence[str]],
    rounds: int,
    seed: int,
) -> "Report":
    from serve_app.engine.loading import fetch_model, load_engine
    from serve_app.evaluation.bounds import Bound
    from serve_app.evaluation.evaluation import evaluate
    from serve_app.evaluation.labels_table import read_labels
    from serve_app.evaluation.report import Report

    fetch_model(settings)
    engine = load_engine(settings)
    labels = engine.info.labels
    names = [label.name for label in labels]
    wanted = [Bound.parse(text, names, at_least=True) for text in bounds[0]]
    wanted += [Bound.parse(text, names, at_least=False) for text in bounds[1]]
    known = read_labels(path, names)
    scores, failures = _score(engine, known, reading)
    found = evaluate(labels, scores, known, rounds=rounds, seed=seed)
    checks = [bound.check(found) for bound in wanted]
    return Report(engine.info, found, len(known), failures, known.has_patients, checks=checks)


def _score(
    engine: "Engine", known: "LabelledSet", reading: "Reading"
) -> "tuple[npt.NDArray[np.float32], _Failures]":
    """Joined scores (recordings, labels), NaN where a recording failed, and why it did."""
    import numpy as np

    from serve_app.evaluation.scoring import Scored, score_recordings

    scores = np.full((len(known), len(engine.info.labels)), np.nan, np.float32)
    failures: _Failures = []
    items = score_recordings(known.paths, engine, reading)
    for item in track(items, "", len(known), console=_told, transient=True):
        if isinstance(item, Scored):
            scores[item.index] = item.scores
        else:
            failures.append((str(known.paths[item.index]), item.error))
    if len(failures) == len(known):
        raise InvalidFormat(
            f"None of the {len(known)} recordings could be scored; the first: "
            f"{failures[0][1].detail}",
            hint="Paths start from the folder of the table. " + failures[0][1].hint,
        )
    return scores, failures


def _fitted(report: "Report", source: str, sensitivity: float | None, store: bool) -> "Report":
    from serve_app.evaluation.evaluation import calibration_of, fit_labels

    fitted = fit_labels(report.evaluation, sensitivity)
    if store:
        from serve_app.model.conversion import store_calibration

        found = calibration_of(
            fitted,
            sha256=report.model.sha256,
            precision=report.model.precision,
            recordings=report.recordings - len(report.failures),
            patients=report.evaluation.patients,
            sensitivity=sensitivity,
        )
        if not found.labels:
            raise InvalidFormat(
                "No label has enough recordings to be calibrated: nothing was stored.",
                hint="10 positives and 10 negatives, of 5 patients each, are the least.",
            )
        store_calibration(source, found)
    return replace(report, fitted=fitted, stored=store)


def _make_folder(folder: Path) -> None:
    """Before anything is scored: an hour's work should not end in a folder that cannot be made."""
    with _disk_told():
        folder.mkdir(parents=True, exist_ok=True)


def _write(report: "Report", folder: Path) -> None:
    from serve_app.evaluation.plot import save_plot

    with _disk_told():
        (folder / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", "utf-8")
        (folder / "report.md").write_text(report.markdown(), "utf-8")
        save_plot(report.evaluation, folder)


@contextmanager
def _disk_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotFound(
            f"The report cannot be written: {error.strerror or 'the disk refuses'}.",
            hint="Name a folder that can be written to.",
        ) from error


def _tell(report: "Report", as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.to_dict()) + "\n")
        return
    for line in report.header():
        _out.print(line)
    # With every interval a line would be too long to read; the report has them.
    _print_table(report.columns(), report.rows(intervals_of=("auroc", "auprc")))
    if report.fitted is not None:
        _out.print(report.fit_note())
        _print_table(report.fit_columns(), report.fit_rows())
    for check in report.checks:
        _out.print(f"{'kept' if check.passed else 'BROKEN'}: {check}")
    for path, error in report.failures:
        _told.print(f"{path}: {error.detail} {in_shell(error.hint)}")


def _print_table(columns: Sequence[str], rows: Iterable[list[str]]) -> None:
    from serve_app.evaluation.report import aligned

    for line in aligned(columns, rows):
        _out.print(line)
