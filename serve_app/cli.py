"""`ecg-serve`: serve, or answer for files, with or without a server."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from serve_app.cli_bulk import bulk
from serve_app.cli_config import config_app
from serve_app.cli_engine import model_app
from serve_app.cli_evaluate import evaluate
from serve_app.cli_follow import follow
from serve_app.cli_hospital import receive, watch
from serve_app.cli_options import (
    Files,
    FsHz,
    Leads,
    Lines,
    MissingLeads,
    Server,
    Units,
    given_hints,
)
from serve_app.cli_output import tell, tracked
from serve_app.cli_plot import plot
from serve_app.client import Client
from serve_app.client.retries import retries_told
from serve_app.decoding import Limits, Upload
from serve_app.decoding.paths import read_path
from serve_app.engine.identity import ModelSource
from serve_app.engine.loading import fetch_model, load_engine
from serve_app.errors import CheckpointError, EcgServeError, NotFound, PayloadTooLarge
from serve_app.pipeline import InProcessModel, Options, Pipeline
from serve_app.results import Result
from serve_app.settings import load_settings
from serve_app.wording import in_shell

__all__ = ["main"]

app = typer.Typer(
    help="ECG-FM Serve. Research use only: not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(model_app, name="model")
app.add_typer(config_app, name="config")
app.command()(bulk)
app.command()(evaluate)
app.command()(follow)
app.command()(plot)
app.command()(receive)
app.command()(watch)
_out = Console(highlight=False, soft_wrap=True)
_told = Console(stderr=True, highlight=False, soft_wrap=True)


class Profile(StrEnum):
    """How the parts are deployed."""

    GRAPH = "graph"
    MONO = "mono"


@app.command()
def up(
    host: Annotated[str | None, typer.Option(help="Address to bind to [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind to [8000].")] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="Port of the Open Inference Protocol over gRPC [off].")
    ] = None,
    profile: Annotated[Profile | None, typer.Option(help="[graph]")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="`demo`, a directory, a .pt, hf:OWNER/NAME[@REVISION] [demo]."),
    ] = None,
) -> None:
    """Serve here, in the foreground, until SIGTERM."""
    with _errors_told():
        settings = load_settings(
            host=host,
            port=port,
            grpc_port=grpc_port,
            profile=profile.value if profile else None,
            model=model,
        )
        try:
            fetch_model(settings)
        except CheckpointError as error:
            if settings.when_model_fails == "refuse":
                raise
            _told.print(f"degraded: {error.detail}")
        from deployments.local import serve_until_stopped

        serve_until_stopped(settings, _told.print)


@model_app.command("use")
def use_model(
    model: Annotated[
        str, typer.Argument(help="A directory, a .pt, hf:OWNER/NAME[@REVISION] or demo.")
    ],
    revision: Annotated[
        str | None, typer.Option(help="Commit or SHA-256 (or its first digits) it has to be.")
    ] = None,
    as_json: Lines = False,
) -> None:
    """Have the running server answer with another model: no restart, no failed request.

    The model is loaded and warm in every replica before the first answers with it. If one cannot
    load it, nothing changes. It holds until the server stops or is deployed with another ECG_MODEL.
    """
    with _errors_told():
        from deployments.swapping import swap_model

        swapped = swap_model(ModelSource(_absolute(model), revision))
        info, replicas = swapped.model, swapped.replicas
        told = {"name": info.name, "revision": info.revision, "sha256": info.sha256}
        _out.print(
            json.dumps(told | {"replicas": replicas})
            if as_json
            else f"{info.name}: revision {info.revision}, replicas: {replicas}"
        )


@app.command()
def predict(
    files: Files,
    server: Server = None,
    as_json: Lines = False,
    fs_hz: FsHz = None,
    units: Annotated[Units | None, typer.Option()] = None,
    leads: Leads = None,
    missing_leads: Annotated[MissingLeads, typer.Option()] = MissingLeads.REFUSE,
    model: Annotated[str | None, typer.Option(help="Without --server: what to load.")] = None,
) -> None:
    """The model's predictions for each file, with quality, beats and rhythm."""
    if server is not None and model is not None:
        raise typer.BadParameter("--model is loaded here, --server has its own: give one of them")
    query = {"fs_hz": fs_hz, "units": units, "leads": leads, "missing_leads": missing_leads}
    _answer_files("predict", files, query, server=server, as_json=as_json, model=model)


