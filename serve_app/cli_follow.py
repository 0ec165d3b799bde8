"""`ecg-serve follow`: recordings of a day or a week, window by window.

Exit codes: 0 done, 1 some recording failed (the others are done), 2 a wrong call.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

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
from serve_app.cli_output import progress_bars, tell, tell_error
from serve_app.client import Client
from serve_app.client.retries import retries_told
from serve_app.decoding import Hints
from serve_app.engine.loading import fetch_model, load_engine
from serve_app.errors import EcgServeError
from serve_app.pipeline import InProcessModel, Options, Pipeline
from serve_app.preprocessing import SEGMENT_S
from serve_app.settings import Settings, load_settings
from serve_app.streaming.lines import AnyLine, RecordingLine, RhythmSummary, SummaryLine
from serve_app.wording import in_shell

__all__ = ["follow"]

_LinesOf = Callable[[Path], Generator[AnyLine, None, None]]
_DAY_H: Final = 24
# Whoever waits at a terminal ends it himself; one who reads on in `less` is no slow model.
_NO_DEADLINE_S: Final = 24 * 3600.0


def follow(
    files: Files,
    server: Server = None,
    analyze: Annotated[
        bool, typer.Option("--analyze", help="No model: quality, beats, rhythm.")
    ] = False,
    window_s: Annotated[
        float | None, typer.Option(min=5, max=300, help="Of a window, a multiple of 5 [10].")
    ] = None,
    fs_hz: FsHz = None,
    units: Annotated[Units | None, typer.Option()] = None,
    leads: Leads = None,
    missing_leads: Annotated[MissingLeads, typer.Option()] = MissingLeads.REFUSE,
    model: Annotated[str | None, typer.Option(help="Without --server: what to load.")] = None,
    as_json: Lines = False,
) -> None:
    """Recordings of any length: the model's predictions by windows, beats and rhythm of the whole.

    Of each a few minutes are in memory at a time.
    """
    if model is not None and (server is not None or analyze):
        raise typer.BadParameter("--model is loaded here: not with --server, nor with --analyze")
    if window_s and window_s % SEGMENT_S:
        raise typer.BadParameter("--window-s must be a multiple of 5")
    hints = {"fs_hz": fs_hz, "units": units, "leads": leads}
    options = None if analyze else Options(missing_leads=missing_leads.value)
    try:
        with _follower(server, model, hints, options, window_s) as lines_of:
            told = [_tell(path, lines_of(path), as_json=as_json) for path in files]
    except EcgServeError as error:
        tell_error(error, as_json)
        raise typer.Exit(2) from error
    raise typer.Exit(0 if all(told) else 1)


@contextmanager
def _follower(
    server: str | None,
    model: str | None,
    hints: dict[str, Any],
    options: Options | None,
    window_s: float | None,
) -> Iterator[_LinesOf]:
    """What gives the lines of one recording after the other."""
    if server is not None:
        wanted = {"missing_leads": options.missing_leads} if options else {}
        query = {**hints, **wanted, "window_s": window_s}
        with Client(server) as client, retries_told(tell):
            yield lambda path: client.follow("predict" if options else "analyze", path, **query)
        return
    settings = load_settings(model=model)
    if options:
        fetch_model(settings)
    patient = settings.model_copy(update={"request_timeout_s": _NO_DEADLINE_S})
    pipeline = Pipeline(patient, InProcessModel(partial(load_engine, settings)))
    given = given_hints(**hints)
    with asyncio.Runner() as runner:
        yield partial(_lines_here, runner, settings, pipeline, given, options, window_s)


def _lines_here(
    runner: asyncio.Runner,
    settings: Settings,
    pipeline: Pipeline,
    hints: Hints,
    options: Options | None,
    window_s: float | None,
    path: Path,
) -> Generator[AnyLine, None, None]:
    # Imported here: no other command waits for them.
    from serve_app.streaming.following import WINDOW_S, follow
    from serve_app.streaming.source import open_path

    with open_path(path, settings, hints) as recording:
        lines = follow(recording, pipeline, options=options, window_s=window_s or WINDOW_S)
        try:
            while (line := runner.run(_next(lines))) is not None:
                yield line
        finally:
            runner.run(_close(lines))


async def _next(lines: AsyncGenerator[AnyLine, None]) -> AnyLine | None:
    return await anext(lines, None)


async def _close(lines: AsyncGenerator[AnyLine, None]) -> None:
    await lines.aclose()


def _tell(path: Path, lines: Generator[AnyLine, None, None], *, as_json: bool) -> bool:
    """Whether the recording was answered to its end."""
    try:
        with closing(lines), progress_bars() as progress:
            bar = progress.add_task(path.name, total=None)
            for line in lines:
                if as_json:
                    _write(path, line.to_dict())
                if isinstance(line, RecordingLine):
                    first = line
                    progress.update(bar, total=line.windows)
                elif isinstance(line, SummaryLine):
                    last = line
                else:
                    progress.advance(bar)
    except EcgServeError as error:
        if as_json:
            problem = {"code": error.code, "detail": error.detail, **error.extra}
            _write(path, {**problem, "hint": in_shell(error.hint), "type": "error"})
        else:
            typer.echo(f"{path}: {error.detail} {in_shell(error.hint)}", err=True)
        return False
    if not as_json:
        typer.echo("\n  ".join([f"{path}: {_opening(first)}", *_findings(first, last)]))
    return True


def _write(path: Path, line: dict[str, Any]) -> None:
    # Each at once: whoever reads from a pipe follows as well.
    sys.stdout.write(json.dumps({"file": str(path), **line}) + "\n")
    sys.stdout.flush()


def _opening(first: RecordingLine) -> str:
    known = first.recording
    leads = f"{len(known.leads)} lead{'s' if len(known.leads) > 1 else ''}"
    return f"{known.format}, {leads}, {known.fs_hz:g} Hz, {_clock(known.duration_s)}"


def _findings(first: RecordingLine, last: SummaryLine) -> Iterator[str]:
    yield (
        f"quality acceptable in {last.windows_acceptable} of {last.windows} windows "
        f"of {first.window_s:g} s"
    )
    yield from _rhythm(last.rhythm)
    if first.model or last.windows_predicted or last.degraded:
        yield from _predictions(first, last)
    if first.model and first.model.demo:
        yield (
            "demo model: trained on simulated recordings and a few public ones, "
            "for demonstration only"
        )


def _rhythm(rhythm: RhythmSummary) -> Iterator[str]:
    rate = rhythm.heart_rate
    told = (
        f"heart rate {_bpm(rate.mean_bpm)} bpm, minutes from {_bpm(rate.min_bpm)} to "
        f"{_bpm(rate.max_bpm)}"
        if rate.mean_bpm is not None
        else "heart rate not measurable"
    )
    yield f"{told}; {rhythm.beats} beats, {_clock(rhythm.measured_s)} measured"
    hours = [_bpm(hour.mean_bpm) for hour in rhythm.heart_rate_by_hour]
    if len(hours) > 1:
        for start in range(0, len(hours), _DAY_H):
            yield f"by hour, from {start} h: {' '.join(hours[start : start + _DAY_H])}"
    counts = sorted(rhythm.anomaly_counts.items(), key=lambda each: -each[1])
    found = [f"{count} {kind}" for kind, count in counts if count]
    yield f"anomalies: {', '.join(found) or 'none'}"


def _predictions(first: RecordingLine, last: SummaryLine) -> Iterator[str]:
    reasons = [f"{count} {why}" for why, count in last.windows_not_predicted.items()]
    but = f"; not: {', '.join(reasons)}" if reasons else ""
    yield f"{last.windows_predicted} of {last.windows} windows predicted{but}"
    if zeros := first.recording.zero_filled_leads:
        yield f"the model was given zeros for {', '.join(zeros)}"
    burdens = {each.label: each.fraction for each in last.burden}
    for each in sorted(last.predictions, key=lambda one: -one.probability):
        mark = "+" if each.positive else " "
        share = f"positive in {burdens[each.label]:4.0%} of them"
        yield f"{mark} {each.probability:.3f}  {share}  {each.label}"


def _bpm(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.0f}"


def _clock(duration_s: float) -> str:
    minutes, seconds = divmod(round(duration_s), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
