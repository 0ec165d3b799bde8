"""torch: float32, the reference, or bfloat16 and float16 where the hardware multiplies them.

In 16 bits the weights of linear layers and convolutions are stored as such; sums, norms and the
softmax stay in float32 (autocast).
"""

import contextlib

import torch
from torch import nn

from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier, fold_weight_norm

from .batched import DEFAULT_MAX_BATCH, BatchedEngine, describe
from .protocol import Float32s, Precision

__all__ = ["TorchEngine", "folded"]

_STORED = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine(BatchedEngine):
    """A classifier in inference mode, its weight norm folded.

    Args:
        loaded: The model; it stays as it is, the engine shares its weights where it can.
        threads: Processor threads for one operation. This is torch's setting for the whole process.
        max_batch: Segments that are run at a time; more are split up.
        precision: ``fp32``, ``bf16`` or ``fp16`` of the arithmetic; scores are float32 in any case.
        device: ``cpu`` or ``cuda``.

    Raises:
        ValueError: if threads or max_batch are below 1, or for int8.
    """

    def __init__(
        self,
        loaded: LoadedModel[EcgFmClassifier],
        threads: int,
        max_batch: int = DEFAULT_MAX_BATCH,
        precision: Precision = "fp32",
        device: str = "cpu",
    ) -> None:
        super().__init__(describe(loaded, "torch", precision, threads, max_batch))
        if precision == "int8":
            raise ValueError("torch does not run in int8 here")
        torch.set_num_threads(threads)
        self._device = torch.device(device)
        self._dtype = _STORED.get(precision)
        self.network = folded(loaded.model)
        if self._dtype is not None:
            _store_as(self.network, self._dtype)
        self.network.to(self._device)

    @property
    def weights_bytes(self) -> int:
        """Size of the weights as they are multiplied."""
        return sum(weight.numel() * weight.element_size() for weight in self.network.parameters())

    def _forward(self, segments: Float32s) -> tuple[Float32s, Float32s]:
        with torch.inference_mode(), self._arithmetic():
            logits, embeddings = self.network(torch.from_numpy(segments).to(self._device))
        return logits.float().cpu().numpy(), embeddings.float().cpu().numpy()

    def _arithmetic(self) -> contextlib.AbstractContextManager[object]:
        if self._dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, self._dtype)


def folded(model: EcgFmClassifier) -> EcgFmClassifier:
    """The same weights in a module of one's own, the weight norm computed once."""
    with torch.device("meta"):
        own = EcgFmClassifier(model.config)
    own.load_state_dict(model.state_dict(), assign=True)
    fold_weight_norm(own)
    return own.eval().requires_grad_(False)


def _store_as(model: EcgFmClassifier, dtype: torch.dtype) -> None:
    """Halve the weights that are multiplied, in place; autocast would do so on each call."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d)):
            module.to(dtype)
