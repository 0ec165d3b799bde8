"""The published checkpoint layout (.pt): read without running anything in it, in our names.

A file is a pickle, so it is opened with ``weights_only`` and a short list of NumPy classes that its
bookkeeping may hold. Shapes are read off the weights; only what shapes cannot say (strides, heads,
pre-norm) is taken from ``cfg["model"]``, and where both speak they must agree. Paths in ``cfg`` are
its authors' and never opened.
"""

import codecs
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from serve_app.errors import CheckpointError

__all__ = ["PublishedCheckpoint", "parse_conv_layers", "read_published"]

_NAMES = ("ecg_transformer_classifier", "ecg_transformer", "wav2vec2_cmsc", "wav2vec2")
# Used in training only: masking, and the contrastive objective of the pretrained checkpoint.
_TRAINING_ONLY = ("mask_emb", "quantizer.", "project_q.", "final_proj.")
_OLD_WEIGHT_NORM = {
    "conv_pos.pos_conv.0.weight_g": "conv_pos.pos_conv.0.parametrizations.weight.original0",
    "conv_pos.pos_conv.0.weight_v": "conv_pos.pos_conv.0.parametrizations.weight.original1",
}
_LAYER = re.compile(r"\(\s*(\d{1,5})\s*,\s*(\d{1,5})\s*,\s*(\d{1,5})\s*,?\s*\)")
_TERM = re.compile(
    rf"\[\s*{_LAYER.pattern}(?:\s*,\s*{_LAYER.pattern})*\s*,?\s*\](?:\s*\*\s*(?P<times>\d{{1,2}}))?"
)
_MOST_CONV_LAYERS = 64


@dataclass(frozen=True)
class PublishedCheckpoint:
    """What matters of a published file.

    Args:
        fields: Of ``EcgFmConfig``.
        weights: By the names of ``EcgFmBackbone`` or, with a head, ``EcgFmClassifier``; still
            mapped from the file.
        has_head: Whether it is a classifier.
    """

    fields: dict[str, Any]
    weights: dict[str, Tensor]
    has_head: bool


def read_published(path: Path) -> PublishedCheckpoint:
    """Read a fine-tuned or pretrained checkpoint.

    Args:
        path: The ``.pt`` file. It is mapped, so the optimiser's state is never read from disk.

    Raises:
        CheckpointError: for anything that is not such a checkpoint; its text names no path.
    """
    content = _load(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), Mapping):
        raise CheckpointError("The file holds no ECG-FM checkpoint: no weights under 'model'.")
    cfg = content.get("cfg")
    model_cfg = cfg.get("model") if isinstance(cfg, dict) else None
    if not isinstance(model_cfg, dict):
        raise CheckpointError("The checkpoint says nothing of its architecture: no cfg['model'].")
    name = model_cfg.get("_name")
    if name is not None and name not in _NAMES:
        raise CheckpointError("The checkpoint is of another architecture than ECG-FM.")
    weights, has_head = _translate(content["model"])
    fields = _architecture(weights, model_cfg, has_head)
    if has_head:
        fields.update(_label_fields(cfg or {}, weights["classifier.bias"].shape[0]))
    return PublishedCheckpoint(fields, weights, has_head)


def _load(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "The checkpoint is damaged, or holds more than tensors and numbers; nothing was run.",
            hint="Use the published file, or convert yours to safetensors where you trust it.",
        ) from error
    except Exception as error:  # torch raises whatever its zip and pickle readers meet
        raise CheckpointError("The checkpoint is damaged, cut short, or no .pt file.") from error


def _numpy_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """NumPy scalars in ``extra_state``, under the module names of NumPy 1 and 2."""
    scalar: Any = np.float64(0).__reduce__()[0]
    reconstruct: Any = np.zeros(0).__reduce__()[0]
    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [np.ndarray, np.dtype]
    for core in ("core", "_core"):
        allowed.append((scalar, f"numpy.{core}.multiarray.scalar"))
        allowed.append((reconstruct, f"numpy.{core}.multiarray._reconstruct"))
    # NumPy 2 pickles the bytes of a scalar as text that is encoded again.
    allowed.append(codecs.encode)
    return allowed + [type(np.dtype(code)) for code in ("f2", "f4", "f8", "?", *"bhilqBHILQ")]


def _translate(state: Mapping[Any, Any]) -> tuple[dict[str, Tensor], bool]:
    """Our names for the published ones, without what training alone needs; is there a head?"""
    has_head = any(str(key).startswith("proj.") for key in state)
    weights: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise CheckpointError("The checkpoint's weights are not named tensors.")
        if has_head and key.startswith("proj."):
            weights["classifier." + key.removeprefix("proj.")] = tensor
            continue
        inner = key.removeprefix("encoder.") if has_head else key
        if not inner.startswith(_TRAINING_ONLY):
            inner = _OLD_WEIGHT_NORM.get(inner, inner)
            weights["network." + inner if has_head else inner] = tensor
    return weights, has_head


