"""Saliency beside a running engine: in a thread of its own, one at a time, within a time limit.

Always in float32 torch on the engine's own weights, whatever the engine: with the network that it
multiplies anyway where that is one, else with a copy that is loaded with the first question. torch
is imported there too, so that whoever only asks needs none.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from serve_app.errors import (
    InferenceTimeout,
    InvalidParameter,
    InvalidSignal,
    ModelUnavailable,
    Overloaded,
)
from serve_app.model.labels import join_segments
from serve_app.settings import Settings

from .identity import ModelSource
from .protocol import Engine, EngineInfo, Float32s, check_segments

if TYPE_CHECKING:
    from torch import Tensor

    from serve_app.model.network import EcgFmClassifier

__all__ = [
    "MOST_STEPS",
    "Explainer",
    "Method",
    "Saliency",
    "Wish",
    "borrow_explainer",
    "make_explainer",
]

Method = Literal["attention", "gradient", "integrated_gradients"]

MOST_STEPS: Final = 256
_DEFAULT_STEPS: Final = 64
_DEFAULT_RESOLUTION_MS: Final = 20.0
_MOST_SEGMENTS: Final = 12
# One that runs and a few that wait: each takes seconds.
_PLACES: Final = 4
_NICENESS: Final = 5
_OF_SOME_METHODS: Final = ("label", "logits", "baseline_logits", "errors", "steps")
_NOTHING: Final[dict[str, Any]] = dict.fromkeys(_OF_SOME_METHODS)
_TIMEOUT_HINT: Final = (
    "Send a shorter stretch, ask for fewer steps or method=attention, or raise "
    "ECG_EXPLAIN_TIMEOUT_S."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be explained, and how.

    Args:
        method: ``attention`` knows no label; the others ask what moves a label's logit.
        label: Its name; None: the one with the highest joined score.
        steps: Of integrated gradients, for each segment at most; None: 64.
        resolution_ms: Time that one value of a gradient stands for; None: 20.

    Raises:
        InvalidParameter: for a parameter that the method does not have, or steps out of range.
    """

    method: Method = "attention"
    label: str | None = None
    steps: int | None = None
    resolution_ms: float | None = None

    def __post_init__(self) -> None:
        foreign = []
        if self.method == "attention":
            foreign += [name for name in ("label", "resolution_ms") if getattr(self, name)]
        if self.method != "integrated_gradients" and self.steps is not None:
            foreign.append("steps")
        if foreign:
            raise InvalidParameter(
                f"method={self.method} has no {' and no '.join(foreign)}.",
                hint="label and resolution_ms belong to method=gradient and integrated_gradients, "
                "steps to integrated_gradients.",
            )
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise InvalidParameter(f"steps must be from 1 to {MOST_STEPS}, not {self.steps}.")


@dataclass(frozen=True, slots=True)
class Saliency:
    """What was found for n segments.

    Args:
        values: (n, tokens) float32 of attention, else (n, leads, bins): the mean magnitude of the
            gradient in a bin, or the sum of the attributions in it.
        label: That was explained; None for attention.
        resolution_ms: From one value to the next.
        logits: (n,) of the label; None for attention.
        baseline_logits: (n,) of the label, where integrated gradients start; None for others.
        errors: (n,) by how much the sum of these misses the change of the logit.
        steps: Of integrated gradients.
        model: As it was run for this.
        queue_ms: Waited for those before.
        inference_ms: Taken.
    """

    values: Float32s
    label: str | None
    resolution_ms: float
    logits: Float32s | None
    baseline_logits: Float32s | None
    errors: Float32s | None
    steps: int | None
    model: EngineInfo
    queue_ms: float
    inference_ms: float


