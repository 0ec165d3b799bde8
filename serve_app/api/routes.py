"""The paths, and what each takes and gives."""

from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from serve_app.api.declarations import (
    BINARY,
    JSON,
    MODEL_HEADERS,
    NPY,
    PRIVATE,
    PROBLEMS,
    HintsQuery,
    ModelQuery,
    PredictQuery,
    Services,
    ServicesOf,
    UploadOf,
    body_of,
    json_or_npy,
    json_wanted,
    model_headers,
)
from serve_app.api.examples import ANALYZE_EXAMPLE, PREDICT_EXAMPLE
from serve_app.api.long_recordings import NDJSON_ANSWER
from serve_app.engine.identity import is_revision
from serve_app.errors import ModelNotFound, Unavailable
from serve_app.reporting import model_card
from serve_app.results import Embedding, ModelCard, Result

__all__ = ["embed_router", "metrics_router", "router"]


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


router = APIRouter(dependencies=[Depends(json_wanted)])
embed_router = APIRouter()


@router.post(
    "/v1/predict",
    response_model=Result,
    responses=PROBLEMS | NDJSON_ANSWER,
    openapi_extra=body_of(PREDICT_EXAMPLE),
    summary="Ask the model about a recording",
)
async def predict(
    request: Request,
    services: ServicesOf,
    query: Annotated[PredictQuery, Query()],
    upload: UploadOf,
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
    responses=PROBLEMS
    | {
        200: {
            "description": "JSON, or of the segments' features a float32 array (segments, d).",
            "content": {NPY: BINARY},
            "headers": {
                name: {"schema": {"type": "string"}, "description": f"With {NPY}."}
                for name in MODEL_HEADERS
            },
        }
    },
    openapi_extra=body_of(PREDICT_EXAMPLE),
    summary="The model's features of a recording",
)
async def embed(
    request: Request,
    services: ServicesOf,
    media_type: Annotated[str, Depends(json_or_npy)],
    query: Annotated[ModelQuery, Query()],
    upload: UploadOf,
) -> Response:
    """Pooled features, for the recording and each 5 s of it; the signal is not analysed."""
    embedding = await services.pipeline.embed(
        upload,
        hints=query.hints(),
        options=query.options(),
        request_id=request.scope["request_id"],
    )
    response = _answer(services, embedding) if media_type == JSON else _npy(services, embedding)
    response.headers["Vary"] = "Accept"
    return response


@router.post(
    "/v1/analyze",
    response_model=Result,
    responses=PROBLEMS | NDJSON_ANSWER,
    openapi_extra=body_of(ANALYZE_EXAMPLE),
    summary="Analyse a recording's signal",
)
async def analyze(
    request: Request, services: ServicesOf, query: Annotated[HintsQuery, Query()], upload: UploadOf
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
async def models(services: ServicesOf) -> Models:
    """Every model that `?model=` may name, the default first; some load when first asked."""
    return Models(models=await _cards(services))


@router.get("/v1/models/{name:path}", summary="One model", responses={404: PROBLEMS[400]})
async def model(services: ServicesOf, name: str) -> ModelCard:
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


@router.get("/readyz", summary="Readiness", responses={503: PROBLEMS[503]})
async def readyz(services: ServicesOf) -> Readiness:
    """The default model is loaded and warm, or settings allow answers without it."""
    info = await services.pipeline.default_model()
    if info is None:
        return Readiness(status="degraded", model=None, revision=None)
    return Readiness(status="ready", model=info.name, revision=info.revision)


def _answer(services: Services, result: Result | Embedding) -> Response:
    services.metrics.observe_result(result)
    return Response(result.to_json(), headers=dict(PRIVATE), media_type=JSON)


def _npy(services: Services, embedding: Embedding) -> Response:
    services.metrics.observe_result(embedding)
    headers = {**PRIVATE, **model_headers(embedding.model)}
    return Response(embedding.to_npy(), headers=headers, media_type=NPY)


metrics_router = APIRouter()


@metrics_router.get("/metrics", summary="Prometheus series of this replica")
async def metrics(services: ServicesOf) -> Response:
    """In the Prometheus text format."""
    with suppress(Unavailable):  # what was last known of them stays
        services.metrics.observe_models(await services.pipeline.model_counts())
    return Response(services.metrics.exposition(), media_type=services.metrics.content_type)
