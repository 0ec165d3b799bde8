"""What the paths share: queries, dependencies, and the OpenAPI of bodies and problems."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from serve_app.api.admission import Admission
from serve_app.api.bodies import read_upload
from serve_app.api.metrics import Metrics
from serve_app.api.negotiation import choose_media_type
from serve_app.api.problems import MEDIA_TYPE, Problem
from serve_app.decoding import Hints, Upload
from serve_app.pipeline import Options, Pipeline
from serve_app.results import ModelInfo
from serve_app.settings import Settings

__all__ = [
    "BINARY",
    "JSON",
    "MODEL_HEADERS",
    "NPY",
    "PRIVATE",
    "PROBLEMS",
    "HintsQuery",
    "ModelQuery",
    "PredictQuery",
    "Services",
    "ServicesOf",
    "UploadOf",
    "body_of",
    "json_or_npy",
    "json_wanted",
    "model_headers",
]

JSON: Final = "application/json"
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
    streams: Admission
    long_recordings: Admission


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


async def json_or_npy(request: Request) -> str:
    """Which of the two is taken rather."""
    return choose_media_type(request.headers, (JSON, NPY))


ServicesOf = Annotated[Services, Depends(_services)]


async def _admitted(services: ServicesOf) -> AsyncIterator[None]:
    with services.admission.enter():
        yield


async def _upload(
    request: Request, services: ServicesOf, _place: Annotated[None, Depends(_admitted)]
) -> Upload:
    return await read_upload(request, services.settings)


UploadOf = Annotated[Upload, Depends(_upload)]
PRIVATE: Final = {"Cache-Control": "private, no-store"}
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, text in {
        400: "The recording or the query is at fault.",
        406: "No answer in the media type asked for.",
        413: "The body is too large, as sent or unpacked.",
        415: "Content-Type or Content-Encoding not read here.",
        422: "A JSON body breaks its schema.",
        503: "Not now; Retry-After says when.",
        504: "No answer within the deadline.",
    }.items()
}


def body_of(example: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI of a recording as a body, with an example of its JSON form."""
    schema = {
        "type": "object",
        "required": ["fs_hz"],
        "properties": {
            "fs_hz": {"type": "number", "exclusiveMinimum": 0},
            "units": {"enum": ["mV", "uV"]},
            "leads": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": "number"}},
            },
            "lead_names": {"type": "array", "items": {"type": "string"}},
            "signal": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number"}},
            },
        },
    }
    files = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
    content = {
        "application/octet-stream": BINARY,
        "application/json": {"schema": schema, "example": example},
        "text/csv": BINARY,
        "application/dicom": BINARY,
        "application/zip": BINARY,
        "application/x-npy": BINARY,
        "multipart/form-data": {"schema": files},
    }
    return {"requestBody": {"required": True, "content": content}}


def model_headers(model: ModelInfo) -> dict[str, str]:
    """Which model answered; quoted, since one is named after its folder and headers are ASCII."""
    told = (model.name, model.revision, model.sha256)
    return {n: quote(text, safe="/:@") for n, text in zip(MODEL_HEADERS, told, strict=True)}