class Explainer:
    """Answers wishes one after the other; used from one event loop.

    Args:
        network: Called with the first wish, in the explainer's thread.
        info: Of the engine that it explains.
        timeout_s: From the question to the answer, waiting included.
    """

    def __init__(
        self, network: "Callable[[], EcgFmClassifier]", info: EngineInfo, timeout_s: float
    ) -> None:
        self._network = cache(network)
        self._info = replace(info, engine="torch", precision="fp32")
        self._timeout_s = timeout_s
        self._inside = 0
        self._thread = ThreadPoolExecutor(1, "explain", initializer=_step_back)

    async def explain(self, segments: Float32s, wish: Wish) -> Saliency:
        """Saliency of (n, 12, 2500) float32, standardised.

        Raises:
            InvalidParameter: for a label that the model does not have, and bins that do not fit.
            InvalidSignal: for another shape, or more than a minute.
            Overloaded: Too many wait.
            InferenceTimeout: The time is over; the work ends between two steps.
            NotInstalled: The method needs captum.
        """
        check_segments(segments, self._info)
        if len(segments) > _MOST_SEGMENTS:
            seconds = _MOST_SEGMENTS * self._info.segment_samples / self._info.fs_hz
            raise InvalidSignal(
                f"At most {seconds:g} s are explained at a time.",
                hint="Cut the stretch of interest out and send that.",
            )
        if self._inside >= _PLACES:
            raise Overloaded(f"{self._inside} recordings are being explained or wait for it.")
        watch = _Watch(self._timeout_s)
        self._inside += 1
        try:
            work = partial(self._explain, segments, wish, watch)
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            # Whoever asked is gone, or has the answer: what may still run ends at its next step.
            watch.stop()
            self._inside -= 1

    def _explain(self, segments: Float32s, wish: Wish, watch: "_Watch") -> Saliency:
        queue_ms = watch.elapsed_ms()
        watch.check()
        network = self._network()
        # Not above: who asks another process for a saliency needs no torch.
        import torch

        device = next(network.parameters()).device
        # A copy: arrays from Ray's store are read-only, and torch wants none of those.
        batch = torch.from_numpy(np.array(segments)).to(device)
        if wish.method == "attention":
            found = _attention(network, batch, self._info)
        else:
            found = _of_label(network, batch, wish, self._info, watch)
        return Saliency(
            **found,
            model=self._info,
            queue_ms=queue_ms,
            inference_ms=watch.elapsed_ms() - queue_ms,
        )


def make_explainer(settings: Settings, source: ModelSource, engine: Engine) -> Explainer:
    """The explainer of an engine: with its own network where that is float32 torch.

    Args:
        settings: Of the application.
        source: What the engine was loaded from.
        engine: Loaded.
    """
    own = _float32_network(engine)
    network = partial(_load_network, settings, source, engine.info) if own is None else lambda: own
    timeout_s = min(settings.explain_timeout_s, settings.request_timeout_s)
    return Explainer(network, engine.info, timeout_s)


def borrow_explainer(_: ModelSource, engine: Engine) -> Explainer:
    """The explainer of a float32 torch engine, where no settings say how to load another.

    Raises:
        ModelUnavailable: The engine is another.
    """
    own = _float32_network(engine)
    if own is None:
        raise ModelUnavailable(
            "This engine has no float32 network to explain with.",
            hint="Give InProcessModel a registry of settings, or choose torch in fp32.",
        )
    return Explainer(lambda: own, engine.info, timeout_s=30.0)


def _float32_network(engine: Engine) -> "EcgFmClassifier | None":
    from serve_app.engine.torch_engine import TorchEngine

    if isinstance(engine, TorchEngine) and engine.info.precision == "fp32":
        return engine.network
    return None


def _load_network(settings: Settings, source: ModelSource, info: EngineInfo) -> "EcgFmClassifier":
    """The weights that the engine has, once more and as they are."""
    from serve_app.model.checkpoints import load_model, require_revision
    from serve_app.model.network import fold_weight_norm

    loaded = load_model(
        source.source,
        revision=source.revision,
        timeout_s=settings.request_timeout_s,
        mapped=settings.map_weights,
    )
    require_revision(loaded, info.sha256)
    fold_weight_norm(loaded.model)
    return loaded.model.requires_grad_(False)


