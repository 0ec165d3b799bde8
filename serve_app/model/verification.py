"""What a model is, and whether it computes what it should."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from serve_app.errors import CheckpointError, InvalidSignal

from .checkpoints import LoadedModel, load_any
from .network import EcgFmBackbone, EcgFmClassifier, Encoded

__all__ = ["TOLERANCE", "Verified", "compare", "verify"]

TOLERANCE = 1e-4

Arrays = dict[str, npt.NDArray[Any]]
Loaded = LoadedModel[EcgFmClassifier] | LoadedModel[EcgFmBackbone]


@dataclass(frozen=True)
class Verified:
    """A model that was loaded: its weights fit its architecture, and each is finite.

    Args:
        name: What answers call it.
        source: ``demo``, ``local`` or ``hub``.
        revision: The first 12 digits of ``sha256``.
        sha256: Of the weights file.
        commit: Of the Hub's repository.
        precision: Of the weights.
        parameters: How many numbers they are.
        labels: Of the outputs, in order; none for a pretrained encoder.
        demo: Whether its answers are for show only.
        differences: Largest absolute difference from each array of expected outputs.
    """

    name: str
    source: str
    revision: str
    sha256: str
    commit: str | None
    precision: str
    parameters: int
    labels: tuple[str, ...]
    demo: bool
    differences: dict[str, float]

    @property
    def agrees(self) -> bool:
        """Whether every difference is within 1e-4."""
        return all(difference <= TOLERANCE for difference in self.differences.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which knows no infinity: None where a difference is infinite."""
        told = {
            name: difference if math.isfinite(difference) else None
            for name, difference in self.differences.items()
        }
        return asdict(self) | {
            "labels": list(self.labels),
            "differences": told,
            "agrees": self.agrees,
        }


def verify(source: str, revision: str | None = None, expected: Path | None = None) -> Verified:
    """Load a model, and compare it with expected outputs if there are any.

    Args:
        source: As for ``load_model``; a pretrained encoder will do.
        revision: What it has to be.
        expected: An ``.npz`` as ``compare`` takes it.

    Raises:
        CheckpointError: if it cannot be loaded, is of another revision or holds values that are
            not finite, or the expected outputs cannot be compared.
    """
    loaded: Loaded = load_any(source, revision=revision)
    labels = loaded.config.labels if isinstance(loaded.model, EcgFmClassifier) else ()
    return Verified(
        name=loaded.name,
        source=loaded.source,
        revision=loaded.revision,
        sha256=loaded.sha256,
        commit=loaded.commit,
        precision=loaded.precision,
        parameters=sum(tensor.numel() for tensor in loaded.model.parameters()),
        labels=tuple(label.name for label in labels),
        demo=loaded.demo,
        differences=compare(loaded, _read_expected(expected)) if expected else {},
    )


def compare(loaded: Loaded, expected: Arrays) -> dict[str, float]:
    """Largest absolute differences from what was computed elsewhere.

    Args:
        loaded: The model.
        expected: ``source`` (n, leads, samples), standardised, and outputs for it by name:
            ``nopad_``, or ``pad_`` where ``pad_lengths`` (n,) samples count, or ``zeroleads_`` for
            zeros in the chest leads, or ``allzero_`` for one segment of zeros; then ``logits``,
            ``probs``, ``pooled`` or ``encoder_out``, which counts at valid tokens only.

    Returns:
        By name; NaN differs infinitely.

    Raises:
        CheckpointError: if nothing can be compared, or the shapes are of another model.
    """
    found: dict[str, float] = {}
    try:
        for prefix, source, lengths in _cases(expected):
            for name, computed in _outputs(loaded.model, source, lengths).items():
                if prefix + name in expected:
                    found[prefix + name] = _difference(computed, expected[prefix + name])
    except (InvalidSignal, TypeError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError("The expected outputs do not fit this model.") from error
    if not found:
        raise CheckpointError("The file holds no expected outputs that this model has.")
    return found


def _cases(expected: Arrays) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """(prefix, input, lengths) of each kind of output."""
    source = torch.from_numpy(np.asarray(expected["source"], np.float32))
    yield "nopad_", source, None
    if "pad_lengths" in expected:
        yield "pad_", source, torch.from_numpy(np.asarray(expected["pad_lengths"], np.int64))
    limbs_only = source.clone()
    limbs_only[:, 6:] = 0
    yield "zeroleads_", limbs_only, None
    yield "allzero_", torch.zeros_like(source[:1]), None


@torch.inference_mode()
def _outputs(
    model: EcgFmClassifier | EcgFmBackbone, source: Tensor, lengths: Tensor | None
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Outputs by name, each with the tokens at which it counts."""
    backbone = model.network if isinstance(model, EcgFmClassifier) else model
    encoded: Encoded = backbone(source, lengths)
    outputs: dict[str, tuple[Tensor, Tensor | None]] = {
        "pooled": (encoded.pooled, None),
        "encoder_out": (encoded.tokens, encoded.token_mask),
    }
    if isinstance(model, EcgFmClassifier):
        logits = model.classifier(encoded.pooled)
        outputs |= {"logits": (logits, None), "probs": (torch.sigmoid(logits), None)}
    return outputs


def _difference(computed: tuple[Tensor, Tensor | None], expected: npt.NDArray[Any]) -> float:
    got, where = computed
    want = torch.from_numpy(np.asarray(expected, np.float32))
    if got.shape != want.shape:
        raise ValueError("another shape")
    difference = (got - want).abs()
    worst = float((difference if where is None else difference[where]).max())
    return float("inf") if math.isnan(worst) else worst


def _read_expected(path: Path) -> Arrays:
    try:
        # No pickles: the file may be anyone's.
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise CheckpointError(
            "The expected outputs cannot be read: no .npz file, or a damaged one."
        ) from error
