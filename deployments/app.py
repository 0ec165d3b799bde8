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
from deployments.choice import Choice
from deployments.ecg_fm import EcgFm, LocalModel
from deployments.preprocessor import Preprocessor
from serve_app.engine.registry import registry_of
from serve_app.errors import EcgServeError, Overloaded
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
    make_model = functools.partial(_local_model, settings)
    if settings.profile == "mono":
        both = settings.model_cpus + settings.preprocessor_cpus
        return _preprocessor(settings, both, settings.model_gpus).bind(settings, make_model)
    return _preprocessor(settings, settings.preprocessor_cpus, 0.0).bind(
        settings, _ecg_fm(settings, make_model)
    )


def _local_model(settings: Settings) -> LocalModel:
    """A replica's models, the default loaded and warm unless settings can do without.

    Raises:
        CheckpointError: The default cannot be loaded, and settings want no answers without it.
    """
    choice = Choice(settings)
    registry = registry_of(settings, choice.read())
    try:
        registry.load_default()
    except EcgServeError:
        if settings.when_model_fails == "refuse":
            raise
    return LocalModel(registry, settings.max_batch_segments, choice)


def _ecg_fm(settings: Settings, make_model: Callable[[], LocalModel]) -> Application:
    deployment = serve.deployment(
        EcgFm,
        name="EcgFm",
        ray_actor_options={"num_cpus": settings.model_cpus, "num_gpus": settings.model_gpus},
        autoscaling_config=model_scaling(settings),
        max_ongoing_requests=_BATCHES_AHEAD * settings.max_batch_segments,
        max_queued_requests=settings.max_queued_requests,
        health_check_period_s=5,
        health_check_timeout_s=10,
    )
    return deployment.bind(make_model, settings.max_batch_segments)


def _preprocessor(settings: Settings, num_cpus: float, num_gpus: float) -> serve.Deployment:
    return serve.deployment(
        serve.ingress()(Preprocessor),
        name="Preprocessor",
        ray_actor_options={"num_cpus": num_cpus, "num_gpus": num_gpus},
        autoscaling_config=preprocessor_scaling(settings),
        # Overload is told by our own problem, and probes are answered all the same: Ray's limit,
        # with its plain text, lies above.
        max_ongoing_requests=settings.max_ongoing_requests
        + settings.max_streams
        + settings.max_long_recordings
        + _ROOM_FOR_PROBES,
        backpressure_config=BackpressureConfig(
            status_code=Overloaded.status, retry_after_s=Overloaded.retry_after_s
        ),
        health_check_period_s=5,
        health_check_timeout_s=10,
    )
