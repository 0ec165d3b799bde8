"""The builder: plain classes become deployments, and deployments a graph.

`serve run deployments.app:build demo=true`, the Serve YAML and `ecg-serve up` all come here.
"""

import functools
from collections.abc import Callable
from typing import Any

from pydantic import model_validator
from ray import serve
from ray.serve import Application
from ray.serve.config import BackpressureConfig

from deployments.autoscaling import model_scaling, preprocessor_scaling
from deployments.ecg_fm import EcgFm, LocalModel, MakeExplainer
from deployments.preprocessor import Preprocessor
from serve_app.engine.explaining import borrow_explainer, make_explainer
from serve_app.engine.loading import load_engine
from serve_app.engine.protocol import Engine
from serve_app.errors import Overloaded
from serve_app.pipeline import ModelClient
from serve_app.settings import Settings

__all__ = ["BuildArgs", "build", "build_app"]

# Batches behind the one that runs, so that the next can be full (the default of 5 caps them).
_BATCHES_AHEAD = 4
_ROOM_FOR_PROBES = 64


class BuildArgs(Settings):
    """The arguments of the application; unknown keys are refused.

    All settings by their own names, and `demo=true` as a short form of `model=demo`.
    """

    demo: bool = False

    @model_validator(mode="before")
    @classmethod
    def _demo_is_a_model(cls, given: dict[str, Any]) -> dict[str, Any]:
        demo = str(given.get("demo", "")).lower() in ("true", "1")
        if demo and given.get("model", "demo") != "demo":
            raise ValueError("demo=true and another model were asked for: choose one")
        return given


def build(args: BuildArgs) -> Application:
    """The application, with settings from the environment and ``args`` on top."""
    return build_app(args)


def build_app(settings: Settings) -> Application:
    """The graph, or with ``profile="mono"`` the same parts in one deployment."""
    load = functools.partial(load_engine, settings)
    if settings.profile == "mono":
        explain = functools.partial(make_explainer, settings)
        model = functools.partial(_local_model, load, settings.max_batch_segments, explain)
        return _preprocessor(settings, settings.model_cpus + settings.preprocessor_cpus).bind(
            settings, model
        )
    return _preprocessor(settings, settings.preprocessor_cpus).bind(
        settings, _ecg_fm(settings, load)
    )


def _local_model(
    load: Callable[[], Engine],
    max_batch_segments: int,
    make_explainer: MakeExplainer = borrow_explainer,
) -> ModelClient:
    engine = load()
    engine.warm()
    return LocalModel(engine, max_batch_segments, make_explainer)


def _ecg_fm(settings: Settings, load: Callable[[], Engine]) -> Application:
    deployment = serve.deployment(
        EcgFm,
        name="EcgFm",
        ray_actor_options={"num_cpus": settings.model_cpus},
        autoscaling_config=model_scaling(settings),
        max_ongoing_requests=_BATCHES_AHEAD * settings.max_batch_segments,
        max_queued_requests=settings.max_queued_requests,
        health_check_period_s=5,
        health_check_timeout_s=10,
    )
    explain = functools.partial(make_explainer, settings)
    return deployment.bind(load, settings.max_batch_segments, explain)


def _preprocessor(settings: Settings, num_cpus: float) -> serve.Deployment:
    return serve.deployment(
        serve.ingress()(Preprocessor),
        name="Preprocessor",
        ray_actor_options={"num_cpus": num_cpus},
        autoscaling_config=preprocessor_scaling(settings),
        # Overload is told by our own problem, and probes are answered all the same: Ray's limit,
        # with its plain text, lies above.
        max_ongoing_requests=settings.max_ongoing_requests + _ROOM_FOR_PROBES,
        backpressure_config=BackpressureConfig(
            status_code=Overloaded.status, retry_after_s=Overloaded.retry_after_s
        ),
        health_check_period_s=5,
        health_check_timeout_s=10,
    )
