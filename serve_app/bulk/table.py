"""Answers as rows of a Parquet dataset, written so that a run can be taken up again.

The dataset is a folder of parts. A part appears whole or not at all, and a recording is in one part
only: whatever ends a run, the next one does what is not there yet.
"""

import json
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from serve_app.decoding.upload import NO_HINTS, Hints
from serve_app.errors import EcgServeError, InvalidParameter, NotInstalled
from serve_app.results import Result

__all__ = ["Job", "Parts", "make_table"]

_META: Final = b"ecg_fm_serve"
What = Literal["predict", "analyze"]


@dataclass(frozen=True)
class Job:
    """What is asked of every recording; parts of another job are not mixed with its own.

    Attributes:
        what: ``"predict"`` or ``"analyze"``.
        model_sha256: Of the weights; None where no model is asked.
        engine: As in settings, and so ``precision``.
        missing_leads: What the model is given for them.
        embedding: Whether the pooled features are stored.
        hints: Given with every recording.
    """

    what: What
    model_sha256: str | None = None
    engine: str | None = None
    precision: str | None = None
    missing_leads: str | None = None
    embedding: bool = False
    hints: Hints = NO_HINTS


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise NotInstalled(
            "Tables need pyarrow.", hint="pip install 'ecg-fm-serve[parquet]'"
        ) from error
    return pyarrow


def make_table(
    answers: Iterable[tuple[str, Result | EcgServeError]], labels: Sequence[str], job: Job
) -> Any:
    """A ``pyarrow.Table`` with a row an answer; its schema depends on `labels` and `job` alone.

    Args:
        answers: Paths, and what came of them.
        labels: Of the model, in the order of its outputs.
        job: What was asked.
    """
    return _pyarrow().Table.from_pylist(
        [_row(path, answer) for path, answer in answers], schema=_schema(labels, job)
    )


def _schema(labels: Sequence[str], job: Job) -> Any:
    arrow = _pyarrow()
    text, number, boolean = arrow.string(), arrow.float64(), arrow.bool_()
    fields = [("path", text), ("error_code", text), ("error_detail", text)]
    fields += [("format", text), ("fs_hz", number), ("duration_s", number)]
    fields += [("leads", arrow.list_(text)), ("recording_sha256", text)]
    fields += [("quality", number), ("acceptable", boolean), ("heart_rate_bpm", number)]
    fields += [("r_peaks_s", arrow.list_(number)), ("anomalies", arrow.list_(text))]
    if job.what == "predict":
        fields += [(f"model_{name}", text) for name in ("name", "revision", "precision", "engine")]
        fields += [("model_demo", boolean), ("unpredicted_s", number)]
        for label in labels:
            fields += [(f"probability.{label}", number), (f"calibrated.{label}", number)]
            fields += [(f"positive.{label}", boolean)]
    if job.embedding:
        fields += [("embedding", arrow.list_(arrow.float32()))]
    return arrow.schema(fields, metadata={_META: _meta(job)})


def _meta(job: Job) -> str:
    told = asdict(job)
    if job.hints == NO_HINTS:
        del told["hints"]  # tables from before there were hints can be added to
    return json.dumps(told)


def _row(path: str, answer: Result | EcgServeError) -> dict[str, Any]:
    if isinstance(answer, EcgServeError):
        return {"path": path, "error_code": answer.code, "error_detail": answer.detail}
    row = {
        "path": path,
        **{name: getattr(answer.recording, name) for name in ("format", "fs_hz", "duration_s")},
        "leads": answer.recording.leads,
        "unpredicted_s": answer.recording.unpredicted_s,
        "recording_sha256": answer.recording.sha256,
        "quality": answer.quality.score,
        "acceptable": answer.quality.acceptable,
        "embedding": answer.embedding,
    }
    if answer.analysis:
        row["heart_rate_bpm"] = answer.analysis.heart_rate_bpm
        row["r_peaks_s"] = answer.analysis.r_peaks_s
        row["anomalies"] = [each.kind for each in answer.analysis.anomalies]
    if answer.model:
        told = answer.model.model_dump(include={"name", "revision", "precision", "engine", "demo"})
        row |= {f"model_{name}": value for name, value in told.items()}
    for each in answer.predictions:
        row[f"probability.{each.label}"] = each.probability
        row[f"calibrated.{each.label}"] = each.calibrated_probability
        row[f"positive.{each.label}"] = each.positive
    return row


class Parts:
    """The parts of a dataset.

    Args:
        folder: Made if it is not there.
        job: What is asked of every recording.

    Raises:
        InvalidParameter: The folder holds the answers of another job, or is none.
        NotInstalled: pyarrow is missing.
    """

    def __init__(self, folder: Path, job: Job) -> None:
        self._folder, self._job = folder, job
        if folder.exists() and not folder.is_dir():
            raise InvalidParameter(
                "The table is written as a folder of parts, and a file has that name.",
                hint="Choose another name, or remove the file.",
            )
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(".*.tmp"):
            unfinished.unlink()
        self._parts = sorted(folder.glob("*.parquet"))

    def done(self) -> set[str]:
        """The paths that have their row already."""
        parquet = _pyarrow().parquet
        paths: set[str] = set()
        for part in self._parts:
            table = parquet.read_table(part, columns=["path"])
            kept = json.loads((table.schema.metadata or {}).get(_META, b"{}"))
            if kept != json.loads(_meta(self._job)):
                raise InvalidParameter(
                    "The table holds answers of another model or of other options.",
                    hint="Choose another name for the table, or remove it.",
                )
            paths.update(table.column("path").to_pylist())
        return paths

    def write(self, table: Any) -> None:
        """Add a part: it is there whole and on disk, or not at all."""
        name = f"part-{uuid.uuid4().hex}.parquet"
        unfinished = self._folder / f".{name}.tmp"
        _pyarrow().parquet.write_table(table, unfinished, compression="zstd")
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.rename(self._folder / name)
