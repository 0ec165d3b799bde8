"""The network of ECG-FM as a list of operations, for runtimes that take a graph.

``serve_app.model.network`` is what defines it. ``draw`` walks through those modules once, in the
order a batch meets them, and tells each operation to a pen; a pen for each runtime writes it down
in that runtime's own words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from serve_app.model.network import (
    EcgFmClassifier,
    EncoderLayer,
    PositionalConvolution,
    TransformerEncoder,
)
from serve_app.model.quantization import QuantizedLinear

from .protocol import Float32s

__all__ = ["Convolution", "Linear", "Norm", "Pen", "draw"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Convolution:
    """A convolution over samples or tokens.

    Args:
        weight: (out, in / groups, kernel) float32.
        bias: (out,) float32 or None.
        stride: In samples.
        padding: Zeros before and after.
        groups: Of channels that do not mix.
    """

    weight: Float32s
    bias: Float32s | None
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    groups: int = 1


@dataclass(frozen=True)
class Norm:
    """A normalisation: weight and bias (features,) float32, and what is added to the variance."""

    weight: Float32s
    bias: Float32s
    eps: float


@dataclass(frozen=True)
class Linear:
    """A linear layer.

    Args:
        weight: (out, in) float32, or int8 of which each row has a scale.
        bias: (out,) float32.
        scale: (out,) float32, None where the weight is float32.
    """

    weight: Float32s | npt.NDArray[np.int8]
    bias: Float32s
    scale: Float32s | None = None


class Pen(Protocol[Value]):
    """Writes operations down; a value is whatever the runtime calls a tensor."""

    def segments(self, leads: int, samples: int) -> Value:
        """Begin with the input, (batch, leads, samples) float32."""
        ...

    def convolve(self, x: Value, layer: Convolution) -> Value:
        """(batch, in, length) -> (batch, out, shorter length)."""
        ...

    def normalize_channels(self, x: Value, norm: Norm) -> Value:
        """(batch, channels, length): each channel over its length."""
        ...

    def normalize_features(self, x: Value, norm: Norm) -> Value:
        """(batch, tokens, features): each token over its features."""
        ...

    def gelu(self, x: Value) -> Value:
        """Exact, by the error function."""
        ...

    def transpose(self, x: Value) -> Value:
        """(batch, a, b) -> (batch, b, a)."""
        ...

    def linear(self, x: Value, layer: Linear) -> Value:
        """(..., in) -> (..., out)."""
        ...

    def add(self, x: Value, y: Value) -> Value:
        """Of equal shapes."""
        ...

    def attend(self, query: Value, key: Value, value: Value, heads: int, head_width: int) -> Value:
        """Softmax attention of each head, (batch, tokens, heads * head_width) thrice -> once."""
        ...

    def mean_over_tokens(self, x: Value) -> Value:
        """(batch, tokens, d) -> (batch, d)."""
        ...


def draw(
    model: EcgFmClassifier, pen: Pen[Value], quantized: Mapping[str, QuantizedLinear]
) -> tuple[Value, Value]:
    """Tell a pen the whole network.

    Args:
        model: With its weight norm folded.
        pen: Of a runtime.
        quantized: Linear layers that are to be multiplied in int8, by their names in the model.

    Returns:
        Logits (batch, labels) and embeddings (batch, d).
    """
    config, network = model.config, model.network
    x = pen.segments(config.in_d, config.segment_samples)
    for block in network.feature_extractor.conv_layers:
        x = _draw_block(pen, x, block)
    x = pen.normalize_features(pen.transpose(x), _norm(network.layer_norm))
    if isinstance(network.post_extract_proj, nn.Linear):
        x = pen.linear(x, _linear(network.post_extract_proj))
    x = pen.add(x, _positions(pen, x, network.conv_pos))
    x = _draw_encoder(pen, x, network.encoder, quantized)
    embeddings = pen.mean_over_tokens(x)
    return pen.linear(embeddings, _linear(model.classifier)), embeddings


def _draw_block(pen: Pen[Value], x: Value, block: nn.Module) -> Value:
    for module in block.children():
        if isinstance(module, nn.Conv1d):
            x = pen.convolve(x, _convolution(module))
        elif isinstance(module, nn.GroupNorm):  # as many groups as channels
            x = pen.normalize_channels(x, _norm(module))
        elif isinstance(module, nn.GELU):
            x = pen.gelu(x)
    return x


def _positions(pen: Pen[Value], x: Value, positions: PositionalConvolution) -> Value:
    layer = positions.pos_conv[0]
    assert isinstance(layer, nn.Conv1d)  # noqa: S101 - for the type checker
    kernel = layer.kernel_size[0]
    # Of an even kernel the last output would be dropped: one zero less after the tokens.
    padding = (kernel // 2, (kernel - 1) // 2)
    convolved = pen.convolve(pen.transpose(x), _convolution(layer, padding))
    return pen.transpose(pen.gelu(convolved))


def _draw_encoder(
    pen: Pen[Value], x: Value, encoder: TransformerEncoder, quantized: Mapping[str, QuantizedLinear]
) -> Value:
    if not encoder.layer_norm_first:
        x = pen.normalize_features(x, _norm(encoder.layer_norm))
    for index, layer in enumerate(encoder.layers):
        assert isinstance(layer, EncoderLayer)  # noqa: S101 - for the type checker
        x = _draw_layer(pen, x, _Layer(layer, f"network.encoder.layers.{index}.", quantized))
    if encoder.layer_norm_first:
        x = pen.normalize_features(x, _norm(encoder.layer_norm))
    return x


@dataclass(frozen=True)
class _Layer:
    """A layer of the encoder, and which of its linear layers are in int8."""

    module: EncoderLayer
    prefix: str
    quantized: Mapping[str, QuantizedLinear]

    def linear(self, name: str) -> Linear:
        found = self.quantized.get(self.prefix + name)
        if found is not None:
            return Linear(found.weight, found.bias, found.scale)
        return _linear(self.module.get_submodule(name))


def _draw_layer(pen: Pen[Value], x: Value, layer: _Layer) -> Value:
    module = layer.module
    attention_norm, final_norm = _norm(module.self_attn_layer_norm), _norm(module.final_layer_norm)
    if module.layer_norm_first:
        x = pen.add(x, _attention(pen, pen.normalize_features(x, attention_norm), layer))
        return pen.add(x, _feed_forward(pen, pen.normalize_features(x, final_norm), layer))
    x = pen.normalize_features(pen.add(x, _attention(pen, x, layer)), attention_norm)
    return pen.normalize_features(pen.add(x, _feed_forward(pen, x, layer)), final_norm)


def _attention(pen: Pen[Value], x: Value, layer: _Layer) -> Value:
    query, key, value = (
        pen.linear(x, layer.linear(f"self_attn.{name}_proj")) for name in ("q", "k", "v")
    )
    attention = layer.module.self_attn
    head_width = attention.q_proj.out_features // attention.heads
    mixed = pen.attend(query, key, value, attention.heads, head_width)
    return pen.linear(mixed, layer.linear("self_attn.out_proj"))


def _feed_forward(pen: Pen[Value], x: Value, layer: _Layer) -> Value:
    return pen.linear(pen.gelu(pen.linear(x, layer.linear("fc1"))), layer.linear("fc2"))


def _convolution(layer: nn.Conv1d, padding: tuple[int, int] = (0, 0)) -> Convolution:
    bias = None if layer.bias is None else _array(layer.bias)
    return Convolution(_array(layer.weight), bias, layer.stride[0], padding, layer.groups)


def _linear(layer: nn.Module) -> Linear:
    assert isinstance(layer, nn.Linear)  # noqa: S101 - for the type checker
    return Linear(_array(layer.weight), _array(layer.bias))


def _norm(layer: nn.LayerNorm | nn.GroupNorm) -> Norm:
    return Norm(_array(layer.weight), _array(layer.bias), layer.eps)


def _array(tensor: Tensor) -> Float32s:
    """Of the same memory."""
    array: Float32s = tensor.detach().numpy()
    return array