@app.command()
def analyze(
    files: Files,
    server: Server = None,
    as_json: Lines = False,
    fs_hz: FsHz = None,
    units: Annotated[Units | None, typer.Option()] = None,
    leads: Leads = None,
) -> None:
    """Quality, beats and rhythm of each file; no model is asked."""
    query = {"fs_hz": fs_hz, "units": units, "leads": leads}
    _answer_files("analyze", files, query, server=server, as_json=as_json, model=None)


def main() -> None:
    """Entry point of `ecg-serve`; usage errors exit with 2."""
    app()


def _absolute(model: str) -> str:
    """A local path as replicas can read it, whose working directory is another."""
    if model == "demo" or model.startswith("hf:"):
        return model
    return str(Path(model).expanduser().resolve())


def _answer_files(
    what: str,
    files: Sequence[Path],
    query: dict[str, Any],
    *,
    server: str | None,
    as_json: bool,
    model: str | None,
) -> None:
    """Answer for every file; a bad one never keeps the others from theirs."""
    failed = False
    with _errors_told(), _asker(what, query, server, model) as ask:
        for path in tracked(files):
            try:
                result = ask(path)
            except EcgServeError as error:
                failed = True
                _print_error(path, error, as_json=as_json)
            else:
                _print_result(path, result, as_json=as_json)
    raise typer.Exit(1 if failed else 0)


@contextmanager
def _asker(
    what: str, query: dict[str, Any], server: str | None, model: str | None
) -> Iterator[Callable[[Path], Result]]:
    if server is not None:
        with Client(server) as client, retries_told(tell):
            ask_server = client.predict if what == "predict" else client.analyze
            yield lambda path: ask_server(_upload(path), **query)
        return
    settings = load_settings(model=model)
    if what == "predict":
        fetch_model(settings)
    # The engine loads with the first prediction; analysis never waits for torch.
    pipeline = Pipeline(settings, InProcessModel(partial(load_engine, settings)))
    with asyncio.Runner() as runner:
        yield lambda path: runner.run(_ask_here(pipeline, what, path, query))


async def _ask_here(pipeline: Pipeline, what: str, path: Path, query: dict[str, Any]) -> Result:
    upload = _upload(path)
    hints = given_hints(query["fs_hz"], query["units"], query["leads"])
    if what == "analyze":
        return await pipeline.analyze(upload, hints=hints)
    options = Options(missing_leads=query["missing_leads"])
    return await pipeline.predict(upload, hints=hints, options=options)


def _upload(path: Path) -> Upload:
    try:
        return Upload(read_path(path, Limits()))
    except OSError as error:
        raise NotFound(
            f"The file cannot be read: {error.strerror}.", hint="Check the path."
        ) from error


def _print_result(path: Path, result: Result, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"file": str(path), "result": result.to_dict()}) + "\n")
        return
    rate = result.analysis.heart_rate_bpm if result.analysis else None
    facts = [
        f"{result.recording.format}, {len(result.recording.leads)} leads, "
        f"{result.recording.duration_s:.1f} s",
        f"heart rate {rate:.0f} bpm" if rate is not None else "heart rate not measurable",
        f"quality {result.quality.score:.2f}",
    ]
    _out.print(f"[bold]{escape(str(path))}[/]: {'; '.join(facts)}")
    if not result.quality.acceptable:
        _out.print("  [yellow]the quality is not acceptable: do not rely on what follows[/]")
    for anomaly in result.analysis.anomalies if result.analysis else []:
        _out.print(f"  {anomaly.kind} {anomaly.start_s:.1f}-{anomaly.end_s:.1f} s")
    for prediction in sorted(result.predictions, key=lambda each: -each.probability):
        mark = "+" if prediction.positive else " "
        _out.print(f"  {mark} {prediction.probability:.3f}  {prediction.label}")
    if result.model and result.model.demo:
        _out.print(
            "  [yellow]demo model: trained on simulated recordings and a few public ones, "
            "for demonstration only[/]"
        )


def _print_error(path: Path, error: EcgServeError, *, as_json: bool) -> None:
    hint = in_shell(error.hint)
    if error.extra.get("code", error.code) == PayloadTooLarge.code:
        hint += " `ecg-serve follow` takes recordings of a day or a week."
    if as_json:
        problem = {"code": error.code, "detail": error.detail, **error.extra, "hint": hint}
        sys.stdout.write(json.dumps({"file": str(path), "error": problem}) + "\n")
        return
    _told.print(f"[red]{escape(str(path))}:[/] {escape(error.detail)} {escape(hint)}")


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except EcgServeError as error:
        told = f"{error.detail}\n{in_shell(error.hint)}"
        _told.print(f"[red]{error.title}:[/] {escape(told)}")
        raise typer.Exit(2) from error
