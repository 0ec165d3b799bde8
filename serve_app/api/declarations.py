"""What the paths share: queries, dependencies, and the OpenAPI of bodies and problems."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from serve_app.api.admission import Admission
from serve_app.api.bodies import read_upload
from serve_app.api.description import RECORDING_SCHEMA
from serve_app.api.idempotency import AnsweredKeys
from serve_app.api.metrics import Metrics
from serve_app.api.negotiation import choose_media_type
from serve_app.api.oip_statistics import Statistics
from serve_app.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA
from serve_app.decoding import CONTENT_TYPES, Hints, Upload
from serve_app.decoding.batch import FILES_PER_RECORDING
from serve_app.pipeline import Options, Pipeline
from serve_app.results import ModelInfo
from serve_app.settings import Settings

__all__ = [
    "BINARY",
    "JSON",
    "MODEL_HEADERS",
    "NDJSON",
    "NPY",
    "OF_READING",
    "PRIVATE",
    "PROBLEMS",
    "BatchOf",
    "HintsQuery",
    "ModelQuery",
    "PredictQuery",
    "Services",
    "ServicesOf",
    "UploadOf",
    "answered_in",
    "batch_of",
    "body_of",
    "json_wanted",
    "model_headers",
    "one_of",
    "problems",
]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
NPY: Final = "application/x-npy"
# Which model answered, where the body is an array that cannot say it.
MODEL_HEADERS: Final = ("X-Model-Name", "X-Model-Revision", "X-Model-SHA256")


@dataclass(frozen=True)
class Services:
    """What the paths work with."""

    pipeline: Pipeline
    settings: Settings
    metrics: Metrics
    admission: Admission
    answered_keys: AnsweredKeys
    streams: Admission
    long_recordings: Admission
    statistics: Statistics = field(default_factory=Statistics)


class HintsQuery(BaseModel):
    """What a format may not say of itself."""

    model_config = ConfigDict(extra="forbid")

    fs_hz: float | None = Field(None, gt=0, allow_inf_nan=False, description="Samples a second.")
    units: Literal["mV", "uV"] | None = Field(None, description="Of the samples.")
    leads: str | None = Field(
        None, description="Names, comma-separated, in the order of the signals.", max_length=2000
    )

    def hints(self) -> Hints:
        """For the decoder."""
        names = [name.strip() for name in (self.leads or "").split(",")]
        return Hints(self.fs_hz, self.units, tuple(names) if self.leads else None)


class ModelQuery(HintsQuery):
    """Which model, and what it is given."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    missing_leads: Literal["refuse", "zero"] = Field(
        "refuse", description="zero: give the model zeros for missing leads, and say so."
    )
    model: str | None = Field(None, description="NAME or NAME@REVISION.", max_length=500)
    precision: str | None = Field(None, max_length=20)

    def options(self) -> Options:
        """For the pipeline."""
        return Options(missing_leads=self.missing_leads, model=self.model, precision=self.precision)


class PredictQuery(ModelQuery):
    """What may be asked besides."""

    analysis: bool = Field(True, description="Beats, rhythm and intervals too.")
    embedding: bool = Field(False, description="The pooled features too, mean over the segments.")

    def options(self) -> Options:
        """For the pipeline."""
        return replace(super().options(), analysis=self.analysis, embedding=self.embedding)


# Async, since FastAPI sends plain functions through a thread pool: half a millisecond each.
async def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101 - set by create_app
    return services


async def json_wanted(request: Request) -> None:
    """Refuse who takes no JSON."""
    choose_media_type(request.headers, (JSON,))


def one_of(*offered: str) -> Callable[[Request], Awaitable[str]]:
    """What depends on it gets the one of these media types that is wanted most, ours first."""

    async def choose(request: Request) -> str:
        return choose_media_type(request.headers, offered)

    return choose


ServicesOf = Annotated[Services, Depends(_services)]


async def _admitted(services: ServicesOf) -> AsyncIterator[None]:
    with services.admission.enter():
        yield


async def _upload(
    request: Request, services: ServicesOf, _place: Annotated[None, Depends(_admitted)]
) -> Upload:
    return await read_upload(request, services.settings)


