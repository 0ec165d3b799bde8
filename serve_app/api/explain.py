"""POST /v1/explain: what the model looked at."""

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from serve_app.api.examples import PREDICT_EXAMPLE
from serve_app.api.routes import (
    _BINARY,
    _JSON,
    _NPY,
    _PRIVATE,
    _PROBLEMS,
    MODEL_HEADERS,
    ModelQuery,
    _body,
    _json_or_npy,
    _Services,
    _Upload,
)
from serve_app.engine.explaining import MOST_STEPS, Method, Wish
from serve_app.explanations import Explanation

__all__ = ["EXPLAIN_HEADERS", "explain_router"]

EXPLAIN_HEADERS: Final = ("X-Explain-Label",)


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
        None, ge=1, le=MOST_STEPS, description="Of integrated gradients; 16 unless given."
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
    responses=_PROBLEMS
    | {
        200: {
            "description": "JSON, or a float32 array: (segments, tokens) of attention, else "
            "(segments, 12, bins).",
            "content": {_NPY: _BINARY},
            "headers": {
                name: {"schema": {"type": "string"}, "description": f"With {_NPY}."}
                for name in (*MODEL_HEADERS, *EXPLAIN_HEADERS)
            },
        },
        501: {**_PROBLEMS[503], "description": "Gradients need captum, which is not installed."},
    },
    openapi_extra=_body(PREDICT_EXAMPLE),
    summary="What the model looked at",
)
async def explain(
    request: Request,
    services: _Services,
    media_type: Annotated[str, Depends(_json_or_npy)],
    query: Annotated[ExplainQuery, Query()],
    wish: Annotated[Wish, Depends(_wish)],
    upload: _Upload,
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
    headers = {**_PRIVATE, "Vary": "Accept"}
    if media_type == _JSON:
        return Response(found.to_json(), headers=headers, media_type=_JSON)
    told = (found.model.name, found.model.revision, found.label or "")
    names = (*MODEL_HEADERS, *EXPLAIN_HEADERS)
    # Quoted, since a model is named after its folder, and headers are ASCII.
    headers |= {name: quote(text, safe="/:@") for name, text in zip(names, told, strict=True)}
    return Response(found.to_npy(), headers=headers, media_type=_NPY)
