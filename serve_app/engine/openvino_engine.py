"""OpenVINO on the processor: float32, bfloat16, or int8 weights with inputs rounded on the fly.

In int8 the linear layers of the encoder are multiplied in int8, each token's values rounded a group
at a time; the rest is in bfloat16 where the processor multiplies it, else in float32.
"""

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import Node, opset15

from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier

from .batched import DEFAULT_MAX_BATCH, BatchedEngine, describe
from .drawing import Convolution, Linear, Norm, draw
from .protocol import Float32s, Precision
from .rounding import quantized_layers
from .spectral import SpectralConvolution, spectral
from .torch_engine import folded

__all__ = ["OpenVinoEngine"]

# Taps from which on a convolution is faster by its spectrum.
_WIDE = 64
# Values of a token that share a scale. Measured: fastest of 32 to 3072, as exact as any.
_ROUNDED_TOGETHER = 192


class OpenVinoEngine(BatchedEngine):
    """A classifier compiled for this processor.

    Args:
        loaded: The model; it stays as it is, the engine has its own weights.
        threads: Processor threads.
        max_batch: Segments that are run at a time; more are split up.
        precision: ``fp32``, ``bf16`` or ``int8``.

    Raises:
        ValueError: if threads or max_batch are below 1, for fp16, and for bf16 on a processor
            that does not multiply it.
    """

    def __init__(
        self,
        loaded: LoadedModel[EcgFmClassifier],
        threads: int,
        max_batch: int = DEFAULT_MAX_BATCH,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__(describe(loaded, "openvino", precision, threads, max_batch))
        core = ov.Core()
        bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "fp16" or (precision == "bf16" and not bf16):
            raise ValueError(f"OpenVINO does not run in {precision} on this processor")
        pen = OpenVinoPen()
        outputs = draw(
            folded(loaded.model), pen, quantized_layers(loaded) if precision == "int8" else {}
        )
        self._weights_bytes = pen.weights_bytes
        compiled = core.compile_model(
            ov.Model(list(outputs), [pen.input]),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                # Replicas on one machine would be pinned to the same cores.
                "ENABLE_CPU_PINNING": False,
                "INFERENCE_PRECISION_HINT": "bf16" if bf16 and precision != "fp32" else "f32",
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": _ROUNDED_TOGETHER if precision == "int8" else 0,
            },
        )
        self._request = compiled.create_infer_request()

    @property
    def weights_bytes(self) -> int:
        """Size of the weights as they are multiplied."""
        return self._weights_bytes

    def _forward(self, segments: Float32s) -> tuple[Float32s, Float32s]:
        found = self._request.infer([segments])
        return found[0].copy(), found[1].copy()


