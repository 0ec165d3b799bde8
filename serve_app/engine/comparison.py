"""Engines side by side on the same segments: speed, size, distance from plain float32."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier

from .batched import BatchedEngine
from .choosing import available_engines, make_engine
from .protocol import EngineName, Float32s, Precision, Scores

__all__ = [
    "MOST_ERROR",
    "Comparison",
    "EngineRow",
    "compare_engines",
    "interleaved_s",
    "largest_errors",
    "plain_logits",
]

Float64s = npt.NDArray[np.float64]

# Of a probability, against the plain forward pass.
MOST_ERROR = 0.02


@dataclass(frozen=True)
class EngineRow:
    """One engine against the plain float32 forward pass of the same weights and threads.

    Args:
        engine: The library.
        precision: What it computes in.
        weights_mb: Its weights as they are multiplied, 10^6 bytes.
        load_s: To make it of a model in memory, and to run it for the first time.
        segments_per_s: For each batch size, at the median time.
        speed_up: For each batch size, the median time of the plain pass over its own.
        spread: For each batch size, the middle half of its own times over their median.
        max_logit_error: Largest |difference| on the segments.
        max_probability_error: The same after the sigmoid.
    """

    engine: str
    precision: str
    weights_mb: float
    load_s: float
    segments_per_s: dict[int, float]
    speed_up: dict[int, float]
    spread: dict[int, float]
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
    engines: Sequence[tuple[EngineName, Precision]] | None = None,
    batches: Sequence[int] = (1, 8),
    threads: int = 1,
    rounds: int = 5,
) -> Comparison:
    """Time every engine and the plain forward pass in turn, after checking their answers.

    Args:
        loaded: The model.
        segments: (n, leads, segment_samples) float32, standardised, n at least 1; repeated to fill
            the batches.
        engines: Each with its precision; None: all that are installed and run here, but fp16,
            which no processor multiplies.
        batches: Segments in a call.
        threads: Processor threads of each.
        rounds: Times that each is called for each batch size.
    """
    pairs = engines or [pair for pair in available_engines() if pair[1] != "fp16"]
    torch.set_num_threads(threads)
    exact = plain_logits(loaded, segments)
    made = [_make(loaded, pair, threads, max(batches)) for pair in pairs]
    errors = [largest_errors(engine.predict(segments), exact) for engine, _ in made]
    calls: list[Callable[[Float32s], object]] = [partial(plain_logits, loaded)]
    calls += [engine.predict for engine, _ in made]
    times_s = {batch: interleaved_s(calls, _filled(segments, batch), rounds) for batch in batches}
    rows = tuple(
        _row(engine, load_s, errors[k], {batch: (t[0], t[k + 1]) for batch, t in times_s.items()})
        for k, (engine, load_s) in enumerate(made)
    )
    return Comparison(
        loaded.name, loaded.revision, loaded.parameters, threads, len(segments), rounds, rows
    )


def _make(
    loaded: LoadedModel[EcgFmClassifier],
    pair: tuple[EngineName, Precision],
    threads: int,
    max_batch: int,
) -> tuple[BatchedEngine, float]:
    """The engine, and how long it took to make and run once, in seconds."""
    started_s = time.perf_counter()
    engine = make_engine(loaded, *pair, threads=threads, max_batch=max_batch)
    engine.warm()
    return engine, time.perf_counter() - started_s


def _row(
    engine: BatchedEngine,
    load_s: float,
    errors: tuple[float, float],
    times_s: Mapping[int, tuple[Float64s, Float64s]],
) -> EngineRow:
    """Of times (rounds,) of the plain pass and of the engine by batch size."""
    medians = {batch: [float(np.median(each)) for each in pair] for batch, pair in times_s.items()}
    return EngineRow(
        engine=engine.info.engine,
        precision=engine.info.precision,
        weights_mb=engine.weights_bytes / 1e6,
        load_s=load_s,
        segments_per_s={batch: batch / own for batch, (_, own) in medians.items()},
        speed_up={batch: plain / own for batch, (plain, own) in medians.items()},
        spread={batch: _spread(own) for batch, (_, own) in times_s.items()},
        max_logit_error=errors[0],
        max_probability_error=errors[1],
    )


def _spread(times_s: Float64s) -> float:
    quarter, half, three_quarters = np.percentile(times_s, (25, 50, 75))
    return float((three_quarters - quarter) / half)


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
) -> Float64s:
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
