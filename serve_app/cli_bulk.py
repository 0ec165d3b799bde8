"""`ecg-serve bulk`: a folder of recordings in, a Parquet dataset out.

Exit codes: 0 done, 1 some recording failed (the others are done), 2 a wrong call.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from serve_app.bulk.finding import find_recordings
from serve_app.bulk.table import Job, Parts
from serve_app.cli_options import FsHz, Leads, Units, given_hints
from serve_app.cli_output import AsJson, print_told, tell_error
from serve_app.decoding import Hints
from serve_app.engine.loading import fetch_model
from serve_app.errors import EcgServeError
from serve_app.pipeline import Options
from serve_app.settings import Settings, load_settings

__all__ = ["bulk"]

_told = Console(stderr=True, highlight=False)


def bulk(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A folder, or a list of paths.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.parquet", help="A folder of parts.")],
    model: Annotated[str | None, typer.Option(help="As ECG_MODEL.")] = None,
    analyze: Annotated[bool, typer.Option(help="No model: quality, beats, rhythm.")] = False,
    embedding: Annotated[bool, typer.Option(help="Store the pooled features too.")] = False,
    zero_leads: Annotated[
        bool, typer.Option(help="Give the model zeros for leads that a recording lacks.")
    ] = False,
    pattern: Annotated[str | None, typer.Option(help="Which files, such as '*.ecg'.")] = None,
    fs_hz: FsHz = None,
    units: Annotated[Units | None, typer.Option()] = None,
    leads: Leads = None,
    as_json: AsJson = False,
) -> None:
    """Answer for every recording of IN, with Ray Data, here or on the cluster of RAY_ADDRESS.

    A run that was ended is taken up where it stopped: what has a row is not asked again.
    """
    try:
        settings = load_settings(model=model)
        options = Options(embedding=embedding, missing_leads="zero" if zero_leads else "refuse")
        hints = given_hints(fs_hz, units, leads)
        told = _run(settings, source, out, options, hints, pattern, analyze=analyze)
    except EcgServeError as error:
        tell_error(error, as_json)
        raise typer.Exit(2) from error
    print_told(
        told,
        _lines,
        as_json,
    )
    raise typer.Exit(1 if told["failed"] or told["lost"] else 0)


def _lines(counts: dict[str, int]) -> Iterator[str]:
    yield f"{counts['answered']} answered, {counts['failed']} failed: see error_code in the table"
    if counts["kept"]:
        yield f"{counts['kept']} had their row already"
    if counts["lost"]:
        yield f"{counts['lost']} have no row, since their worker was lost: run it again"


def _run(
    settings: Settings,
    source: Path,
    out: Path,
    options: Options,
    hints: Hints,
    pattern: str | None,
    *,
    analyze: bool,
) -> dict[str, int]:
    folder, paths = find_recordings(source, pattern)
    job = Job("analyze", hints=hints) if analyze else _job(settings, options, hints)
    parts = Parts(out, job)
    done = parts.done()
    pending = [path for path in paths if path not in done]
    counts = {"answered": 0, "failed": 0, "lost": 0, "kept": len(paths) - len(pending)}
    if pending:
        from deployments.bulk import answer_all

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=_told, transient=True) as progress:
            bar = progress.add_task("", total=len(pending))

            def count(rows: int, failed: int) -> None:
                counts["answered"] += rows - failed
                counts["failed"] += failed
                progress.advance(bar, rows)

            answer_all(settings, folder.resolve(), pending, parts, job, options, count)
        counts["lost"] = len(pending) - counts["answered"] - counts["failed"]
    return counts


def _job(settings: Settings, options: Options, hints: Hints) -> Job:
    """The job, with the weights that it is done with: another model's rows are not mixed in."""
    fetch_model(settings)
    return Job(
        "predict",
        _weights_sha256(settings),
        settings.engine,
        settings.precision,
        options.missing_leads,
        options.embedding,
        hints,
    )


def _weights_sha256(settings: Settings) -> str:
    # Imported here: analysis alone never waits for torch.
    from serve_app.model.checkpoints import load_model
    from serve_app.model.sources import locate_model
    from serve_app.model.stored import sha256_of

    if settings.model == "demo":
        return load_model("demo").sha256
    located = locate_model(settings.model, revision=settings.model_revision)
    return located.sha256 or sha256_of(located.weights)
