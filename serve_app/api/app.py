"""The ASGI application, whoever runs it."""

from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

import serve_app
from serve_app.api import description, docs, problems, routes
from serve_app.api.admission import Admission
from serve_app.api.answering import TIMEOUT_HEADER
from serve_app.api.batch import BatchLine, batch_router
from serve_app.api.compression import Compression
from serve_app.api.declarations import MODEL_HEADERS, Services
from serve_app.api.dicom_web import dicom_web_router
from serve_app.api.explain import LABEL_HEADER, explain_router
from serve_app.api.idempotency import KEY_HEADER, REPLAYED_HEADER, AnsweredKeys
from serve_app.api.long_recordings import long_router
from serve_app.api.metrics import Metrics
from serve_app.api.middleware import REQUEST_ID, RequestScope
from serve_app.api.oip import oip_router
from serve_app.api.stream import stream_router
from serve_app.api.tracing import TRACEPARENT
from serve_app.pipeline import Pipeline
from serve_app.settings import Settings

__all__ = ["create_app"]

_DESCRIPTION = """From the bytes of an electrocardiogram to the answers of ECG-FM.

Research use only: not a medical device. A recording is sent in any format that is read here; the
format is told by `Content-Type` or recognised by content. Every error is an RFC 9457 problem with
a stable `code` and a `hint`."""

# Beside those that any page may send (Accept, ...).
_REQUEST_HEADERS: Final = (
    *("Content-Type", "Content-Encoding", "If-None-Match", KEY_HEADER, REQUEST_ID),
    *(TIMEOUT_HEADER, TRACEPARENT, "tracestate"),
)
_ANSWER_HEADERS: Final = (
    *("Content-Encoding", "ETag", "Retry-After", "Allow", REQUEST_ID, TRACEPARENT),
    *(REPLAYED_HEADER, LABEL_HEADER, *MODEL_HEADERS),
)
_PREFLIGHT_S: Final = 3600


def create_app(pipeline: Pipeline, settings: Settings, *, sets_request_id: bool = True) -> FastAPI:
    """The HTTP face of a pipeline.

    Args:
        pipeline: What answers.
        settings: Limits of bodies.
        sets_request_id: False where the server around it returns X-Request-ID itself.
    """
    metrics = Metrics()
    app = FastAPI(
        title="ECG-FM Serve",
        version=serve_app.__version__,
        description=_DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = Services(
        pipeline,
        settings,
        metrics,
        Admission(settings.max_ongoing_requests),
        AnsweredKeys(settings.idempotency_ttl_s, settings.idempotency_mb << 20),
        Admission(settings.max_streams, "live streams"),
        Admission(settings.max_long_recordings, "day-long recordings"),
    )
    # First, since it takes only who asks for NDJSON.
    app.include_router(long_router)
    app.include_router(stream_router)
    app.include_router(routes.router)
    app.include_router(routes.recordings_router)
    app.include_router(batch_router)
    app.include_router(explain_router)
    app.include_router(dicom_web_router)
    app.include_router(oip_router)
    app.include_router(routes.metrics_router)
    docs.install(app)
    app.add_middleware(Compression)
    app.add_middleware(RequestScope, metrics=metrics, sets_header=sets_request_id)
    if settings.cors_origins:
        # Around all else, so that a page may read every problem, too.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_ANSWER_HEADERS,
            max_age=_PREFLIGHT_S,
        )
    problems.install(app)
    description.install(app, [BatchLine])
    return app
