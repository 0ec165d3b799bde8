"""Int8 within a limit of error: what errs most on recordings stays in float32."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call

from .checkpoints import LoadedModel
from .network import EcgFmClassifier
from .quantization import QuantizedLinear, dequantize, quantizable, quantize

__all__ = ["QuantizedWithin", "quantize_within"]

# Values of a token that share a scale while a runtime multiplies them.
_GROUP: Final = 192
_MOST: Final = 127
# With more than this share of the blocks in float32 little would be gained.
_MOST_KEPT: Final = 1 / 3

Layers = Mapping[str, QuantizedLinear]


@dataclass(frozen=True)
class QuantizedWithin:
    """A model in int8, and how far it is off on the recordings it was measured on.

    Args:
        model: With its int8 layers, and in float32 what they stand for.
        kept: Blocks that stay in float32, as ``3.self_attn`` or ``3.fc`` of the encoder.
        segments: That were measured on.
        max_probability_error: Largest |difference| of a probability from float32 there.
        limit: What was asked for.
    """

    model: LoadedModel[EcgFmClassifier]
    kept: tuple[str, ...]
    segments: int
    max_probability_error: float
    limit: float

    @property
    def within_limit(self) -> bool:
        """Whether the error is as small as was asked for."""
        return self.max_probability_error <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.model.name,
            "int8_layers": len(self.model.quantized or {}),
            "kept_in_fp32": list(self.kept),
            "segments": self.segments,
            "max_probability_error": self.max_probability_error,
            "limit": self.limit,
            "within_limit": self.within_limit,
        }


def quantize_within(
    loaded: LoadedModel[EcgFmClassifier], segments: npt.NDArray[np.float32], limit: float
) -> QuantizedWithin:
    """Round the linear layers of the encoder, but for the blocks that err most, one after another.

    Args:
        loaded: In float32; left as it is.
        segments: (n, leads, samples) float32, standardised: what means and errors are measured on.
        limit: Of a probability; blocks are kept until it holds, a third of them at most.
    """
    trial = _Trial(loaded.model, segments)
    kept: list[str] = []
    error = trial.error(kept)
    if error > limit:
        blocks = trial.by_error()
        for block in blocks[: int(len(blocks) * _MOST_KEPT)]:
            kept.append(block)
            error = trial.error(kept)
            if error <= limit:
                break
    layers = trial.layers(without=kept)
    model = _with_weights(loaded.model, _overrides(layers))
    made = replace(loaded, model=model, quantized=layers, precision="int8")
    return QuantizedWithin(made, tuple(kept), len(segments), error, limit)


class _Trial:
    """What a model says of segments with some of its blocks in int8, as a runtime would round."""

    def __init__(self, model: EcgFmClassifier, segments: npt.NDArray[np.float32]) -> None:
        self._model = model
        self._segments = torch.from_numpy(segments)
        self._quantized = quantize(model, segments)
        self._exact = self._probabilities({})

    def error(self, kept: Iterable[str]) -> float:
        """Largest error of a probability with all blocks rounded but these."""
        off = self._probabilities(self.layers(without=kept)) - self._exact
        return float(off.abs().max())

    def by_error(self) -> list[str]:
        """All blocks; that which errs most when it alone is rounded comes first."""
        blocks = sorted({_block(name) for name in self._quantized})
        errors = {}
        for block in blocks:
            only = {name: each for name, each in self._quantized.items() if _block(name) == block}
            errors[block] = float((self._probabilities(only) - self._exact).square().mean())
        return sorted(blocks, key=errors.__getitem__, reverse=True)

    def layers(self, without: Iterable[str]) -> dict[str, QuantizedLinear]:
        """The int8 layers that are in none of these blocks."""
        left_out = set(without)
        return {name: q for name, q in self._quantized.items() if _block(name) not in left_out}

    def _probabilities(self, layers: Layers) -> Tensor:
        with torch.inference_mode(), _rounded_inputs(self._model, layers):
            found = functional_call(self._model, _overrides(layers), (self._segments,))
            return torch.sigmoid(found[0])


def _block(name: str) -> str:
    """As ``3.self_attn`` for ``network.encoder.layers.3.self_attn.q_proj``, ``3.fc`` for fc1."""
    _network, _encoder, _layers, index, part, *_ = name.split(".")
    return f"{index}.{part.rstrip('12')}"


def _overrides(layers: Layers) -> dict[str, Tensor]:
    weights = {f"{name}.weight": dequantize(layer) for name, layer in layers.items()}
    return weights | {f"{name}.bias": torch.from_numpy(q.bias) for name, q in layers.items()}


@contextmanager
def _rounded_inputs(model: EcgFmClassifier, layers: Layers) -> Iterator[None]:
    modules = quantizable(model)
    handles = [modules[name].register_forward_pre_hook(_round_input) for name in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _round_input(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    (x,) = inputs
    width = x.shape[-1]
    grouped = x.view(*x.shape[:-1], -1, _GROUP if width % _GROUP == 0 else width)
    scale = (grouped.abs().amax(-1, keepdim=True) / _MOST).clamp(min=torch.finfo(x.dtype).tiny)
    rounded: Tensor = ((grouped / scale).round() * scale).flatten(-2)
    return rounded


def _with_weights(model: EcgFmClassifier, weights: Mapping[str, Tensor]) -> EcgFmClassifier:
    with torch.device("meta"):
        own = EcgFmClassifier(model.config)
    own.load_state_dict({**model.state_dict(), **weights}, assign=True)
    return own.eval()
