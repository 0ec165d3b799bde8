"""What is known of a model before it is loaded: its name, and which revision lies on the disk."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serve_app.errors import CheckpointError

__all__ = [
    "Identity",
    "ModelSource",
    "identify",
    "is_revision",
    "looks_like_revision",
    "served_name",
]

_DEMO: Final = "demo"
_REVISION: Final = re.compile("[0-9a-fA-F]{7,64}")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from, and what it has to be.

    Args:
        source: ``demo``, a file, a directory or ``hf:OWNER/NAME[@REVISION]``.
        revision: What its commit or the SHA-256 of its weights has to begin with; None: anything.
    """

    source: str
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """A model that can be asked for but is not loaded; what loading alone would show is None.

    Args:
        name: What answers call it.
        source: ``demo``, ``local`` or ``hub``; never a path.
        sha256: Of its weights.
        commit: Of the Hub's repository.
    """

    name: str
    source: str
    sha256: str | None = None
    commit: str | None = None

    @property
    def revision(self) -> str | None:
        """The first 12 digits of ``sha256``, as loaded models have it."""
        return self.sha256[:12] if self.sha256 else None


def served_name(source: str) -> str:
    """What answers will call a model, as far as its files tell; nothing is fetched or loaded."""
    try:
        return identify(source, with_sha256=False).name
    except CheckpointError:  # its files are gone: what they were called, without their folder
        path = Path(source)
        return path.stem if path.suffix == ".pt" else path.name


def identify(source: str, *, with_sha256: bool = True) -> Identity:
    """What a source stands for now; nothing is fetched or loaded.

    Args:
        source: As in ``ModelSource``.
        with_sha256: Whether to read the files of a local model for it: a third of a second for
            each gigabyte, once while they stay as they are.

    Raises:
        CheckpointError: A local model whose files are not there.
    """
    if source == _DEMO:
        return Identity(_DEMO, "demo")
    # Here, not above: the demo's name needs nothing of the Hub.
    from serve_app.model.hub import HubName, is_hub_name
    from serve_app.model.sources import locate_model

    if is_hub_name(source):
        name = HubName.parse(source)
        return Identity(name.short, "hub", commit=name.commit)
    located = locate_model(source)
    sha256 = _sha256(located.weights) if with_sha256 else None
    return Identity(located.name, located.source, sha256)


def looks_like_revision(digits: str) -> bool:
    """Whether these are 7 or more hexadecimal digits."""
    return _REVISION.fullmatch(digits) is not None


def is_revision(digits: str, sha256: str | None, commit: str | None) -> bool:
    """Whether 7 digits or more begin the SHA-256 of a model's weights, or its commit."""
    return looks_like_revision(digits) and any(
        known is not None and known.startswith(digits.lower()) for known in (sha256, commit)
    )


def _sha256(weights: Path) -> str:
    try:
        stat = weights.stat()
    except OSError as error:
        raise CheckpointError("The model's files cannot be read.") from error
    return _sha256_as_of(weights, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256_as_of(weights: Path, inode: int, size: int, changed_ns: int) -> str:  # noqa: ARG001
    """Of a file as long as it is the same one; the other arguments only tell when it is not."""
    from serve_app.model.stored import sha256_of

    return sha256_of(weights)
