"""What all engines share: input is checked, cut into batches, and the answers joined."""

from abc import ABC, abstractmethod
from datetime import UTC, datetime

import numpy as np

from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier

from .protocol import EngineInfo, EngineName, Float32s, Precision, Scores, check_segments

__all__ = ["DEFAULT_MAX_BATCH", "BatchedEngine", "describe"]

# Larger batches outgrow the caches: no segment becomes cheaper beyond this.
DEFAULT_MAX_BATCH = 8


class BatchedEngine(ABC):
    """An engine that runs up to ``info.max_batch`` segments at a time.

    Args:
        info: Which model this is, and how it is run.

    Raises:
        ValueError: if threads or max_batch are below 1.
    """

    def __init__(self, info: EngineInfo) -> None:
        if info.threads < 1 or info.max_batch < 1:
            raise ValueError("threads and max_batch must be at least 1")
        self._info = info

    @property
    def info(self) -> EngineInfo:
        """Which model this is."""
        return self._info

    @property
    @abstractmethod
    def weights_bytes(self) -> int:
        """Size of the weights as they are multiplied."""

    @abstractmethod
    def _forward(self, segments: Float32s) -> tuple[Float32s, Float32s]:
        """Logits and embeddings of one batch, in arrays of the caller's own."""

    def warm(self) -> None:
        """Run the smallest and the largest batch, so that no request pays for first-time work."""
        info = self._info
        for n in {1, info.max_batch}:
            self.predict(np.zeros((n, info.leads, info.segment_samples), np.float32))

    def predict(self, segments: Float32s) -> Scores:
        """Score segments.

        Args:
            segments: (n, 12, 2500) float32, standardised; n may be 0.

        Returns:
            Arrays of the caller's own.

        Raises:
            InvalidSignal: for another shape or kind of number, or values that are not finite.
        """
        check_segments(segments, self._info)
        if not len(segments):
            return self._no_scores()
        # Arrays from Ray's store are read-only, and torch wants none of those.
        whole = np.require(segments, requirements=["C", "W"])
        step = self._info.max_batch
        parts = [self._forward(whole[n : n + step]) for n in range(0, len(whole), step)]
        logits, embeddings = (_joined(list(arrays)) for arrays in zip(*parts, strict=True))
        return Scores(logits, _sigmoid(logits), embeddings)

    def _no_scores(self) -> Scores:
        labels = np.empty((0, len(self._info.labels)), np.float32)
        embeddings = np.empty((0, self._info.embedding_dim), np.float32)
        return Scores(labels, labels.copy(), embeddings)


def describe(
    loaded: LoadedModel[EcgFmClassifier],
    engine: EngineName,
    precision: Precision,
    threads: int,
    max_batch: int,
) -> EngineInfo:
    """What an engine says of itself, of a model that was loaded now."""
    config = loaded.config
    return EngineInfo(
        name=loaded.name,
        revision=loaded.revision,
        sha256=loaded.sha256,
        precision=precision,
        engine=engine,
        source=loaded.source,
        demo=loaded.demo,
        labels=config.labels,
        leads=config.in_d,
        segment_samples=config.segment_samples,
        fs_hz=config.sampling_rate,
        embedding_dim=config.encoder_embed_dim,
        max_batch=max_batch,
        threads=threads,
        loaded_at=datetime.now(UTC),
        commit=loaded.commit,
    )


def _joined(parts: list[Float32s]) -> Float32s:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _sigmoid(logits: Float32s) -> Float32s:
    # By tanh, which overflows nowhere.
    probabilities: Float32s = np.float32(0.5) * (np.tanh(np.float32(0.5) * logits) + np.float32(1))
    return probabilities
