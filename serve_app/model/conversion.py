# mypy: allow-untyped-calls
"""A model of any source, written as ours: ``config.json`` and ``model.safetensors``."""

import copy
import shutil
import uuid
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from serve_app.errors import CheckpointError

from .checkpoints import LoadedModel
from .layout import WEIGHTS_FILE
from .network import EcgFmBackbone, EcgFmClassifier
from .quantization import pack
from .stored import BODY

__all__ = ["write_model"]

Loaded = LoadedModel[EcgFmClassifier] | LoadedModel[EcgFmBackbone]


def write_model(loaded: Loaded, folder: Path) -> None:
    """Write a model's weights, bit for bit, with its labels and weights of positives.

    Args:
        loaded: The model. A pretrained encoder stays without a head.
        folder: Made, with all that is above it; it must be empty if it is there.

    Raises:
        CheckpointError: if the folder cannot be written.
    """
    try:
        _write(loaded, folder.expanduser().resolve())
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or "the disk refuses"
        raise CheckpointError(
            f"The model cannot be written: {reason}.",
            hint="Name a new or empty directory, on a disk with room for it.",
        ) from error


def _write(loaded: Loaded, folder: Path) -> None:
    """All or nothing: a folder with half a model in it is never seen under its name."""
    made = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    made.mkdir(parents=True)
    has_head = isinstance(loaded.model, EcgFmClassifier)
    config = copy.deepcopy(loaded.config)
    config.architectures = ["EcgFmForSequenceClassification" if has_head else "EcgFmModel"]
    prefix = "" if has_head else BODY
    state = pack(loaded.model.state_dict(), loaded.quantized or {})
    weights = {prefix + name: tensor for name, tensor in state.items()}
    try:
        config.save_pretrained(made)
        save_file(weights, made / WEIGHTS_FILE, {"format": "pt"})
        made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
