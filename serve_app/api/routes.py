"""The paths, and what each takes and gives."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from serve_app.api.admission import Admission
from serve_app.api.bodies import read_upload
from serve_app.api.examples import ANALYZE_EXAMPLE, PREDICT_EXAMPLE
from serve_app.api.metrics import Metrics
from serve_app.api.negotiation import choose_media_type
from serve_app.api.problems import MEDIA_TYPE, Problem
from serve_app.decoding import Hints, Upload
from serve_app.engine.identity import is_revision
from serve_app.errors import ModelNotFound, Unavailable
from serve_app.pipeline import Options, Pipeline
from serve_app.reporting import model_card
from serve_app.results import Embedding, ModelCard, Result
from serve_app.settings import Settings

__all__ = ["MODEL_HEADERS", "Services", "embed_router", "metrics_router", "router"]

_JSON: Final = "application/json"
_NPY: Final = "application/x-npy"
# Which model answered, where the body is an array that cannot say it.
MODEL_HEADERS: Final = ("X-Model-Name", "X-Model-Revision", "X-Model-SHA256")


@dataclass(frozen=True)
class Services:
    """What the paths work with."""

    pipeline: Pipeline
    settings: Settings
    metrics: Metrics
    admission: Admission


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


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Readiness(BaseModel):
    """The default model is loaded and warm, or settings allow answers without it."""

    status: Literal["ready", "degraded"]
    model: str | None = Field(description="Null: recordings get their signal's analysis alone.")
    revision: str | None


class Models(BaseModel):
    """What can be asked."""

    models: list[ModelCard]


# Async, since FastAPI sends plain functions through a thread pool: half a millisecond each.
async def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101 - set by create_app
    return services


async def _json_wanted(request: Request) -> None:
    choose_media_type(request.headers, (_JSON,))


async def _json_or_npy(request: Request) -> str:
    return choose_media_type(request.headers, (_JSON, _NPY))


_Services = Annotated[Services, Depends(_services)]


async def _admitted(services: _Services) -> AsyncIterator[None]:
    with services.admission.enter():
        yield


async def _upload(
    request: Request, services: _Services, _place: Annotated[None, Depends(_admitted)]
) -> Upload:
    return await read_upload(request, services.settings)


_Upload = Annotated[Upload, Depends(_upload)]
_PRIVATE: Final = {"Cache-Control": "private, no-store"}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
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
router = APIRouter(dependencies=[Depends(_json_wanted)])
embed_router = APIRouter()


def _body(example: dict[str, Any]) -> dict[str, Any]:
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
        "application/octet-stream": _BINARY,
        "application/json": {"schema": schema, "example": example},
        "text/csv": _BINARY,
        "application/dicom": _BINARY,
        "application/zip": _BINARY,
        "application/x-npy": _BINARY,
        "multipart/form-data": {"schema": files},
    }
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/v1/predict",
    response_model=Result,
    responses=_PROBLEMS,
    openapi_extra=_body(PREDICT_EXAMPLE),
    summary="Ask the model about a recording",
)
async def predict(
    request: Request, services: _Services, query: Annotated[PredictQuery, Query()], upload: _Upload
) -> Response:
    """Predictions for a 12-lead recording of 5 s or more, with quality, beats and rhythm."""
    result = await services.pipeline.predict(
        upload,
        hints=query.hints(),
        options=query.options(),
        request_id=request.scope["request_id"],
    )
    return _answer(services, result)


@embed_router.post(
    "/v1/embed",
    response_model=Embedding,
    responses=_PROBLEMS
    | {
        200: {
            "description": "JSON, or of the segments' features a float32 array (segments, d).",
            "content": {_NPY: _BINARY},
            "headers": {
                name: {"schema": {"type": "string"}, "description": f"With {_NPY}."}
                for name in MODEL_HEADERS
            },
        }
    },
    openapi_extra=_body(PREDICT_EXAMPLE),
    summary="The model's features of a recording",
)
async def embed(
    request: Request,
    services: _Services,
    media_type: Annotated[str, Depends(_json_or_npy)],
    query: Annotated[ModelQuery, Query()],
    upload: _Upload,
) -> Response:
    """Pooled features, for the recording and each 5 s of it; the signal is not analysed."""
    embedding = await services.pipeline.embed(
        upload,
        hints=query.hints(),
        options=query.options(),
        request_id=request.scope["request_id"],
    )
    response = _answer(services, embedding) if media_type == _JSON else _npy(services, embedding)
    response.headers["Vary"] = "Accept"
    return response


@router.post(
    "/v1/analyze",
    response_model=Result,
    responses=_PROBLEMS,
    openapi_extra=_body(ANALYZE_EXAMPLE),
    summary="Analyse a recording's signal",
)
async def analyze(
    request: Request, services: _Services, query: Annotated[HintsQuery, Query()], upload: _Upload
) -> Response:
    """Quality, beats and rhythm of any recording, one lead or more; no model is asked."""
    result = await services.pipeline.analyze(
        upload, hints=query.hints(), request_id=request.scope["request_id"]
    )
    return _answer(services, result)


async def _cards(services: Services) -> list[ModelCard]:
    models = await services.pipeline.models()
    return [model_card(info, default=position == 0) for position, info in enumerate(models)]


@router.get("/v1/models", summary="What can be asked")
async def models(services: _Services) -> Models:
    """Every model that `?model=` may name, the default first; some load when first asked."""
    return Models(models=await _cards(services))


@router.get("/v1/models/{name:path}", summary="One model", responses={404: _PROBLEMS[400]})
async def model(services: _Services, name: str) -> ModelCard:
    """By NAME or NAME@REVISION: revision, sha256, source, precision, labels."""
    cards = await _cards(services)
    wanted, _, digits = name.rpartition("@")
    for card in cards:
        if card.name == name:
            return card
    for card in cards:
        if card.name == wanted and is_revision(digits, card.sha256, card.commit):
            return card
    raise ModelNotFound(f"Model {name[:200]!r} is not served here.")


@router.get("/livez", summary="Liveness")
async def livez() -> Liveness:
    """The process answers."""
    return Liveness()


@router.get("/readyz", summary="Readiness", responses={503: _PROBLEMS[503]})
async def readyz(services: _Services) -> Readiness:
    """The default model is loaded and warm, or settings allow answers without it."""
    info = await services.pipeline.default_model()
    if info is None:
        return Readiness(status="degraded", model=None, revision=None)
    return Readiness(status="ready", model=info.name, revision=info.revision)


def _answer(services: Services, result: Result | Embedding) -> Response:
    services.metrics.observe_result(result)
    return Response(result.to_json(), headers=dict(_PRIVATE), media_type=_JSON)


def _npy(services: Services, embedding: Embedding) -> Response:
    services.metrics.observe_result(embedding)
    # Quoted, since a model is named after its folder, and headers are ASCII.
    model = embedding.model
    told = [quote(text, safe="/:@") for text in (model.name, model.revision, model.sha256)]
    headers = {**_PRIVATE, **dict(zip(MODEL_HEADERS, told, strict=True))}
    return Response(embedding.to_npy(), headers=headers, media_type=_NPY)


metrics_router = APIRouter()


@metrics_router.get("/metrics", summary="Prometheus series of this replica")
async def metrics(services: _Services) -> Response:
    """In the Prometheus text format."""
    with suppress(Unavailable):  # what was last known of them stays
        services.metrics.observe_models(await services.pipeline.model_counts())
    return Response(services.metrics.exposition(), media_type=services.metrics.content_type)
