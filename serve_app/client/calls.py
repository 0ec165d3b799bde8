"""What is sent, and how answers are read; the clients send it, each in its own way."""

import io
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Literal, TypedDict, TypeVar

import httpx2
import numpy as np
import numpy.typing as npt

from serve_app.decoding import Limits, Upload
from serve_app.decoding.paths import read_path
from serve_app.errors import EcgServeError, NotFound, Unavailable
from serve_app.explanations import Explanation
from serve_app.recording import Recording
from serve_app.results import Embedding, ModelCard, Result

__all__ = [
    "BatchItem",
    "Call",
    "ExplainQuery",
    "FollowQuery",
    "HintsQuery",
    "ModelQuery",
    "PredictQuery",
    "Sent",
    "ServerProblem",
    "StreamStart",
    "backoff",
    "batch",
    "batch_item",
    "model",
    "models",
    "params",
    "problem_of",
    "read_embedding",
    "read_explanation",
    "read_result",
    "recording_call",
    "recording_options",
    "rendered",
    "unreachable",
]

_T = TypeVar("_T")
Sent = Upload | Recording | Path | str | bytes | npt.NDArray[Any]
_NPY: Final = "application/x-npy"
# Told to come back later, or that the same request is still under way. Not 504: the work was
# tried, and took too long.
_RETRIED: Final = (409, 429, 502, 503)


class HintsQuery(TypedDict, total=False):
    """What a format may not say: samples a second, ``"mV"`` or ``"uV"``, names of the leads."""

    fs_hz: float | None
    units: Literal["mV", "uV"] | None
    leads: tuple[str, ...] | list[str] | str | None


class ModelQuery(HintsQuery, total=False):
    """Which model, and what it is given for missing leads."""

    missing_leads: Literal["refuse", "zero"]
    model: str | None
    precision: str | None


class PredictQuery(ModelQuery, total=False):
    """What is wanted besides the predictions."""

    analysis: bool
    embedding: bool


class FollowQuery(ModelQuery, total=False):
    """How long a window is, seconds: a multiple of 5."""

    window_s: float | None


class ExplainQuery(ModelQuery, total=False):
    """How, and of which label."""

    method: Literal["attention", "gradient", "integrated_gradients"]
    label: str | None
    steps: int | None
    resolution_ms: float | None


class StreamStart(TypedDict, total=False):
    """How a live stream begins."""

    units: Literal["mV", "uV"]
    predictions: bool
    missing_leads: Literal["refuse", "zero"]
    model: str | None
    precision: str | None
    open_timeout_s: float


