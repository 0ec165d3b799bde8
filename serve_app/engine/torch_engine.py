"""torch on the processor: float32, the reference, or bfloat16 where the processor multiplies it.

In bfloat16 the weights of linear layers and convolutions are stored as such; sums, norms and the
softmax stay in float32 (autocast).
"""

import contextlib
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier, fold_weight_norm

from .protocol import EngineInfo, Float32s, Scores, check_segments

__all__ = ["Precision", "TorchEngine", "auto_precision"]

Precision = Literal["fp32", "bf16"]

# Larger batches outgrow the caches: no segment becomes cheaper beyond this.
DEFAULT_MAX_BATCH = 8
# Below this size fp32 is as fast.
_LEAST_FOR_BF16 = 10_000_000


class TorchEngine:
    """A classifier in inference mode, its weight norm folded.

    Args:
        loaded: The model; it stays as it is, the engine shares its weights.
        threads: Processor threads for one operation. This is torch's setting for the whole process.
        max_batch: Segments that are run at a time; more are split up.
        precision: Of the arithmetic; scores are float32 in any case.

    Raises:
        ValueError: if threads or max_batch are below 1.
    """

    def __init__(
        self,
        loaded: LoadedModel[EcgFmClassifier],
        threads: int,
        max_batch: int = DEFAULT_MAX_BATCH,
        precision: Precision = "fp32",
    ) -> None:
        if threads < 1 or max_batch < 1:
            raise ValueError("threads and max_batch must be at least 1")
        torch.set_num_threads(threads)
        self._model = _folded(loaded.model)
        if precision == "bf16":
            _store_as_bf16(self._model)
        self._info = _info(loaded, threads, max_batch, precision)

    @property
    def info(self) -> EngineInfo:
        """Which model this is."""
        return self._info

    @property
    def weights_bytes(self) -> int:
        """Size of the weights as they are multiplied."""
        return sum(weight.numel() * weight.element_size() for weight in self._model.parameters())

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
        batch = torch.from_numpy(np.require(segments, requirements=["C", "W"]))
        with torch.inference_mode(), self._arithmetic():
            parts = [self._model(part) for part in torch.split(batch, self._info.max_batch)]
            logits = _joined([part[0].float() for part in parts])
            embeddings = _joined([part[1].float() for part in parts])
            probabilities = torch.sigmoid(logits)
        return Scores(logits.numpy(), probabilities.numpy(), embeddings.numpy())

    def _arithmetic(self) -> contextlib.AbstractContextManager[object]:
        if self._info.precision == "bf16":
            return torch.autocast("cpu", torch.bfloat16)
        return contextlib.nullcontext()

    def _no_scores(self) -> Scores:
        labels = np.empty((0, len(self._info.labels)), np.float32)
        embeddings = np.empty((0, self._info.embedding_dim), np.float32)
        return Scores(labels, labels.copy(), embeddings)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _folded(model: EcgFmClassifier) -> EcgFmClassifier:
    """The same weights in a module of the engine's own, the weight norm computed once."""
    with torch.device("meta"):
        own = EcgFmClassifier(model.config)
    own.load_state_dict(model.state_dict(), assign=True)
    fold_weight_norm(own)
    return own.eval().requires_grad_(False)


def _store_as_bf16(model: EcgFmClassifier) -> None:
    """Halve the weights that are multiplied, in place; autocast would do so on each call."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d)):
            module.to(torch.bfloat16)


def auto_precision(loaded: LoadedModel[EcgFmClassifier]) -> Precision:
    """bf16 for a large model on a processor that multiplies it (AVX-512 BF16, AMX), else fp32."""
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    size = sum(parameter.numel() for parameter in loaded.model.parameters())
    return "bf16" if native and size >= _LEAST_FOR_BF16 else "fp32"


def _info(
    loaded: LoadedModel[EcgFmClassifier], threads: int, max_batch: int, precision: Precision
) -> EngineInfo:
    config = loaded.config
    return EngineInfo(
        name=loaded.name,
        revision=loaded.revision,
        sha256=loaded.sha256,
        precision=precision,
        engine="torch",
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
