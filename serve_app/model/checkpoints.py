"""From the name of a model to the model: the demo, a local directory, a published checkpoint.

Weights fit their architecture exactly or are refused: a model is never completed with random
numbers.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from serve_app.errors import CheckpointError

from .configuration_ecg_fm import EcgFmConfig
from .demo import demo_model, state_sha256
from .network import EcgFmBackbone, EcgFmClassifier
from .published import read_published

__all__ = ["LoadedModel", "load_backbone", "load_model", "locate_model"]

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
_HEAD, _BODY = "classifier.", "network."

Network = TypeVar("Network", EcgFmBackbone, EcgFmClassifier)


@dataclass(frozen=True)
class LoadedModel(Generic[Network]):
    """A model and who it is.

    Args:
        name: What answers call it.
        revision: The first 12 digits of ``sha256``.
        sha256: Of the weights file; for the demo, of its state dict.
        source: ``demo`` or ``local``; never a path.
        demo: Whether its answers are for show only.
        model: The network, float32, on the CPU, in evaluation mode.
        precision: Of its weights.
    """

    name: str
    revision: str
    sha256: str
    source: str
    demo: bool
    model: Network
    precision: str = "fp32"

    @property
    def config(self) -> EcgFmConfig:
        """Architecture and labels."""
        return self.model.config


@dataclass(frozen=True)
class _Stored:
    """A checkpoint as it lies on disk, in our names."""

    config: EcgFmConfig
    weights: Mapping[str, Tensor]
    sha256: str

    @property
    def has_head(self) -> bool:
        return any(name.startswith(_HEAD) for name in self.weights)


def load_model(source: str | Path, name: str | None = None) -> LoadedModel[EcgFmClassifier]:
    """Load a classifier.

    Args:
        source: ``demo``; a published ``.pt``; a directory with one, or with ``config.json`` and
            ``model.safetensors``.
        name: What answers call it; by default ``demo``, or the name of the file or directory.

    Raises:
        CheckpointError: if there is none, or it is damaged, foreign, hostile or without a head.
    """
    if str(source) == "demo":
        model = demo_model()
        sha256 = state_sha256(model)
        return LoadedModel(name or "demo", sha256[:12], sha256, "demo", model.config.demo, model)
    path = locate_model(str(source))
    stored = _read(path)
    if not stored.has_head:
        raise CheckpointError(
            "The checkpoint has no classification head: it is a pretrained encoder.",
            hint="Name the fine-tuned checkpoint.",
        )
    model = _fill(EcgFmClassifier, stored.config, stored.weights)
    return _loaded(name or _name_of(path), stored, model)


def load_backbone(source: str | Path, name: str | None = None) -> LoadedModel[EcgFmBackbone]:
    """Load a model for its features alone; the head of a fine-tuned one is left out.

    Args:
        source: As for ``load_model``; a pretrained checkpoint will do.
        name: What answers call it.

    Raises:
        CheckpointError: if there is none, or it is damaged, foreign or hostile.
    """
    if str(source) == "demo":
        demo = load_model(source, name)
        return LoadedModel(demo.name, demo.revision, demo.sha256, "demo", True, demo.model.network)
    path = locate_model(str(source))
    stored = _read(path)
    body = {key.removeprefix(_BODY): tensor for key, tensor in stored.weights.items()
            if not key.startswith(_HEAD)}  # fmt: skip
    return _loaded(name or _name_of(path), stored, _fill(EcgFmBackbone, stored.config, body))


def locate_model(source: str) -> Path:
    """The weights file that a model's name stands for. Files of the Hub have to be local already.

    Raises:
        CheckpointError: if there is no such file, or a directory holds none or several.
    """
    if source.startswith("hf:"):
        raise CheckpointError(
            "Models of the Hub are not downloaded here.",
            hint="Download the files (hf download wanglab/ecg-fm) and name their directory.",
        )
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise CheckpointError(
            "There is no such model: neither 'demo' nor a local file or directory."
        )
    if (path / WEIGHTS_FILE).is_file():
        return path / WEIGHTS_FILE
    found = sorted(path.glob("*.pt"))
    # The published repository holds both checkpoints; only this one is a classifier.
    chosen = [file for file in found if "finetuned" in file.name] or found
    if len(chosen) != 1:
        names = ", ".join(file.name for file in chosen) or "none"
        raise CheckpointError(f"The directory must hold one checkpoint; it holds {names}.")
    return chosen[0]


def _name_of(path: Path) -> str:
    return path.parent.resolve().name if path.name == WEIGHTS_FILE else path.stem


def _read(path: Path) -> _Stored:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError("The model's files cannot be read.") from error
    if path.suffix == ".safetensors":
        return _Stored(_read_config(path.with_name(CONFIG_FILE)), _read_safetensors(path), sha256)
    published = read_published(path)
    return _Stored(_config(published.fields), published.weights, sha256)


def _read_config(path: Path) -> EcgFmConfig:
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"There is no readable {CONFIG_FILE} beside the weights.") from error
    if not isinstance(fields, dict) or fields.get("model_type") != EcgFmConfig.model_type:
        raise CheckpointError(f"{CONFIG_FILE} is not that of an ECG-FM.")
    return _config(fields)


def _config(fields: dict[str, Any]) -> EcgFmConfig:
    try:
        return EcgFmConfig(**fields)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = str(error.__cause__ or error)
        raise CheckpointError(f"The model's configuration cannot be built: {reason}") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            "The weights file is damaged, cut short, or no safetensors."
        ) from error


def _fill(cls: type[Network], config: EcgFmConfig, weights: Mapping[str, Tensor]) -> Network:
    """Build the network around exactly these weights."""
    with torch.device("meta"):
        model = cls(config)
    expected = model.state_dict()
    _check_names(set(expected), set(weights))
    filled = {name: _own(name, weights[name], like.shape) for name, like in expected.items()}
    model.load_state_dict(filled, assign=True)
    return model.eval()


def _check_names(expected: set[str], present: set[str]) -> None:
    for kind, names in (("lacks", expected - present), ("has foreign", present - expected)):
        if names:
            listed = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            raise CheckpointError(f"The checkpoint {kind} weights: {listed}")


def _own(name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """A float32 copy: weights must not stay mapped to a file that may change or shrink."""
    if tensor.shape != shape:
        got, want = tuple(tensor.shape), tuple(shape)
        raise CheckpointError(f"The checkpoint's {name} has shape {got}, not {want}.")
    if not tensor.is_floating_point():
        raise CheckpointError(f"The checkpoint's {name} is not of floating point.")
    # A view may claim to be larger than what backs it; copying it would fill the memory.
    if tensor.untyped_storage().nbytes() < math.prod(shape) * tensor.element_size():
        raise CheckpointError(f"The checkpoint's {name} is larger than its data.")
    copy = tensor.detach().to(torch.float32, copy=True).contiguous()
    # One NaN or infinity spoils the sum, which is ten times faster than to look at each value.
    if not copy.sum().isfinite():
        raise CheckpointError(f"The checkpoint's {name} holds values that are not finite.")
    return copy


def _loaded(name: str, stored: _Stored, model: Network) -> LoadedModel[Network]:
    return LoadedModel(name, stored.sha256[:12], stored.sha256, "local", stored.config.demo, model)
