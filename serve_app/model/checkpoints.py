"""From the name of a model to the model: the demo, local files, a repository of the Hub.

Weights fit their architecture exactly or are refused: a model is never completed with random
numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from serve_app.errors import CheckpointError

from .configuration_ecg_fm import EcgFmConfig
from .demo import demo_model, state_sha256
from .network import EcgFmBackbone, EcgFmClassifier
from .quantization import QuantizedLinear
from .sources import Located, locate_model
from .stored import BODY, HEAD, StoredModel, own_tensor, read_stored

__all__ = ["LoadedModel", "load_any", "load_backbone", "load_model", "require_revision"]

Network = TypeVar("Network", EcgFmBackbone, EcgFmClassifier)


@dataclass(frozen=True)
class LoadedModel(Generic[Network]):
    """A model and who it is.

    Args:
        name: What answers call it.
        revision: The first 12 digits of ``sha256``.
        sha256: Of the weights file; for the demo, of its state dict.
        source: ``demo``, ``local`` or ``hub``; never a path.
        demo: Whether its answers are for show only.
        model: The network, float32, on the CPU, in evaluation mode.
        precision: Of its weights.
        commit: Of the Hub's repository that the files are from; None for other sources.
        quantized: Linear layers that are stored in int8, by name; ``model`` then has what they
            stand for. None where all is float32.
    """

    name: str
    revision: str
    sha256: str
    source: str
    demo: bool
    model: Network
    precision: str = "fp32"
    commit: str | None = None
    quantized: Mapping[str, QuantizedLinear] | None = None

    @property
    def config(self) -> EcgFmConfig:
        """Architecture and labels."""
        return self.model.config

    def copied(self) -> "LoadedModel[Network]":
        """The same with weights in memory of their own, whatever becomes of its file."""
        with torch.device("meta"):
            model = type(self.model)(self.model.config)
        state = {name: weight.clone() for name, weight in self.model.state_dict().items()}
        model.load_state_dict(state, assign=True)
        return replace(self, model=model.eval())

    @property
    def parameters(self) -> int:
        """How many numbers its weights are."""
        return sum(weight.numel() for weight in self.model.parameters())


def load_model(
    source: str | Path,
    name: str | None = None,
    *,
    revision: str | None = None,
    timeout_s: float | None = None,
    mapped: bool = False,
) -> LoadedModel[EcgFmClassifier]:
    """Load a classifier.

    Args:
        source: ``demo``; a published ``.pt``; a directory with one, or with ``config.json`` and
            ``model.safetensors``; ``hf:OWNER/NAME[@REVISION]``, fetched unless it is cached.
        name: What answers call it; by default ``demo``, or the name of the file, directory or
            repository.
        revision: What it has to be, as in ``require_revision``.
        timeout_s: Longest wait for an answer of the Hub; None: as its library has it, 10 s.
        mapped: Whether the weights stay in a local file, which nobody may write into then. In the
            Hub's cache, where files are never changed, they stay in any case.

    Raises:
        CheckpointError: if there is none, it cannot be had, or it is damaged, foreign, hostile,
            without a head or of another revision.
    """
    if str(source) == "demo":
        model = demo_model()
        sha256 = state_sha256(model)
        demo = model.config.demo
        loaded = LoadedModel(name or "demo", sha256[:12], sha256, "demo", demo, model)
    else:
        located = locate_model(str(source), revision=revision, timeout_s=timeout_s)
        stored = read_stored(located.weights, located.sha256)
        loaded = _classifier(located, stored, name, mapped)
    require_revision(loaded, revision)
    return loaded


def load_backbone(
    source: str | Path,
    name: str | None = None,
    *,
    revision: str | None = None,
    timeout_s: float | None = None,
) -> LoadedModel[EcgFmBackbone]:
    """Load a model for its features alone; the head of a fine-tuned one is left out.

    Args:
        source: As for ``load_model``; a pretrained checkpoint will do.
        name: What answers call it.
        revision: What it has to be, as in ``require_revision``.
        timeout_s: Longest wait for an answer of the Hub.

    Raises:
        CheckpointError: if there is none, it cannot be had, or it is damaged, foreign, hostile or
            of another revision.
    """
    if str(source) == "demo":
        demo = load_model(source, name)
        network = demo.model.network
        loaded = LoadedModel(demo.name, demo.revision, demo.sha256, "demo", True, network)
    else:
        located = locate_model(str(source), head=False, revision=revision, timeout_s=timeout_s)
        loaded = _backbone(located, read_stored(located.weights, located.sha256), name)
    require_revision(loaded, revision)
    return loaded


def load_any(
    source: str | Path, *, revision: str | None = None
) -> LoadedModel[EcgFmClassifier] | LoadedModel[EcgFmBackbone]:
    """Load a classifier where there is a head, else the backbone; arguments as for both.

    Raises:
        CheckpointError: as ``load_backbone``.
    """
    if str(source) == "demo":
        return load_model(source, revision=revision)
    located = locate_model(str(source), head=False, revision=revision)
    stored = read_stored(located.weights, located.sha256)
    if stored.has_head:
        classifier = _classifier(located, stored, None)
        require_revision(classifier, revision)
        return classifier
    backbone = _backbone(located, stored, None)
    require_revision(backbone, revision)
    return backbone


def require_revision(loaded: LoadedModel[Network], wanted: str | None) -> None:
    """Refuse a model that is not the one asked for.

    Args:
        loaded: The model.
        wanted: The commit of the Hub's repository or the SHA-256 of the weights file, or the first
            digits of either; None: any.

    Raises:
        CheckpointError: if neither begins so.
    """
    known = [loaded.sha256, *([loaded.commit] if loaded.commit else [])]
    if wanted is None or any(each.startswith(wanted.lower()) for each in known):
        return
    of_commit = f" of commit {loaded.commit[:12]}" if loaded.commit else ""
    raise CheckpointError(
        f"The model's revision is {loaded.revision}{of_commit}, not {wanted} as asked.",
        hint="Name the files of that revision, or ask for another: ECG_MODEL_REVISION, --revision.",
    )


def _classifier(
    located: Located, stored: StoredModel, name: str | None, mapped: bool = False
) -> LoadedModel[EcgFmClassifier]:
    if not stored.has_head:
        raise CheckpointError(
            "The checkpoint has no classification head: it is a pretrained encoder.",
            hint="Name the fine-tuned checkpoint.",
        )
    mapped = mapped or located.source == "hub"
    model = _fill(EcgFmClassifier, stored.config, stored.weights, mapped)
    return _loaded(name, located, stored, model)


def _backbone(
    located: Located, stored: StoredModel, name: str | None
) -> LoadedModel[EcgFmBackbone]:
    body = {
        key.removeprefix(BODY): tensor
        for key, tensor in stored.weights.items()
        if not key.startswith(HEAD)
    }
    return _loaded(name, located, stored, _fill(EcgFmBackbone, stored.config, body))


def _fill(
    cls: type[Network], config: EcgFmConfig, weights: Mapping[str, Tensor], mapped: bool = False
) -> Network:
    """Build the network around exactly these weights."""
    with torch.device("meta"):
        model = cls(config)
    expected = model.state_dict()
    _check_names(set(expected), set(weights))
    filled = {
        name: own_tensor(name, weights[name], like.shape, mapped) for name, like in expected.items()
    }
    model.load_state_dict(filled, assign=True)
    return model.eval()


def _check_names(expected: set[str], present: set[str]) -> None:
    for kind, names in (("lacks", expected - present), ("has foreign", present - expected)):
        if names:
            listed = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            raise CheckpointError(f"The checkpoint {kind} weights: {listed}")


def _loaded(
    name: str | None, located: Located, stored: StoredModel, model: Network
) -> LoadedModel[Network]:
    return LoadedModel(
        name or located.name,
        stored.sha256[:12],
        stored.sha256,
        located.source,
        stored.config.demo,
        model,
        precision="int8" if stored.quantized else "fp32",
        commit=located.commit,
        quantized=stored.quantized,
    )
