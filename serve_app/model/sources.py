"""Where a model's files are: on this machine already, or on the Hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serve_app.errors import CheckpointError

from .hub import HubName, fetch, is_hub_name
from .layout import WEIGHTS_FILE, choose_weights

__all__ = ["Located", "locate_model"]


@dataclass(frozen=True)
class Located:
    """Files of a model, on this machine.

    Args:
        weights: The weights file.
        name: What answers call the model unless told otherwise.
        source: ``local`` or ``hub``.
        commit: Of the Hub's repository.
        sha256: What the weights file has to have, where the Hub told it.
    """

    weights: Path
    name: str
    source: Literal["local", "hub"] = "local"
    commit: str | None = None
    sha256: str | None = None


def locate_model(
    source: str,
    *,
    head: bool = True,
    revision: str | None = None,
    timeout_s: float | None = None,
) -> Located:
    """The weights file that a model's name stands for; one of the Hub is fetched.

    Args:
        source: A file, a directory or ``hf:OWNER/NAME[@REVISION]``.
        head: Whether a classifier is wanted.
        revision: A whole commit here pins a name of the Hub that has no revision of its own.
        timeout_s: Longest wait for an answer of the Hub.

    Raises:
        CheckpointError: if there is no such file, a directory holds none or several, or the Hub
            does not give it.
    """
    if is_hub_name(source):
        name = HubName.parse(source).pinned_to(revision)
        files = fetch(name, head=head, timeout_s=timeout_s)
        return Located(files.weights, name.short, "hub", files.commit, files.sha256)
    try:
        path = Path(source).expanduser()
        weights = path if path.is_file() else _in_directory(path)
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~ of nobody, a zero byte
        raise CheckpointError("The model's files cannot be read.") from error
    return Located(weights, _name_of(weights))


def _in_directory(path: Path) -> Path:
    if not path.is_dir():
        raise CheckpointError(
            "There is no such model: neither 'demo' nor a local file or directory.",
            hint="A repository of the Hub is named hf:OWNER/NAME or hf:OWNER/NAME@REVISION.",
        )
    return path / choose_weights(file.name for file in path.iterdir() if file.is_file())


def _name_of(path: Path) -> str:
    return path.parent.resolve().name if path.name == WEIGHTS_FILE else path.stem
