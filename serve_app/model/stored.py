"""Model files, read: ours (config.json, model.safetensors) and the published ``.pt``."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from serve_app.errors import CheckpointError

from .calibration import require_same_weights
from .configuration_ecg_fm import EcgFmConfig
from .layout import CONFIG_FILE
from .published import read_published
from .quantization import QuantizedLinear, unpack

__all__ = [
    "BODY",
    "HEAD",
    "StoredModel",
    "own_tensor",
    "read_config",
    "read_stored",
    "refuse_other_sha256",
    "sha256_of",
]

HEAD, BODY = "classifier.", "network."


@dataclass(frozen=True)
class StoredModel:
    """A checkpoint as it lies on disk, in our names.

    Args:
        config: The architecture and labels.
        weights: By the names of ``EcgFmClassifier``; they may still be mapped from the file.
        sha256: Of the weights file.
        quantized: Linear layers that are stored in int8, by name; ``weights`` then has what they
            stand for. None where there are none.
    """

    config: EcgFmConfig
    weights: Mapping[str, Tensor]
    sha256: str
    quantized: Mapping[str, QuantizedLinear] | None = None

    @property
    def has_head(self) -> bool:
        """Whether it is a classifier."""
        return any(name.startswith(HEAD) for name in self.weights)


def read_stored(path: Path, sha256: str | None = None) -> StoredModel:
    """Read a weights file and the configuration inside or beside it.

    Args:
        path: ``*.safetensors`` with ``config.json`` beside it, or a published checkpoint.
        sha256: What the weights file has to have, where that is known.

    Raises:
        CheckpointError: if it is damaged, foreign or hostile, or calibrated for other weights.
    """
    found = sha256_of(path)
    refuse_other_sha256(found, sha256)
    if path.suffix == ".safetensors":
        config = read_config(path.with_name(CONFIG_FILE))
        if config.calibration is not None:
            require_same_weights(config.calibration, found)
        weights, quantized = unpack(_with_body(_read_safetensors(path)))
        return StoredModel(config, weights, found, quantized or None)
    published = read_published(path)
    return StoredModel(_config(published.fields), _with_body(published.weights), found)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        CheckpointError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError("The model's files cannot be read.") from error


def refuse_other_sha256(found: str, told: str | None) -> None:
    """Refuse weights that are not what the Hub said they are; None: it said nothing.

    Raises:
        CheckpointError: if they are damaged.
    """
    if told is not None and found != told:
        raise CheckpointError(
            "The downloaded weights are damaged: their SHA-256 is not the one that the Hub told.",
            hint="Download them again: ecg-serve model pull hf:OWNER/NAME --force",
        )


def read_config(path: Path) -> EcgFmConfig:
    """The configuration in a ``config.json`` of ours.

    Raises:
        CheckpointError: if there is none, or it is of another model.
    """
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"There is no readable {CONFIG_FILE} beside the weights.") from error
    if not isinstance(fields, dict) or fields.get("model_type") != EcgFmConfig.model_type:
        raise CheckpointError(f"{CONFIG_FILE} is not that of an ECG-FM.")
    return _config(fields)


def own_tensor(name: str, tensor: Tensor, shape: torch.Size, mapped: bool = False) -> Tensor:
    """The tensor in float32: a copy, since a file may change or shrink.

    Where it is ``mapped`` and in float32 already it stays in its file, and all processes of the
    machine share its memory; nobody may write into that file then.

    Raises:
        CheckpointError: for another shape or kind of number, and values that are not finite.
    """
    if tensor.shape != shape:
        got, want = tuple(tensor.shape), tuple(shape)
        raise CheckpointError(f"The checkpoint's {name} has shape {got}, not {want}.")
    if not tensor.is_floating_point():
        raise CheckpointError(f"The checkpoint's {name} is not of floating point.")
    # A view may claim to be larger than what backs it; copying it would fill the memory.
    if tensor.untyped_storage().nbytes() < math.prod(shape) * tensor.element_size():
        raise CheckpointError(f"The checkpoint's {name} is larger than its data.")
    own = tensor.detach().to(torch.float32, copy=not mapped).contiguous()
    # One NaN or infinity spoils the sum, which is ten times faster than to look at each value.
    if not own.sum().isfinite():
        raise CheckpointError(f"The checkpoint's {name} holds values that are not finite.")
    return own


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


def _with_body(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of a classifier, also where a backbone was stored by its own."""
    if any(name.startswith((BODY, HEAD)) for name in weights):
        return weights
    return {BODY + name: tensor for name, tensor in weights.items()}