class ServerProblem(EcgServeError):
    """A problem that the server told; ``problem`` is its whole document."""

    title: ClassVar[str] = "The server told a problem"

    def __init__(self, problem: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        super().__init__(str(problem.get("detail", "No detail.")), problem.get("hint"), problem)
        self.args = (problem, retry_after_s)  # so that it survives pickling
        self.problem = dict(problem)
        self.retry_after_s = retry_after_s

    @property
    def http_status(self) -> int:
        """The HTTP status; 0 where the document does not say."""
        status = self.problem.get("status")
        return status if isinstance(status, int) else 0


@dataclass(frozen=True)
class BatchItem:
    """One line of a batch's answer: a result, or the problem in its place."""

    index: int
    name: str | None = None
    result: Result | None = None
    problem: dict[str, Any] | None = None


@dataclass(frozen=True)
class Call(Generic[_T]):
    """A request, and how its answer is read.

    Attributes:
        read: From the body of a successful answer.
        options: As ``httpx2.Client.request`` takes them: params, headers, content or files.
    """

    method: Literal["GET", "POST"]
    path: str
    read: Callable[[bytes], _T]
    options: dict[str, Any] = field(default_factory=dict)


def recording_call(
    path: str, sent: Sent, query: Mapping[str, object], read: Callable[[bytes], _T]
) -> Call[_T]:
    """POST of one recording."""
    options = recording_options(sent, query)
    # Made once for all tries: a server that has answered already need not do so again.
    options["headers"] |= {"Idempotency-Key": uuid.uuid4().hex}
    return Call("POST", path, read, options)


def recording_options(sent: Sent, query: Mapping[str, object]) -> dict[str, Any]:
    """Body, headers and parameters of one recording."""
    upload, said = _upload(sent)
    return {**_body(upload), "params": params({**said, **query})}


def rendered(
    what: Literal["predict", "analyze"], sent: Sent, media_type: str, query: Mapping[str, object]
) -> Call[bytes]:
    """The answer in another form, as it came."""
    call = recording_call(f"/v1/{what}", sent, query, bytes)
    call.options["headers"] |= {"Accept": media_type}
    return call


def batch(sent: list[Sent], query: Mapping[str, object]) -> Call[bytes]:
    """POST of many recordings; WFDB records keep their files together by their base names."""
    files = []
    for index, one in enumerate(sent):
        upload, said = _upload(one)
        if said:
            raise TypeError("arrays have no place in a batch: send files, or ask for each alone")
        files += [("file", (name or f"{index}", content)) for name, content in upload.files]
    return Call("POST", "/v1/predict:batch", bytes, {"params": params(query), "files": files})


def batch_item(line: str) -> BatchItem:
    """One line of the answer."""
    told = json.loads(line)
    result = told.get("result")
    return BatchItem(
        told["index"],
        told.get("name"),
        None if result is None else Result.model_validate(result),
        told.get("error"),
    )


def models() -> Call[list[ModelCard]]:
    """GET of all models."""
    return Call(
        "GET",
        "/v1/models",
        lambda body: [ModelCard.model_validate(card) for card in json.loads(body)["models"]],
    )


def model(name: str) -> Call[ModelCard]:
    """GET of one model."""
    return Call("GET", f"/v1/models/{name}", ModelCard.model_validate_json)


read_result: Final = Result.model_validate_json
read_embedding: Final = Embedding.model_validate_json
read_explanation: Final = Explanation.model_validate_json


def params(query: Mapping[str, object]) -> dict[str, str]:
    """As they stand in the address; None: not at all."""
    return {name: _text(value) for name, value in query.items() if value is not None}


def problem_of(response: httpx2.Response) -> ServerProblem:
    """The problem that an answer tells, whoever on the way wrote it."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"HTTP status {response.status_code}."}
    wait = response.headers.get("retry-after", "")
    return ServerProblem(
        {"status": response.status_code, **problem}, float(wait) if wait.isdigit() else None
    )


def unreachable(error: httpx2.TransportError) -> Unavailable:
    """The error for a server that does not answer."""
    return Unavailable(
        f"The server cannot be reached ({type(error).__name__}).", hint="Is it running?"
    )


def backoff(error: Exception) -> bool | float:
    """Whether to ask again, and where the server said so, after how many seconds.

    Each endpoint is pure, so that asking twice does no harm.
    """
    if isinstance(error, ServerProblem):
        asked_again = error.http_status in _RETRIED
        return error.retry_after_s if asked_again and error.retry_after_s else asked_again
    return isinstance(error, httpx2.TransportError) and not isinstance(
        error, (httpx2.UnsupportedProtocol, httpx2.ReadTimeout)
    )


def _upload(sent: Sent) -> tuple[Upload, dict[str, object]]:
    """What is sent, and what has to be said of it."""
    if isinstance(sent, Upload):
        return sent, {}
    if isinstance(sent, bytes):
        return Upload((("", sent),)), {}
    if isinstance(sent, Recording):
        said = {"fs_hz": sent.fs_hz, "leads": sent.leads, "units": "mV"}
        return _npy_upload(sent.signal_mv), said
    if isinstance(sent, np.ndarray):
        return _npy_upload(sent), {"units": "mV"}
    try:
        return Upload(read_path(Path(sent), Limits())), {}
    except OSError as error:
        raise NotFound(
            f"The file cannot be read: {error.strerror}.", hint="Check the path."
        ) from error


def _npy_upload(signal: npt.NDArray[Any]) -> Upload:
    file = io.BytesIO()
    np.save(file, signal, allow_pickle=False)
    return Upload((("", file.getvalue()),), _NPY)


def _body(upload: Upload) -> dict[str, Any]:
    if len(upload.files) > 1:
        return {"files": [("file", file) for file in upload.files], "headers": {}}
    return {"content": upload.files[0][1], "headers": {"Content-Type": upload.content_type}}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