def _architecture(
    weights: Mapping[str, Tensor], cfg: Mapping[str, Any], has_head: bool
) -> dict[str, Any]:
    """Fields of the configuration: from the shapes, completed and checked by ``cfg``."""
    prefix = "network." if has_head else ""
    fields = _fields_from_shapes(weights, prefix, has_head)
    for name, value in fields.items():
        if name in cfg and (type(cfg[name]) is not type(value) or cfg[name] != value):
            raise CheckpointError(
                f"The checkpoint contradicts itself: its weights make {name} {value}."
            )
    fields["conv_feature_layers"] = _conv_layers(cfg, fields.pop("conv_shapes"))
    fields["encoder_attention_heads"] = _required(cfg, "encoder_attention_heads", int)
    fields["layer_norm_first"] = _required(cfg, "layer_norm_first", bool)
    if cfg.get("extractor_mode", "default") != "default":
        raise CheckpointError("The checkpoint's extractor_mode is not 'default'.")
    fields.pop("num_labels", None)
    return fields


def _fields_from_shapes(
    weights: Mapping[str, Tensor], prefix: str, has_head: bool
) -> dict[str, Any]:
    def shape(name: str, dimensions: int) -> torch.Size:
        tensor = weights.get(name)
        if tensor is None or tensor.ndim != dimensions or 0 in tensor.shape:
            raise CheckpointError(f"The checkpoint lacks a proper {name.removeprefix(prefix)}.")
        return tensor.shape

    conv = prefix + "feature_extractor.conv_layers.{}.0.weight"
    layers = _count(weights, prefix + "encoder.layers.{}.fc1.weight")
    conv_shapes = [shape(conv.format(n), 3) for n in range(max(1, _count(weights, conv)))]
    d, per_group, kernel = shape(
        prefix + "conv_pos.pos_conv.0.parametrizations.weight.original1", 3
    )
    ffn = shape(prefix + "encoder.layers.0.fc1.weight", 2)[0]
    fields: dict[str, Any] = {
        "in_d": conv_shapes[0][1],
        "conv_bias": conv.format(0).replace("weight", "bias") in weights,
        "conv_shapes": conv_shapes,
        "encoder_layers": layers,
        "encoder_embed_dim": d,
        "encoder_ffn_embed_dim": ffn,
        "conv_pos": kernel,
        "conv_pos_groups": d // per_group,
    }
    if has_head:
        fields["num_labels"] = shape("classifier.bias", 1)[0]
    return fields


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    count = 0
    while pattern.format(count) in weights:
        count += 1
    return count


def _conv_layers(cfg: Mapping[str, Any], shapes: list[torch.Size]) -> list[list[int]]:
    text = cfg.get("conv_feature_layers")
    if not isinstance(text, str):
        raise CheckpointError("The checkpoint's cfg['model'] has no proper conv_feature_layers.")
    layers = parse_conv_layers(text)
    if [layer[:2] for layer in layers] != [[shape[0], shape[2]] for shape in shapes]:
        raise CheckpointError("The checkpoint contradicts itself in conv_feature_layers.")
    return layers


def parse_conv_layers(text: str) -> list[list[int]]:
    """Layers from the published notation, ``[(256, 2, 2)] * 4``; terms may be added with ``+``.

    Upstream evaluates the string as Python; here it is matched, so nothing in it can run.

    Args:
        text: The notation.

    Returns:
        [channels, kernel, stride] of each layer.

    Raises:
        CheckpointError: for anything else, and beyond 64 layers.
    """
    layers: list[list[int]] = []
    for term in text[:1000].split("+"):
        match = _TERM.fullmatch(term.strip())
        if match is None:
            raise CheckpointError("The checkpoint's conv_feature_layers cannot be read.")
        once = [[int(number) for number in found] for found in _LAYER.findall(term)]
        layers += once * int(match["times"] or 1)
    if not 0 < len(layers) <= _MOST_CONV_LAYERS:
        raise CheckpointError("The checkpoint's conv_feature_layers has no sensible length.")
    return layers


def _required(cfg: Mapping[str, Any], name: str, kind: type) -> Any:
    value = cfg.get(name)
    if type(value) is not kind:
        raise CheckpointError(f"The checkpoint's cfg['model'] has no proper {name}.")
    return value


def _label_fields(cfg: Mapping[str, Any], num_labels: int) -> dict[str, Any]:
    criterion = cfg.get("criterion")
    weights = criterion.get("pos_weight") if isinstance(criterion, dict) else None
    fields: dict[str, Any] = {"num_labels": num_labels}
    if weights is not None:
        if not isinstance(weights, list) or len(weights) != num_labels:
            raise CheckpointError("The checkpoint's pos_weight does not fit its labels.")
        try:
            fields["label_pos_weights"] = [float(weight) for weight in weights]
        except (TypeError, ValueError) as error:
            raise CheckpointError("The checkpoint's pos_weight holds no numbers.") from error
    return fields
