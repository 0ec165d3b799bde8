"""What the models take and give as tensors of the Open Inference Protocol, over HTTP and gRPC."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from serve_app.api.declarations import ModelQuery, Services
from serve_app.api.oip_tensors import InferAnswer, InferRequest, Tensor
from serve_app.decoding import Hints, Limits, Upload
from serve_app.decoding.decoded import Decoded, to_recording
from serve_app.errors import (
    EcgServeError,
    InferenceTimeout,
    InvalidParameter,
    InvalidSignal,
    MissingParameter,
    ModelUnavailable,
)
from serve_app.model.labels import join_segments
from serve_app.recording import STANDARD_LEADS, Recording
from serve_app.reporting import Answer
from serve_app.results import Result

__all__ = ["INPUTS", "OUTPUTS", "Declared", "infer", "limits_of"]

# Name -> datatype and shape; "labels" and "features" are lengths that the model has.
Declared = Mapping[str, tuple[str, tuple[int | str, ...]]]
INPUTS: Final[Declared] = {
    "signal": ("FP32", (-1, -1, -1)),
    "recording": ("BYTES", (-1,)),
    "segments": ("FP32", (-1, 12, 2500)),
}
OUTPUTS: Final[Declared] = {
    "probabilities": ("FP32", (-1, "labels")),
    "segment_probabilities": ("FP32", (-1, "labels")),
    "segment_counts": ("INT32", (-1,)),
    "logits": ("FP32", (-1, "labels")),
    "embedding": ("FP32", (-1, "features")),
    "result": ("BYTES", (-1,)),
}
# What clients of the protocol send along for servers of other kinds.
_IGNORED: Final = frozenset(
    {
        *("binary_data_output", "binary_data_size", "content_type", "priority", "timeout"),
        *("sequence_id", "sequence_start", "sequence_end"),
    }
)
_OF_RECORDINGS: Final = frozenset({"fs_hz", "units", "leads", "missing_leads"})
_MAX_BATCH: Final = 1000
_AT_ONCE: Final = 8
# More samples than this are made a Recording beside the event loop.
_INLINE_SAMPLES: Final = 1 << 18

Sent = Upload | Recording


@dataclass(frozen=True, eq=False)
class _Item:
    """A row of the answer: what a recording, or a segment that was sent as such, got."""

    answer: Answer
    result: Result | None = None


def limits_of(services: Services) -> Limits:
    """How much a request may hold."""
    return Limits(max_unpacked_bytes=services.settings.max_unpacked_mb << 20)


async def infer(services: Services, request: InferRequest, request_id: str) -> InferAnswer:
    """Answer a request that has been admitted.

    Args:
        services: What the paths work with.
        request: From HTTP or gRPC.
        request_id: For the Result.

    Raises:
        InvalidParameter: Inputs, outputs or parameters that are not taken.
        EcgServeError: As ``Pipeline.predict``; of several recordings the one at fault is named.
    """
    tensor = _only_input(request)
    wanted = _wanted_outputs(request, tensor.name)
    query = _query(request, tensor)
    if tensor.name == "segments":
        segments = _segments(tensor)
        answer = await services.pipeline.score_segments(segments, query.options())
        items = _rows(answer)
    else:
        sent = await _recordings(tensor, query.hints(), limits_of(services), "result" in wanted)
        ask = _asker(services, query, request_id, "result" in wanted)
        items = await _ask_each(ask, sent, services.settings.request_timeout_s)
    return _answer(items, wanted)


def _only_input(request: InferRequest) -> Tensor:
    if len(request.inputs) != 1 or not request.inputs.keys() <= INPUTS.keys():
        named = ", ".join(sorted(name[:40] for name in request.inputs)[:5]) or "none"
        raise InvalidParameter(
            f"Inputs: {named}; exactly one of {', '.join(INPUTS)} is taken.",
            hint="signal: samples in mV; recording: bytes of a file; segments: prepared already.",
        )
    (tensor,) = request.inputs.values()
    if (tensor.datatype == "BYTES") != (INPUTS[tensor.name][0] == "BYTES"):
        raise InvalidParameter(
            f"Input {tensor.name!r} is {INPUTS[tensor.name][0]}, not {tensor.datatype}."
        )
    return tensor


def _wanted_outputs(request: InferRequest, input_name: str) -> tuple[str, ...]:
    offered = [name for name in OUTPUTS if name != "result" or input_name != "segments"]
    if request.outputs is None:
        return tuple(offered)
    unknown = [name for name in request.outputs if name not in offered]
    if unknown or len(set(request.outputs)) < len(request.outputs):
        what = f"{unknown[0][:40]!r} is none" if unknown else "one is named twice"
        raise InvalidParameter(
            f"Outputs: {what}; for the input {input_name!r} there are {', '.join(offered)}."
        )
    return request.outputs


def _query(request: InferRequest, tensor: Tensor) -> ModelQuery:
    """The parameters of request and tensor as those of /v1/predict; the tensor's count."""
    given = {**request.parameters, **tensor.parameters}
    said = {
        name: value
        for name, value in given.items()
        if name not in _IGNORED and not name.startswith("triton_")
    }
    if "model" in said:
        raise InvalidParameter("Parameter model: the path names the model.")
    needless = sorted(said.keys() & _OF_RECORDINGS) if tensor.name == "segments" else []
    if needless:
        raise InvalidParameter(f"Parameter {needless[0]}: segments are prepared already.")
    model = f"{request.model}@{request.version}" if request.version else request.model
    try:
        return ModelQuery.model_validate({**said, "model": model})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])[:40]
        raise InvalidParameter(
            f"Parameter {field}: {first['msg'].removeprefix('Value error, ')}.",
            hint="Known are fs_hz, units, leads, missing_leads and precision.",
        ) from None


