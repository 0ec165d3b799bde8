"""POST /v1/explain: what the model looked at."""

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from serve_app.api.answering import Question, Worked, answer, timeout_s
from serve_app.api.declarations import (
    JSON,
    NPY,
    PROBLEMS,
    ModelQuery,
    ServicesOf,
    UploadOf,
    answered_in,
    body_of,
    one_of,
    problems,
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


explain_router = APIRouter(tags=["Recordings"])


@explain_router.post(
    "/v1/explain",
    response_model=Explanation,
    responses=PROBLEMS | problems(501) | answered_in((JSON, NPY), LABEL_HEADER),
    openapi_extra=body_of(PREDICT_EXAMPLE),
    summary="What the model looked at",
)
async def explain(
    request: Request,
    services: ServicesOf,
    media_type: Annotated[str, Depends(one_of(JSON, NPY))],
    query: Annotated[ExplainQuery, Query()],
    wish: Annotated[Wish, Depends(_wish)],
    upload: UploadOf,
) -> Response:
    """Saliency of a recording of up to a minute, for each 5 s of it.

    It shows what moves the model, not what is so in the heart. `application/x-npy` holds float32:
    `(segments, tokens)` of attention, else `(segments, 12, bins)`.
    """
    question = Question(upload, media_type, query.hints(), query.options(), wish)

    async def work() -> Worked:
        found = await services.pipeline.explain(
            upload,
            wish=wish,
            hints=question.hints,
            options=question.options,
            request_id=request.scope["request_id"],
            timeout_s=timeout_s(request),
        )
        services.metrics.observe_result(found)
        sha256 = found.recording.sha256
        if media_type == JSON:
            return Worked(found.to_json(), sha256, found.model)
        headers = {LABEL_HEADER: quote(found.label or "")}
        return Worked(found.to_npy(), sha256, found.model, headers=headers)

    return await answer(request, services, question, work)
