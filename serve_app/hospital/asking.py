"""Whom unattended recordings are brought to: a server, or the pipeline in this process."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from serve_app.client import NO_RETRIES, Client, ServerProblem
from serve_app.client.calls import HintsQuery
from serve_app.decoding import Hints, Upload
from serve_app.decoding.upload import NO_HINTS
from serve_app.engine.loading import fetch_model, load_engine
from serve_app.errors import EcgServeError, InvalidSignal, RecordingError, RequestError
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.results import Result
from serve_app.settings import load_settings

__all__ = ["Ask", "asker", "is_final", "predict_or_analyze"]

Ask = Callable[[Upload], Result]


@contextmanager
def asker(server: str | None, model: str | None = None, hints: Hints = NO_HINTS) -> Iterator[Ask]:
    """What answers one recording after the other, from one thread.

    A recording that the model cannot be asked about (leads missing, too short) gets the analysis of
    its signal, with ``"model": null``.

    Args:
        server: Its URL; None answers in this process.
        model: What to load in this process; None takes ECG_MODEL.
        hints: Given with every recording.

    Raises:
        SettingsError: Settings are at fault.
        CheckpointError: The model cannot be fetched.
    """
    if server is not None:
        # The queue tries again itself.
        with Client(server, retries=NO_RETRIES) as client:
            query: HintsQuery = {"fs_hz": hints.fs_hz, "units": hints.units, "leads": hints.leads}
            yield partial(
                predict_or_analyze,
                partial(client.predict, **query),
                partial(client.analyze, **query),
            )
        return
    settings = load_settings(model=model)
    fetch_model(settings)
    pipeline = Pipeline(settings, InProcessModel(partial(load_engine, settings)))
    with asyncio.Runner() as runner:
        yield partial(
            predict_or_analyze,
            lambda upload: runner.run(pipeline.predict(upload, hints=hints)),
            lambda upload: runner.run(pipeline.analyze(upload, hints=hints)),
        )


def is_final(error: EcgServeError) -> bool:
    """Whether the recording itself is at fault, so that asking again is of no use."""
    if isinstance(error, ServerProblem):
        status = int(error.problem.get("status") or 500)
        # 401 and 403 are the operator's to mend, 408 and 429 pass.
        return 400 <= status < 500 and status not in {401, 403, 408, 429}
    return isinstance(error, (RecordingError, RequestError))


def predict_or_analyze(predict: Ask, analyze: Ask, upload: Upload) -> Result:
    """The prediction, or the analysis alone of what is no signal for the model."""
    try:
        return predict(upload)
    except EcgServeError as error:
        if not _is_no_signal_for_the_model(error):
            raise
        return analyze(upload)


def _is_no_signal_for_the_model(error: EcgServeError) -> bool:
    if isinstance(error, ServerProblem):
        return error.problem.get("code") == InvalidSignal.code
    return isinstance(error, InvalidSignal)
