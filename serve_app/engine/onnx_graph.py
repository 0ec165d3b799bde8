"""The network as an ONNX file of standard operations, for any runtime that reads one."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier

from .drawing import Convolution, Linear, Norm, draw
from .protocol import Float32s, Precision
from .rounding import quantized_layers
from .torch_engine import folded

__all__ = ["INPUT", "OUTPUTS", "onnx_graph"]

INPUT, OUTPUTS = "segments", ("logits", "embeddings")
_OPSET, _IR_VERSION = 20, 9
_FLOAT = TensorProto.FLOAT


def onnx_graph(
    loaded: LoadedModel[EcgFmClassifier], precision: Precision = "fp32"
) -> onnx.ModelProto:
    """The model as ONNX: segments (n, leads, samples) in, logits and embeddings out.

    Args:
        loaded: The model.
        precision: ``fp32``, or ``int8`` for the linear layers of the encoder: their weights by row,
            their inputs by token while they run.

    Raises:
        ValueError: for another precision.
    """
    if precision not in ("fp32", "int8"):
        raise ValueError(f"ONNX is written in fp32 or int8, not in {precision}")
    pen = OnnxPen()
    model = folded(loaded.model)
    found = draw(model, pen, quantized_layers(loaded) if precision == "int8" else {})
    for value, name in zip(found, OUTPUTS, strict=True):
        pen.nodes.append(helper.make_node("Identity", [value], [name]))
    return pen.finish(loaded, precision)


class OnnxPen:
    """Writes nodes of ONNX; a value is its name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._shape: list[str | int] = []
        self._zero = ""
        self._rounded_already: dict[str, tuple[str, str]] = {}

    def segments(self, leads: int, samples: int) -> str:
        self._shape = ["n", leads, samples]
        return INPUT

    def convolve(self, x: str, layer: Convolution) -> str:
        bias = [] if layer.bias is None else [self._constant(layer.bias)]
        return self._node(
            "Conv",
            x,
            self._constant(layer.weight),
            *bias,
            strides=[layer.stride],
            pads=list(layer.padding),
            group=layer.groups,
        )

    def normalize_channels(self, x: str, norm: Norm) -> str:
        weights = self._constant(norm.weight), self._constant(norm.bias)
        return self._node("InstanceNormalization", x, *weights, epsilon=norm.eps)

    def normalize_features(self, x: str, norm: Norm) -> str:
        weights = self._constant(norm.weight), self._constant(norm.bias)
        return self._node("LayerNormalization", x, *weights, axis=-1, epsilon=norm.eps)

    def gelu(self, x: str) -> str:
        return self._node("Gelu", x, approximate="none")

    def transpose(self, x: str) -> str:
        return self._node("Transpose", x, perm=[0, 2, 1])

    def linear(self, x: str, layer: Linear) -> str:
        weight = self._constant(np.ascontiguousarray(layer.weight.T))
        product = (
            self._node("MatMul", x, weight)
            if layer.scale is None
            else self._multiply_int8(x, weight, layer.scale)
        )
        return self._node("Add", product, self._constant(layer.bias))

    def add(self, x: str, y: str) -> str:
        return self._node("Add", x, y)

    def attend(self, query: str, key: str, value: str, heads: int, head_width: int) -> str:
        split = self._constant(np.array([0, 0, heads, head_width]))
        q, k, v = (
            self._node("Transpose", self._node("Reshape", x, split), perm=perm)
            for x, perm in ((query, [0, 2, 1, 3]), (key, [0, 2, 3, 1]), (value, [0, 2, 1, 3]))
        )
        scale = self._constant(np.array(head_width**-0.5, np.float32))
        scores = self._node("MatMul", self._node("Mul", q, scale), k)
        mixed = self._node("MatMul", self._node("Softmax", scores, axis=-1), v)
        by_token = self._node("Transpose", mixed, perm=[0, 2, 1, 3])
        return self._node("Reshape", by_token, self._constant(np.array([0, 0, heads * head_width])))

    def mean_over_tokens(self, x: str) -> str:
        return self._node("ReduceMean", x, self._constant(np.array([1])), keepdims=0)

    def finish(self, loaded: LoadedModel[EcgFmClassifier], precision: Precision) -> onnx.ModelProto:
        """The file, with who the model is among its properties."""
        config = loaded.config
        widths = (len(config.labels), config.encoder_embed_dim)
        graph = helper.make_graph(
            self.nodes,
            "ecg_fm",
            [helper.make_tensor_value_info(INPUT, _FLOAT, self._shape)],
            [
                helper.make_tensor_value_info(name, _FLOAT, ["n", width])
                for name, width in zip(OUTPUTS, widths, strict=True)
            ],
            self._initializers,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="ecg-fm-serve",
        )
        told = {"revision": loaded.revision, "sha256": loaded.sha256, "precision": precision}
        labels = json.dumps([label.name for label in config.labels])
        helper.set_model_props(model, {**told, "labels": labels})
        return model

    def _multiply_int8(self, x: str, weight: str, scale: Float32s) -> str:
        """Each token is rounded by a scale of its own.

        By tensor (DynamicQuantizeLinear) an answer would depend on its neighbours in the batch.
        """
        rounded, of_token = self._rounded(x)
        product = self._node("MatMulInteger", rounded, weight, self._zero)
        whole = self._node("Cast", product, to=_FLOAT)
        return self._node("Mul", self._node("Mul", whole, of_token), self._constant(scale))

    def _rounded(self, x: str) -> tuple[str, str]:
        """uint8 around 128, which runtimes multiply faster than int8, and the scales (..., 1)."""
        if x not in self._rounded_already:  # query, key and value share them
            if not self._zero:
                self._zero = self._constant(np.array(128, np.uint8))
            most = self._node("ReduceMax", self._node("Abs", x), self._constant(np.array([-1])))
            # A token of zeros stays one.
            least = self._constant(np.array(np.finfo(np.float32).tiny, np.float32))
            of_token = self._node(
                "Max", self._node("Mul", most, self._constant(np.array(1 / 127, np.float32))), least
            )
            near = self._node("Round", self._node("Div", x, of_token))
            shifted = self._node("Add", near, self._constant(np.array(128, np.float32)))
            rounded = self._node("Cast", shifted, to=TensorProto.UINT8)
            self._rounded_already[x] = rounded, of_token
        return self._rounded_already[x]

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def _constant(self, array: npt.NDArray[np.generic]) -> str:
        name = f"constant_{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(array, name))
        return name
