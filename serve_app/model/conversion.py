# mypy: allow-untyped-calls
"""A model of any source, written as ours: ``config.json`` and ``model.safetensors``.

What is fitted for a model later, its calibration, is stored in that ``config.json``.
"""

import copy
import json
import shutil
import uuid
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from serve_app.errors import CheckpointError

from .calibration import Calibration, require_same_weights
from .checkpoints import LoadedModel
from .hub import is_hub_name
from .layout import CONFIG_FILE, WEIGHTS_FILE
from .network import EcgFmBackbone, EcgFmClassifier
from .quantization import pack
from .sources import locate_model
from .stored import BODY, read_config, sha256_of

__all__ = ["require_storable", "store_calibration", "write_model"]

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


def require_storable(source: str) -> Path:
    """The ``config.json`` that a calibration of this model can be stored in.

    Raises:
        CheckpointError: if there is none: the demo, a ``.pt``, a repository of the Hub.
    """
    ours = source != "demo" and not is_hub_name(source)
    weights = locate_model(source).weights if ours else None
    if weights is None or weights.name != WEIGHTS_FILE:
        raise CheckpointError(
            f"A calibration can be stored only beside {WEIGHTS_FILE} in a directory of ours.",
            hint="Make one first: ecg-serve model convert MODEL OUT_DIR; then name OUT_DIR.",
        )
    return weights.with_name(CONFIG_FILE)


def store_calibration(source: str, calibration: Calibration) -> None:
    """Store what was fitted in the model's ``config.json``, in place of what was there.

    Raises:
        CheckpointError: if the model is not in a directory of ours, its weights are not those that
            the calibration was fitted for, or the file cannot be written.
    """
    path = require_storable(source)
    told = calibration.to_dict()
    require_same_weights(told, sha256_of(path.with_name(WEIGHTS_FILE)))
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        fields = json.loads(path.read_text("utf-8")) | {"calibration": told}
        part.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", "utf-8")
        read_config(part)
        part.replace(path)
    except OSError as error:
        raise CheckpointError(
            f"The calibration cannot be written: {error.strerror or 'the disk refuses'}.",
            hint="Have the model in a directory that can be written to.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


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
        save_file(weights, made / WEIGHTS_FILE, {"format": "pt"})
        if config.calibration is not None:
            # The same numbers in another file: what was fitted for them goes along.
            config.calibration["sha256"] = sha256_of(made / WEIGHTS_FILE)
        config.save_pretrained(made)
        made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