def _segments(tensor: Tensor) -> npt.NDArray[np.float32]:
    values = _array(tensor)
    if values.dtype.kind != "f" or values.ndim != 3 or values.shape[1:] != (12, 2500):
        raise InvalidSignal(
            f"Segments must be numbers of floating point, (n, 12, 2500), not "
            f"{tensor.datatype} {list(tensor.shape)}."
        )
    if not len(values):
        raise InvalidSignal("The tensor holds no segment.")
    with np.errstate(over="ignore"):
        segments = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(segments).all():
        raise InvalidSignal("Segments hold values that are not finite.")
    return segments


def _rows(answer: Answer) -> list[_Item]:
    """Each segment for itself: what was sent as segments need not be of one recording."""
    return [
        _Item(Answer(answer.scores[i : i + 1], answer.model, *_times(answer, i)))
        for i in range(len(answer.scores.logits))
    ]


def _times(answer: Answer, row: int) -> tuple[float, float]:
    return (0.0, 0.0) if row else (answer.queue_ms, answer.inference_ms)


async def _recordings(
    tensor: Tensor, hints: Hints, limits: Limits, with_sha256: bool
) -> list[Sent]:
    if isinstance(tensor.values, tuple):
        uploads: list[Sent] = [Upload((("", item),)) for item in tensor.values]
        if not uploads:
            raise InvalidSignal("The tensor holds no recording.")
        return uploads
    if tensor.values.size <= _INLINE_SAMPLES:
        return _of_signals(tensor, hints, limits, with_sha256)
    return await asyncio.to_thread(_of_signals, tensor, hints, limits, with_sha256)


def _of_signals(tensor: Tensor, hints: Hints, limits: Limits, with_sha256: bool) -> list[Sent]:
    signals = _array(tensor)
    if signals.ndim == 2:
        signals = signals[np.newaxis]
    if signals.ndim != 3 or not 0 < len(signals) <= _MAX_BATCH:
        raise InvalidSignal(
            f"A signal must be (leads, samples) or (up to {_MAX_BATCH} recordings, leads, "
            f"samples), not {list(tensor.shape)}."
        )
    _refuse_unsaid(signals, hints)
    with np.errstate(over="ignore"):
        return [_recording(signal, hints, limits, with_sha256) for signal in signals]


def _recording(
    signal: npt.NDArray[Any], hints: Hints, limits: Limits, with_sha256: bool
) -> Recording:
    # Only a Result tells it, and it costs a third of what all else here does.
    sha256 = hashlib.sha256(signal.tobytes()).hexdigest() if with_sha256 else ""
    decoded = Decoded(signal, None, None, frozenset(), "tensor")
    return to_recording(decoded, hints, limits, sha256)