class OpenVinoPen:
    """Writes nodes of OpenVINO."""

    def __init__(self) -> None:
        self.weights_bytes = 0

    def segments(self, leads: int, samples: int) -> Node:
        self.input = opset15.parameter([-1, leads, samples], np.float32, name="segments")
        return self.input

    def convolve(self, x: Node, layer: Convolution) -> Node:
        y = self._by_spectrum(x, layer) if _is_wide(layer) else self._by_taps(x, layer)
        if layer.bias is None:
            return y
        return opset15.add(y, self._weight(layer.bias[None, :, None]))

    def _by_taps(self, x: Node, layer: Convolution) -> Node:
        before, after = layer.padding
        place = ([layer.stride], [before], [after], [1])
        if layer.groups == 1:
            return opset15.convolution(x, self._weight(layer.weight), *place)
        out, of_group, kernel = layer.weight.shape
        weight = layer.weight.reshape(layer.groups, out // layer.groups, of_group, kernel)
        return opset15.group_convolution(x, self._weight(weight), *place)

    def _by_spectrum(self, x: Node, layer: Convolution) -> Node:
        """(batch, in, tokens) -> (batch, out, tokens)."""
        found = spectral(layer, x.get_output_partial_shape(0)[2].get_length())
        frequencies, groups, of_group, out = found.real.shape
        spectrum = opset15.matmul(x, self._weight(found.forward), False, True)
        # (batch, groups, in, real and imaginary, frequencies): the latter to the front, and for
        # each group of each the batch's real rows, then its imaginary ones.
        apart = _reshape(spectrum, -1, groups, of_group, 2, frequencies)
        rows = _reshape(_permute(apart, 4, 1, 3, 0, 2), frequencies, groups, -1, of_group)
        mixed = self._mix(rows, found)  # (real and imaginary, frequencies, groups, batch, out)
        back = _reshape(_permute(mixed, 3, 2, 4, 0, 1), -1, groups * out, 2 * frequencies)
        return opset15.matmul(back, self._weight(found.backward), False, True)

    def _mix(self, rows: Node, by: SpectralConvolution) -> Node:
        """Complex product: (f, groups, 2 batch, in) -> (2, f, groups, batch, out)."""
        by_real = opset15.matmul(rows, self._weight(by.real), False, False)
        by_imaginary = opset15.matmul(rows, self._weight(by.imaginary), False, False)
        (rr, ir), (ri, ii) = _halves(by_real), _halves(by_imaginary)
        parts = (opset15.subtract(rr, ii), opset15.add(ir, ri))
        return opset15.concat([opset15.unsqueeze(part, _integers(0)) for part in parts], 0)

    def normalize_channels(self, x: Node, norm: Norm) -> Node:
        return self._normalize(x, norm.weight[None, :, None], norm.bias[None, :, None], norm.eps)

    def normalize_features(self, x: Node, norm: Norm) -> Node:
        return self._normalize(x, norm.weight, norm.bias, norm.eps)

    def gelu(self, x: Node) -> Node:
        return opset15.gelu(x, "erf")

    def transpose(self, x: Node) -> Node:
        return _permute(x, 0, 2, 1)

    def linear(self, x: Node, layer: Linear) -> Node:
        weight = self._weight(layer.weight)
        if layer.scale is not None:
            scale = self._weight(layer.scale[:, None])
            weight = opset15.multiply(opset15.convert(weight, np.float32), scale)
        return opset15.add(opset15.matmul(x, weight, False, True), self._weight(layer.bias))

    def add(self, x: Node, y: Node) -> Node:
        return opset15.add(x, y)

    def attend(self, query: Node, key: Node, value: Node, heads: int, head_width: int) -> Node:
        split, swap = _integers(0, 0, heads, head_width), _integers(0, 2, 1, 3)
        q, k, v = (
            opset15.transpose(opset15.reshape(x, split, True), swap) for x in (query, key, value)
        )
        mixed = opset15.scaled_dot_product_attention(q, k, v)
        back = _integers(0, 0, heads * head_width)
        return opset15.reshape(opset15.transpose(mixed, swap), back, True)

    def mean_over_tokens(self, x: Node) -> Node:
        return opset15.reduce_mean(x, _integers(1), False)

    def _normalize(self, x: Node, weight: Float32s, bias: Float32s, eps: float) -> Node:
        standard = opset15.mvn(x, _integers(-1), True, eps, "inside_sqrt")
        return opset15.add(opset15.multiply(standard, self._weight(weight)), self._weight(bias))

    def _weight(self, array: npt.NDArray[np.generic]) -> Node:
        self.weights_bytes += array.nbytes
        return opset15.constant(np.ascontiguousarray(array))


def _is_wide(layer: Convolution) -> bool:
    return int(layer.weight.shape[2]) >= _WIDE


def _halves(x: Node) -> tuple[Node, Node]:
    parts = opset15.split(x, opset15.constant(np.int64(2)), 2)
    return parts.output(0), parts.output(1)


def _reshape(x: Node, *shape: int) -> Node:
    return opset15.reshape(x, _integers(*shape), False)


def _permute(x: Node, *axes: int) -> Node:
    return opset15.transpose(x, _integers(*axes))


def _integers(*numbers: int) -> Node:
    return opset15.constant(np.array(numbers))