def _attention(network: "EcgFmClassifier", batch: "Tensor", info: EngineInfo) -> dict[str, Any]:
    """The members of Saliency that attention gives."""
    from serve_app.model import saliency

    values = saliency.attention_by_token(network, batch).cpu().numpy()
    stride_ms = saliency.token_stride(network.config) * 1e3 / info.fs_hz
    return {**_NOTHING, "values": values, "resolution_ms": stride_ms}


def _of_label(
    network: "EcgFmClassifier", batch: "Tensor", wish: Wish, info: EngineInfo, watch: "_Watch"
) -> dict[str, Any]:
    """The members of Saliency that gradients of a label's logit give."""
    from serve_app.model import saliency

    resolution_ms = wish.resolution_ms or _DEFAULT_RESOLUTION_MS
    samples = _bin_samples(resolution_ms, info)
    index = _named(wish.label, info) if wish.label else None
    logits = saliency.label_logits(network, batch).cpu().numpy()
    if index is None:
        index = int(join_segments(1 / (1 + np.exp(-logits)), info.labels).argmax())
    told = {**_NOTHING, "label": info.labels[index].name, "logits": logits[:, index]}
    told["resolution_ms"] = resolution_ms
    if wish.method == "gradient":
        found = saliency.gradients(network, batch, index, watch.check).cpu().numpy()
        return {**told, "values": _binned(found, samples) / samples}
    steps = wish.steps or _DEFAULT_STEPS
    integrated = saliency.integrated_gradients(network, batch, index, steps, watch.check)
    attributions = integrated.attributions.cpu().numpy()
    start = integrated.baseline_logits.cpu().numpy()
    errors = np.abs(attributions.sum(axis=(1, 2)) - (told["logits"] - start))
    told |= {"baseline_logits": start, "errors": errors, "steps": steps}
    return {**told, "values": _binned(attributions, samples)}


def _binned(values: npt.NDArray[np.float32], samples: int) -> Float32s:
    """(n, leads, bins): sums of so many samples."""
    n, leads, _ = values.shape
    sums: Float32s = values.reshape(n, leads, -1, samples).sum(axis=3)
    return sums


def _bin_samples(resolution_ms: float, info: EngineInfo) -> int:
    whole = [n for n in range(1, info.segment_samples + 1) if info.segment_samples % n == 0]
    by_ms = {n * 1e3 / info.fs_hz: n for n in whole}
    if resolution_ms not in by_ms:
        told = ", ".join(f"{each:g}" for each in by_ms)
        raise InvalidParameter(
            f"resolution_ms={resolution_ms:g} does not divide a segment into whole samples.",
            hint=f"One of: {told}.",
        )
    return by_ms[resolution_ms]


def _named(label: str, info: EngineInfo) -> int:
    names = [each.name for each in info.labels]
    by_name = {name.casefold(): index for index, name in enumerate(names)}
    if label.strip().casefold() not in by_name:
        raise InvalidParameter(
            f"{label[:100]!r} is no label of this model.", hint=f"One of: {', '.join(names)}."
        )
    return by_name[label.strip().casefold()]


class _Watch:
    """The time that is left, and whether anyone still waits."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._since_s = time.perf_counter()
        self._stopped = threading.Event()

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self._since_s) * 1e3

    def stop(self) -> None:
        self._stopped.set()

    def check(self) -> None:
        """Called between steps; raises InferenceTimeout where going on is of no use."""
        if self._stopped.is_set() or self.elapsed_ms() > 1e3 * self._timeout_s:
            raise InferenceTimeout(
                f"The explanation was not ready within {self._timeout_s:g} s.", hint=_TIMEOUT_HINT
            )


def _step_back() -> None:
    """Let predictions go first where both want the processor; of this thread alone, on Linux."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
