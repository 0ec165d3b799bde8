"""POST /v1/explain: what the model looked at."""

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from serve_app.api.declarations import (
    BINARY,
    JSON,
    MODEL_HEADERS,
    NPY,
    PRIVATE,
    PROBLEMS,
    ModelQuery,
    ServicesOf,
    UploadOf,
    body_of,
    json_or_npy,
    model_headers,
)
from serve_app.api.examples import PREDICT_EXAMPLE
from serve_app.engine.explaining import MOST_STEPS, Method, Wish
from serve_app.explanations import Explanation

__all__ = ["LABEL_HEADER", "explain_router"]

LABEL_HEADER: Final = "X-Explain-Label"


class ExplainQuery(ModelQuery):
    """How, and which label."""

    method: Method = Field(
        "attention",
        description="attention: of the last layer, a value a token; gradient and "
        "integrated_gradients: of a label's logit, per lead and time.",
    )
    label: str | None = Field(
        None, description="By default the one with the highest score.", max_length=200
    )
    steps: int | None = Field(
        None, ge=1, le=MOST_STEPS, description="Of integrated gradients, at most; 64 unless given."
    )
    resolution_ms: float | None = Field(
        None, gt=0, description="Time that one value of a gradient stands for; 20 unless given."
    )

    def wish(self) -> Wish:
        """For the pipeline; raises InvalidParameter where they do not go together."""
        return Wish(self.method, self.label, self.steps, self.resolution_ms)


async def _wish(query: Annotated[ExplainQuery, Query()]) -> Wish:
    return query.wish()


explain_router = APIRouter()


@explain_router.post(
    "/v1/explain",
    response_model=Explanation,
    responses=PROBLEMS
    | {
        200: {
            "description": "JSON, or a float32 array: (segments, tokens) of attention, else "
            "(segments, 12, bins).",
            "content": {NPY: BINARY},
            "headers": {
                name: {"schema": {"type": "string"}, "description": f"With {NPY}."}
                for name in (*MODEL_HEADERS, LABEL_HEADER)
            },
        },
        501: {**PROBLEMS[503], "description": "Gradients need captum, which is not installed."},
    },
    openapi_extra=body_of(PREDICT_EXAMPLE),
    summary="What the model looked at",
)
async def explain(
    request: Request,
    services: ServicesOf,
    media_type: Annotated[str, Depends(json_or_npy)],
    query: Annotated[ExplainQuery, Query()],
    wish: Annotated[Wish, Depends(_wish)],
    upload: UploadOf,
) -> Response:
    """Saliency of a recording of up to a minute, for each 5 s of it.

    It shows what moves the model, not what is so in the heart.
    """
    found = await services.pipeline.explain(
        upload,
        wish=wish,
        hints=query.hints(),
        options=query.options(),
        request_id=request.scope["request_id"],
    )
    services.metrics.observe_result(found)
    headers = {**PRIVATE, "Vary": "Accept"}
    if media_type == JSON:
        return Response(found.to_json(), headers=headers, media_type=JSON)
    headers |= model_headers(found.model) | {LABEL_HEADER: quote(found.label or "")}
    return Response(found.to_npy(), headers=headers, media_type=NPY)