def _refuse_unsaid(signals: npt.NDArray[Any], hints: Hints) -> None:
    unsaid = {
        "fs_hz": hints.fs_hz is None,
        "units": hints.units is None and signals.dtype.kind == "i",
        "leads": hints.leads is None and signals.shape[1] != len(STANDARD_LEADS),
    }
    missing = [name for name, is_missing in unsaid.items() if is_missing]
    if missing:
        raise MissingParameter(
            f"The signal needs the parameter {', '.join(missing)}.",
            hint='Add, as it fits: "parameters": {"fs_hz": 500, "units": "mV", "leads": "I,II"}.',
            extra={"parameters": missing},
        )


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    assert isinstance(tensor.values, np.ndarray)  # noqa: S101 - _only_input has seen to it
    return tensor.values


def _asker(
    services: Services, query: ModelQuery, request_id: str, whole: bool
) -> Callable[[Sent], Awaitable[_Item]]:
    hints, options = query.hints(), query.options()

    async def score(sent: Sent) -> _Item:
        scored = await services.pipeline.score(sent, hints=hints, options=options)
        services.metrics.observe_result(scored)
        return _Item(scored.answer)

    async def predict(sent: Sent) -> _Item:
        answered = await services.pipeline.predict_beside(
            sent, hints=hints, options=options, request_id=request_id
        )
        services.metrics.observe_result(answered.result)
        if answered.answer is None:
            raise ModelUnavailable("The model does not answer.")
        return _Item(answered.answer, answered.result)

    return predict if whole else score


async def _ask_each(
    ask: Callable[[Sent], Awaitable[_Item]], sent: Sequence[Sent], deadline_s: float
) -> list[_Item]:
    if len(sent) == 1:
        return [await ask(sent[0])]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def ask_one(i: int, each: Sent) -> _Item:
        async with gate:
            try:
                return await ask(each)
            except EcgServeError as error:
                detail = f"Recording {i} of {len(sent)}: {error.detail}"
                raise type(error)(detail, error.hint, {**error.extra, "index": i}) from error

    tasks = [asyncio.ensure_future(ask_one(i, each)) for i, each in enumerate(sent)]
    try:
        async with asyncio.timeout(deadline_s):
            return await asyncio.gather(*tasks)
    except TimeoutError as error:
        raise InferenceTimeout(f"No answer within {deadline_s:g} s.") from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _answer(items: Sequence[_Item], wanted: Sequence[str]) -> InferAnswer:
    answers = [item.answer for item in items]
    model = answers[0].model
    if any(answer.model.sha256 != model.sha256 for answer in answers):
        raise ModelUnavailable("The model is being replaced.")
    return InferAnswer(
        model=model.name,
        version=model.revision,
        rows=len(items),
        outputs=tuple(_OUTPUT_OF[name](name, items) for name in wanted),
        # Of recordings that went side by side, often in one batch.
        queue_ms=max(answer.queue_ms for answer in answers),
        inference_ms=max(answer.inference_ms for answer in answers),
    )


def _probabilities(name: str, items: Sequence[_Item]) -> Tensor:
    joined = [
        join_segments(item.answer.scores.probabilities, item.answer.model.labels) for item in items
    ]
    return Tensor.of_array(name, np.stack(joined))


def _embedding(name: str, items: Sequence[_Item]) -> Tensor:
    means = [item.answer.scores.embeddings.mean(axis=0) for item in items]
    return Tensor.of_array(name, np.stack(means))


def _segment_probabilities(name: str, items: Sequence[_Item]) -> Tensor:
    rows = [item.answer.scores.probabilities for item in items]
    return Tensor.of_array(name, np.concatenate(rows))


def _logits(name: str, items: Sequence[_Item]) -> Tensor:
    return Tensor.of_array(name, np.concatenate([item.answer.scores.logits for item in items]))


def _segment_counts(name: str, items: Sequence[_Item]) -> Tensor:
    counts = [len(item.answer.scores.logits) for item in items]
    return Tensor.of_array(name, np.array(counts), "INT32")


def _results(name: str, items: Sequence[_Item]) -> Tensor:
    return Tensor.of_bytes(name, [item.result.to_json() for item in items if item.result])


_OUTPUT_OF: Final[Mapping[str, Callable[[str, Sequence[_Item]], Tensor]]] = {
    "probabilities": _probabilities,
    "segment_probabilities": _segment_probabilities,
    "segment_counts": _segment_counts,
    "logits": _logits,
    "embedding": _embedding,
    "result": _results,
}
