"""Whom the pipeline asks: models in this process here, replicas in `deployments`."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serve_app.engine.entries import RegistryCounts
from serve_app.engine.explaining import Saliency, Wish
from serve_app.engine.identity import Identity
from serve_app.engine.protocol import Engine, EngineInfo
from serve_app.engine.registry import ModelRegistry
from serve_app.reporting import Answer
from serve_app.stopwatch import Stopwatch

__all__ = ["InProcessModel", "ModelClient", "Segments"]

Segments = npt.NDArray[np.float32]


class ModelClient(Protocol):
    """Models, wherever they run; ``model`` is ``NAME[@REVISION]``, None the default."""

    async def info(self, model: str | None = None) -> EngineInfo:
        """What answers; raises ModelUnavailable where it cannot be reached or loaded."""
        ...

    async def models(self) -> list[EngineInfo | Identity]:
        """All that can be asked, the default first."""
        ...

    async def counts(self) -> RegistryCounts:
        """How often models were loaded and dropped."""
        ...

    async def ask(self, segments: Segments, model: str | None = None) -> Answer:
        """Scores of ``(segments, 12, 2500)`` float32."""
        ...

    async def explain(self, segments: Segments, wish: Wish, model: str | None = None) -> Saliency:
        """What the model looked at in ``(segments, 12, 2500)`` float32."""
        ...


class InProcessModel:
    """Engines in this process, one call at a time: for the command line and notebooks.

    Args:
        models: A registry, or what loads the one engine that there is; a model is loaded with the
            first question to it.
    """

    def __init__(self, models: ModelRegistry | Callable[[], Engine]) -> None:
        self._registry = (
            models if isinstance(models, ModelRegistry) else ModelRegistry.of_engine(models)
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    async def info(self, model: str | None = None) -> EngineInfo:
        """What answers."""
        return (await self._registry.engine(model)).info

    async def models(self) -> list[EngineInfo | Identity]:
        """All that can be asked; the default is loaded for it."""
        await self._registry.engine()
        return await self._registry.models()

    async def counts(self) -> RegistryCounts:
        """Of this process."""
        return self._registry.counts

    async def ask(self, segments: Segments, model: str | None = None) -> Answer:
        """Scores of ``(segments, 12, 2500)`` float32."""
        engine = await self._registry.engine(model)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, _ask, engine, segments)

    async def explain(self, segments: Segments, wish: Wish, model: str | None = None) -> Saliency:
        """What the model looked at in ``(segments, 12, 2500)`` float32."""
        return await (await self._registry.explainer(model)).explain(segments, wish)


def _ask(engine: Engine, segments: Segments) -> Answer:
    watch = Stopwatch()
    scores = engine.predict(segments)
    return Answer(scores, engine.info, queue_ms=0.0, inference_ms=watch.lap_ms())
