"""The paths, and what each takes and gives."""

from contextlib import suppress
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from serve_app.api.answering import Question, Worked, answer, timeout_s
from serve_app.api.declarations import (
    JSON,
    NDJSON,
    NPY,
    OF_READING,
    PROBLEMS,
    HintsQuery,
    ModelQuery,
    PredictQuery,
    Services,
    ServicesOf,
    UploadOf,
    answered_in,
    body_of,
    json_wanted,
    one_of,
    problems,
)
from serve_app.api.examples import ANALYZE_CSV, ANALYZE_EXAMPLE, PREDICT_EXAMPLE
from serve_app.api.representations import OF_ANALYSES, OF_PREDICTIONS, represent
from serve_app.engine.identity import is_revision
from serve_app.errors import ModelNotFound, Unavailable
from serve_app.pipeline import Answered
from serve_app.reporting import model_card
from serve_app.results import Embedding, ModelCard, Result

__all__ = ["metrics_router", "recordings_router", "router"]


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


def _shown(example: dict[str, Any]) -> dict[str, Any]:
    return {"description": "As told.", "content": {JSON: {"example": example}}}


_OF_MODELS: Final = OF_READING | problems(503)


router = APIRouter(dependencies=[Depends(json_wanted)])
recordings_router = APIRouter(tags=["Recordings"])


@recordings_router.post(
    "/v1/predict",
    response_model=Result,
    responses=PROBLEMS | problems(501) | answered_in((*OF_PREDICTIONS, NDJSON)),
    openapi_extra=body_of(PREDICT_EXAMPLE),
    summary="Ask the model about a recording",
)
async def predict(
    request: Request,
    services: ServicesOf,
    media_type: Annotated[str, Depends(one_of(*OF_PREDICTIONS, NDJSON))],
    query: Annotated[PredictQuery, Query()],
    upload: UploadOf,
) -> Response:
    """Predictions for a 12-lead recording of 5 s or more, with quality, beats and rhythm.

    `application/x-npy` holds the probabilities, `(segments, labels)` float32.
    """
    question = Question(upload, media_type, query.hints(), query.options())

    async def work() -> Worked:
        answered = await services.pipeline.predict_beside(
            upload,
            hints=question.hints,
            options=question.options,
            request_id=request.scope["request_id"],
            timeout_s=timeout_s(request),
        )
        return await _worked(services, answered, media_type)

    return await answer(request, services, question, work)


@recordings_router.post(
    "/v1/embed",
    response_model=Embedding,
    responses=PROBLEMS | answered_in((JSON, NPY)),
    openapi_extra=body_of(PREDICT_EXAMPLE),
    summary="The model's features of a recording",
)
async def embed(
    request: Request,
    services: ServicesOf,
    media_type: Annotated[str, Depends(one_of(JSON, NPY))],
    query: Annotated[ModelQuery, Query()],
    upload: UploadOf,
) -> Response:
    """Pooled features, for the recording and each 5 s of it; the signal is not analysed.

    `application/x-npy` holds the segments' features, `(segments, d)` float32.
    """
    question = Question(upload, media_type, query.hints(), query.options())

    async def work() -> Worked:
        found = await services.pipeline.embed(
            upload,
            hints=question.hints,
            options=question.options,
            request_id=request.scope["request_id"],
            timeout_s=timeout_s(request),
        )
        services.metrics.observe_result(found)
        body = found.to_json() if media_type == JSON else found.to_npy()
        return Worked(body, found.recording.sha256, found.model)

    return await answer(request, services, question, work)


@recordings_router.post(
    "/v1/analyze",
    response_model=Result,
    responses=PROBLEMS | problems(501) | answered_in((*OF_ANALYSES, NDJSON)),
    openapi_extra=body_of(ANALYZE_EXAMPLE, ANALYZE_CSV),
    summary="Analyse a recording's signal",
)
async def analyze(
    request: Request,
    services: ServicesOf,
    media_type: Annotated[str, Depends(one_of(*OF_ANALYSES, NDJSON))],
    query: Annotated[HintsQuery, Query()],
    upload: UploadOf,
) -> Response:
    """Quality, beats and rhythm of any recording, one lead or more; no model is asked."""
    question = Question(upload, media_type, query.hints())

    async def work() -> Worked:
        answered = await services.pipeline.analyze_beside(
            upload,
            hints=question.hints,
            request_id=request.scope["request_id"],
            timeout_s=timeout_s(request),
        )
        return await _worked(services, answered, media_type)

    return await answer(request, services, question, work)


async def _worked(services: Services, answered: Answered, media_type: str) -> Worked:
    result = answered.result
    services.metrics.observe_result(result)
    body = await represent(answered, media_type)
    return Worked(body, result.recording.sha256, result.model, complete=not result.degraded)


async def _cards(services: Services) -> list[ModelCard]:
    models = await services.pipeline.models()
    return [model_card(info, default=position == 0) for position, info in enumerate(models)]


@router.get("/v1/models", summary="What can be asked", responses=_OF_MODELS, tags=["Models"])
async def models(services: ServicesOf) -> Models:
    """Every model that `?model=` may name, the default first; some load when first asked."""
    return Models(models=await _cards(services))


@router.get(
    "/v1/models/{name:path}",
    summary="One model",
    responses=_OF_MODELS | problems(404),
    tags=["Models"],
)
async def model(
    services: ServicesOf,
    name: Annotated[str, Path(description="NAME or NAME@REVISION.", examples=["demo"])],
) -> ModelCard:
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


@router.get(
    "/livez",
    summary="Liveness",
    responses=OF_READING | {200: _shown({"status": "live"})},
    tags=["Operation"],
)
async def livez() -> Liveness:
    """The process answers."""
    return Liveness()


@router.get(
    "/readyz",
    summary="Readiness",
    responses=OF_READING
    | problems(503)
    | {200: _shown({"status": "ready", "model": "demo", "revision": "0123456789ab"})},
    tags=["Operation"],
)
async def readyz(services: ServicesOf) -> Readiness:
    """The default model is loaded and warm, or settings allow answers without it."""
    info = await services.pipeline.default_model()
    if info is None:
        return Readiness(status="degraded", model=None, revision=None)
    return Readiness(status="ready", model=info.name, revision=info.revision)


metrics_router = APIRouter()


@metrics_router.get(
    "/metrics",
    summary="Prometheus series of this replica",
    response_class=PlainTextResponse,
    responses=problems(400, 414, 431, 500),
    tags=["Operation"],
)
async def metrics(services: ServicesOf) -> Response:
    """In the Prometheus text format."""
    with suppress(Unavailable):  # what was last known of them stays
        services.metrics.observe_models(await services.pipeline.model_counts())
    return Response(services.metrics.exposition(), media_type=services.metrics.content_type)
