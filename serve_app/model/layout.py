"""Which files make a model, in a directory or a repository."""

import json
from collections.abc import Iterable
from pathlib import Path

from serve_app.errors import CheckpointError

__all__ = [
    "CONFIG_FILE",
    "MODEL_TYPE",
    "WEIGHTS_FILE",
    "choose_weights",
    "files_of_repository",
    "is_our_config",
]

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
MODEL_TYPE = "ecg_fm"
_HINT = f"An ECG-FM is {CONFIG_FILE} with {WEIGHTS_FILE}, or one fine-tuned checkpoint (.pt)."


def choose_weights(names: Iterable[str], place: str = "directory") -> str:
    """The weights file among ``names``: safetensors, or the one published checkpoint.

    Args:
        names: Of the files at the top.
        place: What they lie in, for the error.

    Raises:
        CheckpointError: if there is none, or several published ones.
    """
    names = sorted(names)
    if WEIGHTS_FILE in names:
        return WEIGHTS_FILE
    found = [name for name in names if name.endswith(".pt")]
    # The published repository holds both checkpoints; only this one is a classifier.
    chosen = [name for name in found if "finetuned" in name] or found
    if len(chosen) != 1:
        listed = ", ".join(chosen) or "none"
        raise CheckpointError(
            f"The {place} must hold one checkpoint; it holds {listed}.", hint=_HINT
        )
    return chosen[0]


def files_of_repository(names: Iterable[str], head: bool) -> list[str]:
    """What has to be fetched of a repository: the weights, and the configuration before them.

    Args:
        names: All its files; those in folders are no part of a model of ours.
        head: Whether a classifier is wanted. A gigabyte of pretrained encoder is then not fetched
            only to be refused.

    Raises:
        CheckpointError: if nothing among them makes a model.
    """
    top = [name for name in names if "/" not in name and "\\" not in name]
    if head:
        top = [name for name in top if not (name.endswith(".pt") and "pretrained" in name)]
    weights = choose_weights(top, "repository")
    if weights != WEIGHTS_FILE:
        return [weights]
    if CONFIG_FILE not in top:
        raise CheckpointError(
            f"The repository holds {WEIGHTS_FILE} but no {CONFIG_FILE}.", hint=_HINT
        )
    return [CONFIG_FILE, weights]


def is_our_config(path: Path) -> bool:
    """Whether a ``config.json`` says that it is of an ECG-FM; nothing more of it is looked at."""
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("model_type") == MODEL_TYPE
