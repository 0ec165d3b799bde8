"""text/csv: predictions, or, where no model was asked, what the signal core measured."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from serve_app.recording import Recording
from serve_app.rendering.findings import NOT_REVIEWED
from serve_app.results import Analysis, Result

__all__ = ["render_csv"]

_Cell = str | float | bool | None
# What makes a spreadsheet take a cell for a formula.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_PREDICTION_COLUMNS: Final = (
    *("label", "probability", "calibrated_probability", "threshold", "positive", "noisy_label"),
    *("model", "model_revision", "model_sha256", "demo", "recording_sha256", "status"),
)
_MEASUREMENT_COLUMNS: Final = (
    *("kind", "name", "value", "unit", "start_s", "end_s"),
    *("recording_sha256", "status"),
)

# Names of measurements end in them.
_UNITS: Final = ("ms", "ms2", "s", "bpm", "mv", "deg")


def render_csv(result: Result, recording: Recording) -> bytes:
    """UTF-8 with a header line and CR LF (RFC 4180); each row names its recording.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    del recording
    if result.predictions:
        return _table(_PREDICTION_COLUMNS, _prediction_rows(result))
    return _table(_MEASUREMENT_COLUMNS, _measurement_rows(result))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[_Cell, ...]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _plain(cell: _Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return f"{cell:.9g}"
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _prediction_rows(result: Result) -> Iterator[tuple[_Cell, ...]]:
    model = result.model
    known = (model.name, model.revision, model.sha256, model.demo) if model else (None,) * 4
    for each in result.predictions:
        yield (
            each.label,
            each.probability,
            each.calibrated_probability,
            each.threshold,
            each.positive,
            each.noisy_label,
            *known,
            result.recording.sha256,
            NOT_REVIEWED,
        )


def _measurement_rows(result: Result) -> Iterator[tuple[_Cell, ...]]:
    for row in _measurements(result):
        yield (*row, result.recording.sha256, NOT_REVIEWED)


def _measurements(result: Result) -> Iterator[tuple[_Cell, ...]]:
    """kind, name, value, unit, start_s, end_s."""
    yield "quality", "recording", result.quality.score, "1", None, None
    for lead, quality in result.quality.leads.items():
        yield "quality", lead, quality.score, "1", None, None
    if result.analysis is not None:
        yield from _analysis_rows(result.analysis)


def _analysis_rows(analysis: Analysis) -> Iterator[tuple[_Cell, ...]]:
    yield "measurement", "heart_rate", analysis.heart_rate_bpm, "bpm", None, None
    for name, value in (analysis.intervals | analysis.hrv).items():
        yield "measurement", name, value, _unit(name), None, None
    for anomaly in analysis.anomalies:
        yield "anomaly", anomaly.kind, anomaly.severity, None, anomaly.start_s, anomaly.end_s
    intervals: list[float | None] = [None, *analysis.rr_intervals_ms]
    # Without beats there is not even the first one, which has no interval before it.
    for r_peak_s, rr_ms in zip(analysis.r_peaks_s, intervals, strict=False):
        yield "beat", "rr_interval", rr_ms, "ms", r_peak_s, None


def _unit(name: str) -> str | None:
    unit = name.rpartition("_")[2]
    return unit if unit in _UNITS else None
