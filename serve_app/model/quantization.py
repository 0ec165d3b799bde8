"""Linear layers in int8: what they are rounded to, and what the rounding does to their means.

Each row of a weight (an output) gets its own scale, its largest magnitude over 127. The rounding
error of a weight times the mean of its input is a constant of the layer, so it is taken out again
in the bias (Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias
Correction", arXiv 1906.04721, with means measured on recordings). Since the model pools by the
mean over tokens, most of what is left averages out. The runtimes round the input of a layer
themselves while they run, a few hundred values at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from serve_app.errors import CheckpointError

from .network import EcgFmClassifier

__all__ = [
    "QuantizedLinear",
    "dequantize",
    "is_packed",
    "pack",
    "quantizable",
    "quantize",
    "unpack",
]

_MOST = 127
_SCALE = "_scale"


@dataclass(frozen=True)
class QuantizedLinear:
    """A linear layer whose weight is int8.

    Args:
        weight: (out, in) int8, -127 to 127.
        scale: (out,) float32, what 1 stands for in each row.
        bias: (out,) float32, corrected for the rounding.
    """

    weight: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def quantizable(model: EcgFmClassifier) -> dict[str, nn.Linear]:
    """The layers of the encoder by name: nine tenths of the arithmetic.

    The projection before it and the head are left alone: they are small, and every error there
    reaches all that comes after.
    """
    return {
        f"network.encoder.layers.{index}.{name}": module
        for index, layer in enumerate(model.network.encoder.layers)
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear)
    }


def quantize(
    model: EcgFmClassifier, segments: npt.NDArray[np.float32] | None = None
) -> dict[str, QuantizedLinear]:
    """Round the linear layers of the encoder.

    Args:
        model: In evaluation mode; left as it is.
        segments: (n, leads, samples) float32, standardised, to measure means on; None: biases are
            left uncorrected.

    Returns:
        By the layers' names.
    """
    layers = quantizable(model)
    means = _mean_inputs(model, layers, segments) if segments is not None else {}
    return {name: _rounded(layer, means.get(name)) for name, layer in layers.items()}


def dequantize(layer: QuantizedLinear) -> Tensor:
    """The weight (out, in) float32 that the int8 one stands for."""
    return torch.from_numpy(layer.weight).float() * torch.from_numpy(layer.scale)[:, None]


def pack(
    weights: Mapping[str, Tensor], quantized: Mapping[str, QuantizedLinear]
) -> dict[str, Tensor]:
    """What is stored of a model: an int8 layer has ``weight`` int8 and ``weight_scale`` (out,)."""
    packed = dict(weights)
    for name, layer in quantized.items():
        packed[f"{name}.weight"] = torch.from_numpy(layer.weight)
        packed[f"{name}.weight{_SCALE}"] = torch.from_numpy(layer.scale)
        packed[f"{name}.bias"] = torch.from_numpy(layer.bias)
    return packed


def is_packed(path: Path) -> bool:
    """Whether a safetensors file holds int8 layers; its header tells."""
    try:
        with safe_open(path, "pt") as file:
            return any(name.endswith(f".weight{_SCALE}") for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError):
        return False  # whoever reads it says what is wrong


def unpack(
    stored: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, QuantizedLinear]]:
    """The opposite of ``pack``, int8 weights replaced by what they stand for.

    Raises:
        CheckpointError: if an int8 weight and its scales do not fit each other.
    """
    weights = dict(stored)
    quantized: dict[str, QuantizedLinear] = {}
    for key in [key for key in stored if key.endswith(f".weight{_SCALE}")]:
        name = key.removesuffix(f".weight{_SCALE}")
        layer = _read_layer(name, stored)
        del weights[key]
        weights[f"{name}.weight"] = dequantize(layer)
        quantized[name] = layer
    return weights, quantized


def _read_layer(name: str, stored: Mapping[str, Tensor]) -> QuantizedLinear:
    weight, bias = stored.get(f"{name}.weight"), stored.get(f"{name}.bias")
    scale = stored[f"{name}.weight{_SCALE}"]
    if weight is None or bias is None or weight.dtype != torch.int8 or weight.ndim != 2:
        raise CheckpointError(f"The checkpoint's {name} has scales but no int8 weight and bias.")
    rows = weight.shape[:1]
    floats = all(each.dtype == torch.float32 and each.shape == rows for each in (scale, bias))
    if not floats or not (scale.isfinite() & (scale > 0)).all() or not bias.isfinite().all():
        raise CheckpointError(f"The checkpoint's scales or biases of {name} do not fit its rows.")
    # Copies: weights must not stay mapped to a file that may change or shrink.
    return QuantizedLinear(weight.clone().numpy(), scale.clone().numpy(), bias.clone().numpy())


def _mean_inputs(
    model: EcgFmClassifier, layers: Mapping[str, nn.Linear], segments: npt.NDArray[np.float32]
) -> dict[str, Tensor]:
    """Mean input (in,) of each layer over all tokens of the segments."""
    means: dict[str, Tensor] = {}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        return layers[name].register_forward_pre_hook(
            lambda _, inputs: means.__setitem__(name, inputs[0].flatten(0, -2).mean(0))
        )

    handles = [watch(name) for name in layers]
    try:
        with torch.inference_mode():
            model(torch.from_numpy(segments))
    finally:
        for handle in handles:
            handle.remove()
    return means


def _rounded(layer: nn.Linear, mean: Tensor | None) -> QuantizedLinear:
    weight, bias = layer.weight.detach(), layer.bias.detach()
    scale = weight.abs().amax(1) / _MOST
    scale = torch.where(scale == 0, 1.0, scale)  # a row of zeros stays one
    rounded = (weight / scale[:, None]).round().to(torch.int8)
    if mean is not None:
        bias = bias + (weight - rounded * scale[:, None]) @ mean
    return QuantizedLinear(rounded.numpy(), scale.numpy(), bias.clone().numpy())
