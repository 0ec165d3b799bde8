"""The ASGI application, whoever runs it."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

import serve_app
from serve_app.api import problems, routes
from serve_app.api.admission import Admission
from serve_app.api.declarations import MODEL_HEADERS, Services
from serve_app.api.explain import LABEL_HEADER, explain_router
from serve_app.api.long_recordings import long_router
from serve_app.api.metrics import Metrics
from serve_app.api.middleware import RequestScope
from serve_app.api.stream import stream_router
from serve_app.pipeline import Pipeline
from serve_app.settings import Settings

__all__ = ["create_app"]

_DESCRIPTION = """From the bytes of an electrocardiogram to the answers of ECG-FM.

Research use only: not a medical device. A recording is sent in any format that is read here; the
format is told by `Content-Type` or recognised by content. Every error is an RFC 9457 problem with
a stable `code` and a `hint`."""


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
    )
    app.state.services = Services(
        pipeline,
        settings,
        metrics,
        Admission(settings.max_ongoing_requests),
        Admission(settings.max_streams, "live streams"),
        Admission(settings.max_long_recordings, "day-long recordings"),
    )
    # First, since it takes only who asks for NDJSON.
    app.include_router(long_router)
    app.include_router(stream_router)
    app.include_router(routes.router)
    app.include_router(routes.embed_router)
    app.include_router(explain_router)
    app.include_router(routes.metrics_router)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", "Content-Encoding", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After", *MODEL_HEADERS, LABEL_HEADER],
        )
    app.add_middleware(RequestScope, metrics=metrics, sets_header=sets_request_id)
    problems.install(app)
    return app
