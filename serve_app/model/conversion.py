"""A model of any source, written as ours: ``config.json`` and ``model.safetensors``."""

import shutil
import uuid
from pathlib import Path

from transformers.utils import logging

from serve_app.errors import CheckpointError

from .checkpoints import LoadedModel
from .modeling_ecg_fm import EcgFmForSequenceClassification, EcgFmModel
from .network import EcgFmBackbone, EcgFmClassifier

__all__ = ["write_model"]


def write_model(
    loaded: LoadedModel[EcgFmClassifier] | LoadedModel[EcgFmBackbone], folder: Path
) -> None:
    """Write a model's float32 weights, bit for bit, with its labels and weights of positives.

    Args:
        loaded: The model. A pretrained encoder stays without a head.
        folder: Made, with all that is above it; it must be empty if it is there.

    Raises:
        CheckpointError: if the folder cannot be written.
    """
    network = loaded.model
    model: EcgFmForSequenceClassification | EcgFmModel
    if isinstance(network, EcgFmClassifier):
        model = EcgFmForSequenceClassification.from_network(network)
    else:
        model = EcgFmModel.from_network(network)
    try:
        _write(model, folder.expanduser().resolve())
    except OSError as error:
        raise CheckpointError(
            f"The model cannot be written: {error.strerror or 'the disk refuses'}.",
            hint="Name a new or empty directory, on a disk with room for it.",
        ) from error


def _write(model: EcgFmForSequenceClassification | EcgFmModel, folder: Path) -> None:
    """All or nothing: a folder with half a model in it is never seen under its name."""
    made = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    made.mkdir(parents=True)
    showed_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(made)
        made.replace(folder)
    finally:
        if showed_progress:
            logging.enable_progress_bar()
        shutil.rmtree(made, ignore_errors=True)
