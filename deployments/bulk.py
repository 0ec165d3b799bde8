"""Many recordings without HTTP: Ray Data over the same pipeline, on this machine or a cluster."""

import asyncio
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow

from deployments.ecg_fm import LocalModel
from serve_app.bulk.table import Job, Parts, make_table
from serve_app.decoding import Limits, Upload
from serve_app.decoding.paths import read_path
from serve_app.engine.registry import registry_of
from serve_app.errors import EcgServeError, NotFound
from serve_app.pipeline import Options, Pipeline
from serve_app.results import Result
from serve_app.settings import Settings

__all__ = ["answer_all"]

_BATCH: Final = 32
# What a run that is ended loses at most.
_ROWS_A_PART: Final = 2000
_SECONDS_A_PART: Final = 30.0
# A recording that kills its process would otherwise be tried for ever.
_TRIES: Final = 2


class Answering:
    """A worker: the pipeline with a model of its own, batches merged as in a replica.

    Args:
        settings: Model, engine, precision, limits.
        folder: Where paths start from.
        job: What is asked of every recording.
        options: Of each prediction.
    """

    def __init__(self, settings: Settings, folder: Path, job: Job, options: Options) -> None:
        self._folder, self._job, self._options = folder, job, options
        self._runner = asyncio.Runner()
        registry = registry_of(settings, None)
        self._labels: list[str] = []
        if job.what == "predict":
            registry.load_default()
            default = registry.default
            self._labels = [label.name for label in default.labels] if default else []
        self._pipeline = Pipeline(settings, LocalModel(registry, settings.max_batch_segments))

    def __call__(self, batch: dict[str, Any]) -> pyarrow.Table:
        """A row a path."""
        paths = [str(path) for path in batch["path"]]
        answers = self._runner.run(self._answers(paths))
        return make_table(zip(paths, answers, strict=True), self._labels, self._job)

    async def _answers(self, paths: list[str]) -> list[Result | EcgServeError]:
        return await asyncio.gather(*map(self._answer, paths))

    async def _answer(self, path: str) -> Result | EcgServeError:
        try:
            upload = await asyncio.to_thread(_read, self._folder / path)
            if self._job.what == "analyze":
                return await self._pipeline.analyze(upload, hints=self._job.hints)
            return await self._pipeline.predict(
                upload, hints=self._job.hints, options=self._options
            )
        except EcgServeError as error:
            return error


def _read(path: Path) -> Upload:
    try:
        return Upload(read_path(path, Limits()))
    except OSError as error:
        raise NotFound(f"The file cannot be read: {error.strerror}.") from error


def answer_all(
    settings: Settings,
    folder: Path,
    paths: Sequence[str],
    parts: Parts,
    job: Job,
    options: Options,
    told: Callable[[int, int], None],
) -> None:
    """Ask about every recording; rows go to `parts` as they come.

    Args:
        settings: Model, engine, precision; CPUs and GPUs of a worker.
        folder: Where paths start from; every node has to see it.
        paths: Of the recordings, without those that are done.
        parts: Where the rows go.
        job: What is asked.
        options: Of each prediction.
        told: Called with the recordings done since the last call, and how many of them failed.
    """
    import ray

    ray.init(
        address=os.environ.get("RAY_ADDRESS", "local"),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        waiting: list[pyarrow.Table] = []
        written_s = time.monotonic()
        for table in _tables(settings, folder, paths, job, options):
            told(table.num_rows, table.num_rows - table.column("error_code").null_count)
            waiting.append(table)
            is_old = time.monotonic() - written_s > _SECONDS_A_PART
            if is_old or sum(each.num_rows for each in waiting) >= _ROWS_A_PART:
                parts.write(pyarrow.concat_tables(waiting))
                waiting, written_s = [], time.monotonic()
        if waiting:
            parts.write(pyarrow.concat_tables(waiting))
    finally:
        ray.shutdown()


def _tables(
    settings: Settings, folder: Path, paths: Sequence[str], job: Job, options: Options
) -> Iterator[pyarrow.Table]:
    import ray.data
    from ray.util.annotations import RayDeprecationWarning

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # The batch of a recording that kills its workers gets no rows, and the others get theirs.
    context.max_errored_blocks = -1
    cpus = settings.model_cpus if job.what == "predict" else 1.0
    workers = max(1, int(ray.cluster_resources().get("CPU", 1) // cpus))

    # Bound here: arguments of its own would be kept apart, and be lost with the node they are on.
    class Worker(Answering):
        def __init__(self) -> None:
            super().__init__(settings, folder, job, options)

    rows = ray.data.from_items(
        [{"path": path} for path in paths],
        override_num_blocks=max(1, min(len(paths) // _BATCH, 16 * workers)),
    )
    with warnings.catch_warnings(category=RayDeprecationWarning, action="ignore"):
        # Deprecated without another way to say it.
        tries = {"max_task_retries": _TRIES}
        rows = rows.map_batches(
            Worker,
            batch_size=_BATCH,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
            num_cpus=cpus,
            num_gpus=settings.model_gpus,
            **tries,
        )
    yield from rows.iter_batches(batch_size=None, batch_format="pyarrow")
