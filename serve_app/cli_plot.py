"""`ecg-serve plot`: the paper picture, or another form, of each file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serve_app.cli_options import Files, FsHz, Leads, Units, given_hints
from serve_app.cli_output import failures_told, tell_error, tracked
from serve_app.decoding import Hints, Limits, Upload
from serve_app.decoding.paths import read_path
from serve_app.errors import EcgServeError, NotFound
from serve_app.hospital.asking import Ask, asker
from serve_app.hospital.outcome import FORMS, Outcome

__all__ = ["plot"]

_told = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


class PlotForm(StrEnum):
    """What is written."""

    SVG = "svg"
    PDF = "pdf"
    PNG = "png"
    FHIR = "fhir"
    CSV = "csv"
    DICOM_SR = "dicom-sr"
    DICOM_PDF = "dicom-pdf"


def plot(
    files: Files,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; by default beside each file.")
    ] = None,
    form: Annotated[PlotForm, typer.Option("--format", help="Of the files.")] = PlotForm.SVG,
    server: Annotated[str | None, typer.Option(help="Ask this server for the findings.")] = None,
    model: Annotated[str | None, typer.Option(help="Without --server: what to load.")] = None,
    fs_hz: FsHz = None,
    units: Annotated[Units | None, typer.Option()] = None,
    leads: Leads = None,
) -> None:
    """Draw each file as on paper, with what was found above it; or write another form of that.

    A recording that the model cannot be asked about is drawn with the analysis of its signal.
    """
    failed = False
    hints = given_hints(fs_hz, units, leads)
    with failures_told(as_json=False), asker(server, model, hints) as ask:
        for path in tracked(files):
            try:
                typer.echo(_write(path, out or path.parent, form.value, ask, hints))
            except EcgServeError as error:
                failed = True
                _told.print(str(path))
                tell_error(error, as_json=False)
    raise typer.Exit(1 if failed else 0)


def _write(path: Path, folder: Path, form: str, ask: Ask, hints: Hints) -> Path:
    try:
        upload = Upload(read_path(path, Limits()))
    except OSError as error:
        raise NotFound(
            f"The file cannot be read: {error.strerror}.", hint="Check the path."
        ) from error
    rendered = Outcome(ask(upload), upload, hints, file_beside=False).render(form)
    target = folder / f"{path.name}{FORMS[form].suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(rendered)
    except OSError as error:
        raise EcgServeError(f"The picture cannot be written: {error.strerror}.") from error
    return target
