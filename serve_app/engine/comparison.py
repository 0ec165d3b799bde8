"""Engines side by side on the same segments: speed, size, distance from plain float32."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier

from .protocol import Float32s, Scores
from .torch_engine import Precision, TorchEngine

__all__ = [
    "MOST_ERROR",
    "PRECISIONS",
    "Comparison",
    "EngineRow",
    "compare_engines",
    "interleaved_s",
    "largest_errors",
    "plain_logits",
]

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
# Of a probability, against the plain forward pass.
MOST_ERROR = 0.02


@dataclass(frozen=True)
class EngineRow:
    """One engine against the plain float32 forward pass of the same weights and threads.

    Args:
        engine: The library.
        precision: What it computes in.
        weights_mb: Its weights in memory, 10^6 bytes.
        segments_per_s: For each batch size, at the median time.
        speed_up: For each batch size, the median time of the plain pass over its own.
        max_logit_error: Largest |difference| on the segments.
        max_probability_error: The same after the sigmoid.
    """

    engine: str
    precision: str
    weights_mb: float
    segments_per_s: dict[int, float]
    speed_up: dict[int, float]
    max_logit_error: float
    max_probability_error: float

    @property
    def within_limit(self) -> bool:
        """Whether no probability is off by more than the limit."""
        return self.max_probability_error <= MOST_ERROR


@dataclass(frozen=True)
class Comparison:
    """What was compared, and the rows."""

    name: str
    revision: str
    parameters: int
    threads: int
    segments: int
    rounds: int
    rows: tuple[EngineRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"within_limit": self.within_limit}

    @property
    def within_limit(self) -> bool:
        """Whether every engine is."""
        return all(row.within_limit for row in self.rows)


def compare_engines(
    loaded: LoadedModel[EcgFmClassifier],
    segments: Float32s,
    *,
    precisions: Sequence[Precision] = PRECISIONS,
    batches: Sequence[int] = (1, 8),
    threads: int = 1,
    rounds: int = 5,
) -> Comparison:
    """Time every engine and the plain forward pass in turn, after checking their answers.

    Args:
        loaded: The model.
        segments: (n, leads, segment_samples) float32, standardised, n at least 1; repeated to fill
            the batches.
        precisions: Of the engines.
        batches: Segments in a call.
        threads: Processor threads of each.
        rounds: Times that each is called for each batch size.
    """
    engines = [TorchEngine(loaded, threads, max(batches), precision) for precision in precisions]
    forward = partial(plain_logits, loaded)
    exact = forward(segments)
    errors = [largest_errors(engine.predict(segments), exact) for engine in engines]
    calls: list[Callable[[Float32s], object]] = [forward, *(engine.predict for engine in engines)]
    times_s = {
        batch: np.median(interleaved_s(calls, _filled(segments, batch), rounds), axis=1)
        for batch in batches
    }
    rows = [
        EngineRow(
            engine=engine.info.engine,
            precision=engine.info.precision,
            weights_mb=engine.weights_bytes / 1e6,
            segments_per_s={batch: float(batch / t[k + 1]) for batch, t in times_s.items()},
            speed_up={batch: float(t[0] / t[k + 1]) for batch, t in times_s.items()},
            max_logit_error=errors[k][0],
            max_probability_error=errors[k][1],
        )
        for k, engine in enumerate(engines)
    ]
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    return Comparison(
        loaded.name, loaded.revision, parameters, threads, len(segments), rounds, tuple(rows)
    )


def plain_logits(loaded: LoadedModel[EcgFmClassifier], segments: Float32s) -> Float32s:
    """Logits (n, labels) of the plain float32 forward pass, which engines are held against."""
    with torch.inference_mode():
        logits: Float32s = loaded.model(torch.from_numpy(segments))[0].numpy()
    return logits


def largest_errors(scores: Scores, logits: Float32s) -> tuple[float, float]:
    """Largest |difference| of a logit and of a probability from exact logits (n, labels)."""
    probabilities = 1.0 / (1.0 + np.exp(-logits))
    return (
        float(np.abs(scores.logits - logits).max()),
        float(np.abs(scores.probabilities - probabilities).max()),
    )


def interleaved_s(
    calls: Sequence[Callable[[Float32s], object]], batch: Float32s, rounds: int
) -> npt.NDArray[np.float64]:
    """Times (calls, rounds) in seconds, the calls in turn so that noise falls on all alike."""
    times_s = np.empty((len(calls), rounds))
    for call in calls:
        call(batch)
    for i in range(rounds):
        for k, call in enumerate(calls):
            started_s = time.perf_counter()
            call(batch)
            times_s[k, i] = time.perf_counter() - started_s
    return times_s


def _filled(segments: Float32s, batch: int) -> Float32s:
    return np.ascontiguousarray(np.resize(segments, (batch, *segments.shape[1:])))
