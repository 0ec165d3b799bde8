"""What every engine offers, whichever library and processor it runs on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serve_app.errors import InvalidSignal
from serve_app.model.labels import Label
from serve_app.settings import EngineName, Precision

__all__ = [
    "Engine",
    "EngineInfo",
    "EngineName",
    "Float32s",
    "Precision",
    "Scores",
    "check_segments",
]

Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Which model answers, and how it is run.

    Args:
        name: The model's name.
        revision: Its revision.
        sha256: Of its weights.
        precision: What most of the arithmetic is done in.
        engine: The library: ``torch``, ``openvino``, ``onnx``.
        source: Where the weights came from: ``demo``, ``local``, ...
        demo: Whether the answers are for show only.
        labels: Of the outputs, in order: names, joins, weights, thresholds.
        leads: Leads of a segment.
        segment_samples: Samples of a segment.
        fs_hz: Their rate.
        embedding_dim: Length of an embedding.
        max_batch: Segments that are run at a time; more are split up.
        threads: Processor threads in use.
        loaded_at: When the engine was made, UTC.
        commit: Of the Hub's repository it came from, if it did.
    """

    name: str
    revision: str
    sha256: str
    precision: Precision
    engine: EngineName
    source: str
    demo: bool
    labels: tuple[Label, ...]
    leads: int
    segment_samples: int
    fs_hz: int
    embedding_dim: int
    max_batch: int
    threads: int
    loaded_at: datetime
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says of n segments, in their order.

    Args:
        logits: (n, labels) float32.
        probabilities: (n, labels) float32, their sigmoid: the score, not yet prior-corrected.
        embeddings: (n, embedding_dim) float32, the pooled features.
    """

    logits: Float32s
    probabilities: Float32s
    embeddings: Float32s

    def __getitem__(self, part: slice) -> "Scores":
        """The scores of some of the segments."""
        return Scores(self.logits[part], self.probabilities[part], self.embeddings[part])

    @staticmethod
    def concatenate(parts: "Sequence[Scores]") -> "Scores":
        """The scores of several batches as those of one."""
        return Scores(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.embeddings for part in parts]),
        )


class Engine(Protocol):
    """A model that is loaded and can be asked; not for several threads at once."""

    @property
    def info(self) -> EngineInfo:
        """Which model this is."""
        ...

    def warm(self) -> None:
        """Run the smallest and the largest batch, so that no request pays for first-time work."""
        ...

    def predict(self, segments: Float32s) -> Scores:
        """Score segments; each alone counts, whatever else is in the batch.

        Args:
            segments: (n, leads, segment_samples) float32, standardised; n may be 0.

        Raises:
            InvalidSignal: for another shape or kind of number, or values that are not finite.
        """
        ...


def check_segments(segments: Float32s, info: EngineInfo) -> None:
    """Refuse what no engine should compute.

    Raises:
        InvalidSignal: for another shape or kind of number, or values that are not finite.
    """
    wanted = (info.leads, info.segment_samples)
    if segments.ndim != 3 or segments.shape[1:] != wanted:
        raise InvalidSignal(
            f"Segments must be (n, {wanted[0]}, {wanted[1]}), not {segments.shape}."
        )
    if segments.dtype != np.float32:
        raise InvalidSignal(f"Segments must be float32, not {segments.dtype}.")
    if not np.isfinite(segments).all():
        raise InvalidSignal("Segments hold values that are not finite.")