async def _batch(
    request: Request, services: ServicesOf, _place: Annotated[None, Depends(_admitted)]
) -> Upload:
    most = services.settings.max_batch_recordings
    return await read_upload(request, services.settings, max_files=most * FILES_PER_RECORDING)


UploadOf = Annotated[Upload, Depends(_upload)]
BatchOf = Annotated[Upload, Depends(_batch)]
PRIVATE: Final = {"Cache-Control": "private, no-store"}
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_STATUSES: Final = {
    400: "The recording, a query parameter or a header is at fault.",
    404: "No such model.",
    406: "No answer in the media type asked for.",
    409: "A request with the same Idempotency-Key is being worked on.",
    413: "The body is too large, as sent or unpacked.",
    414: "Path and query are too long.",
    415: "Content-Type or Content-Encoding not read here.",
    422: "A JSON body breaks its schema, or the Idempotency-Key came with another request.",
    431: "The headers are too large.",
    500: "The server failed on this request.",
    501: "This needs a library that is not installed.",
    503: "Not now; Retry-After says when.",
    504: "No answer within the deadline.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI of these problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": PROBLEM_SCHEMA}}}
    retry = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        status: {
            "description": _STATUSES[status],
            "content": content,
            **({"headers": retry} if status == 503 else {}),
        }
        for status in statuses
    }


PROBLEMS: Final = problems(400, 404, 406, 409, 413, 414, 415, 422, 431, 500, 503, 504)
OF_READING: Final = problems(400, 406, 414, 431, 500)


_ANSWERED: Final = {
    False: "The answer.",
    True: "The answer; in NDJSON, of a recording of any length, a line `recording`, one `window` "
    "for each `window_s` (10 s), and a `summary`, or an `error` where it breaks off.",
}


def answered_in(media_types: Sequence[str], *headers: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI of the answer itself, and of what tells that it is known already.

    Args:
        media_types: It can be had in, JSON first, which is described by its model.
        headers: Further ones of the others.
    """
    told = "Which model answered, where the body cannot say it."
    described = {"ETag": "Of the answer, but for ids and times."} | dict.fromkeys(
        (*MODEL_HEADERS, *headers), told
    )
    return {
        200: {
            "description": _ANSWERED[NDJSON in media_types],
            "content": {kind: _schema_of(kind) for kind in media_types if kind != JSON},
            "headers": {
                name: {"schema": {"type": "string"}, "description": text}
                for name, text in described.items()
            },
        },
        304: {"description": "Nothing new: `If-None-Match` names the answer."},
    }


def _schema_of(media_type: str) -> dict[str, Any]:
    if media_type.endswith("+json"):
        return {"schema": {"type": "object"}}
    text = media_type.startswith("text/") or media_type.endswith("+xml")
    return {"schema": {"type": "string"}} if text else BINARY


def _parameters(*names: str) -> list[dict[str, str]]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def body_of(example: dict[str, Any], csv: str | None = None) -> dict[str, Any]:
    """The OpenAPI of a recording as a body, with examples as JSON and, if given, as CSV."""
    files = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
    content = dict.fromkeys(CONTENT_TYPES, BINARY) | {
        JSON: {"schema": RECORDING_SCHEMA, "example": example},
        "text/csv": {"schema": {"type": "string"}, **({"example": csv} if csv else {})},
        "multipart/form-data": {"schema": files},
    }
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": _parameters("Timeout", "IdempotencyKey", "IfNoneMatch"),
    }


def batch_of(example: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI of many recordings as a body, with an example of their JSON form."""
    files = {
        "type": "object",
        "properties": {
            "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
        },
    }
    content = {
        "application/json": {
            "schema": {"type": "array", "items": RECORDING_SCHEMA, "minItems": 1},
            "example": [example, example],
        },
        "application/zip": BINARY,
        "multipart/form-data": {"schema": files},
    }
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": _parameters("Timeout"),
    }


def model_headers(model: ModelInfo) -> dict[str, str]:
    """Which model answered; quoted, since one is named after its folder and headers are ASCII."""
    told = (model.name, model.revision, model.sha256)
    return {n: quote(text, safe="/:@") for n, text in zip(MODEL_HEADERS, told, strict=True)}
