"""Another default model for the running application, without a failed request.

Two steps over all replicas: each loads the model and warms it up beside the one that answers; then,
if all of them could, each makes it the default. No replica restarts, the ingress notices nothing.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from deployments.local import APP_NAME, set_flags
from serve_app.engine.identity import ModelSource
from serve_app.engine.protocol import EngineInfo
from serve_app.errors import EcgServeError, ModelUnavailable, Unavailable

__all__ = ["Swapped", "swap_model"]

# A model of the Hub may have to be fetched first, by each node.
_PREPARE_LIMIT_S: Final = 1800.0
_USE_LIMIT_S: Final = 30.0


@dataclass(frozen=True)
class Swapped:
    """The new default.

    Attributes:
        model: As a replica loaded it.
        replicas: How many answer with it; those that start later do so too.
    """

    model: EngineInfo
    replicas: int


def swap_model(source: ModelSource) -> Swapped:
    """Have the application on this machine's Ray answer with another model.

    Args:
        source: Paths are those of the replicas' machines, and absolute.

    Raises:
        ModelUnavailable: A replica cannot load it. All go on with the model that they have.
        Unavailable: No application runs here, or several do and RAY_ADDRESS names none.
    """
    set_flags()
    import ray

    _refuse_to_guess()
    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # none runs, or its token is not ours
        raise Unavailable(
            f"No running Ray can be reached from here ({type(error).__name__}).",
            hint="Call this where `ecg-serve up` runs, or on a node of the cluster.",
        ) from error
    try:
        return asyncio.run(_swap(source))
    finally:
        ray.shutdown()


def _refuse_to_guess() -> None:
    """Of several Rays on this machine the caller has to say which."""
    from ray._private.services import find_gcs_addresses

    running = find_gcs_addresses()
    if len(running) > 1 and not os.environ.get("RAY_ADDRESS"):
        raise Unavailable(
            f"{len(running)} Rays run on this machine.",
            hint="Say which one is meant: set RAY_ADDRESS as `ecg-serve up` told it at its start.",
        )


async def _swap(source: ModelSource) -> Swapped:
    handle = _model_handle()
    prepared = await _on_all(handle, "prepare_model", source, _PREPARE_LIMIT_S)
    try:
        _refuse_unlike(prepared)
    except EcgServeError:
        await _on_all(handle, "forget_model", source, _USE_LIMIT_S)
        raise
    chosen = ModelSource(source.source, prepared[0].sha256)
    used = await _on_all(handle, "use_model", chosen, _USE_LIMIT_S)
    # A replica that could not will follow by itself, within seconds.
    done = [each for each in used if isinstance(each, EngineInfo)]
    return Swapped(prepared[0], len(done))


def _refuse_unlike(prepared: Sequence[EngineInfo | EcgServeError]) -> None:
    """Raise what a replica could not load, or that they have loaded different models."""
    for each in prepared:
        if isinstance(each, EcgServeError):
            raise each
    if len({each.sha256 for each in prepared if isinstance(each, EngineInfo)}) > 1:
        raise ModelUnavailable(
            "The replicas' machines have different files for this model; nothing was changed.",
            hint="Copy the same files to every machine, or name a commit of the Hub.",
        )


def _model_handle() -> Any:
    from ray import serve

    application = serve.status().applications.get(APP_NAME)
    if application is None:
        raise Unavailable(
            "The application does not run here.", hint="Start it first, with `ecg-serve up`."
        )
    name = "EcgFm" if "EcgFm" in application.deployments else "Preprocessor"
    return serve.get_deployment_handle(name, APP_NAME)


async def _on_all(handle: Any, method: str, source: ModelSource, limit_s: float) -> Sequence[Any]:
    from ray.exceptions import RayError
    from ray.serve.exceptions import DeploymentUnavailableError

    try:
        results: Sequence[Any] = await handle.broadcast(method, source).results_async(
            timeout_s=limit_s
        )
    except DeploymentUnavailableError as error:
        raise Unavailable(
            "No replica of the model is running, or none is yet.",
            hint="Wait until `/readyz` answers, and try again.",
        ) from error
    except (RayError, TimeoutError) as error:
        raise ModelUnavailable(
            f"A replica was lost, or did not load the model in time ({type(error).__name__}).",
            hint="Try again; until then the model that was there answers.",
        ) from error
    return results
