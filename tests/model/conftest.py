"""Small models and checkpoints in the published layout, made here or lying with the recordings."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save

from serve_app.model.checkpoints import LoadedModel, load_model
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.demo import seeded_model
from serve_app.model.network import EcgFmClassifier
from tests.model.hub_stand_in import Files, HubStandIn, running

Content = dict[str, Any]


@pytest.fixture(scope="session")
def small_config() -> EcgFmConfig:
    return EcgFmConfig(
        conv_feature_layers=[[16, 2, 2]] * 4,
        encoder_layers=2,
        encoder_embed_dim=32,
        encoder_ffn_embed_dim=64,
        encoder_attention_heads=4,
        conv_pos=16,
        conv_pos_groups=4,
    )


@pytest.fixture(scope="session")
def small_model(small_config: EcgFmConfig) -> EcgFmClassifier:
    return seeded_model(small_config, seed=1)


@pytest.fixture(scope="session")
def segments() -> torch.Tensor:
    """(3, 12, 2500) float32, standardised noise."""
    return torch.randn(3, 12, 2500, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="session")
def tiny(ecgfm_dir: Path) -> LoadedModel[EcgFmClassifier]:
    return load_model(ecgfm_dir / "tiny_finetuned.pt")


@pytest.fixture(scope="session")
def expected(ecgfm_dir: Path) -> dict[str, np.ndarray]:
    """What the public code makes of the small checkpoint."""
    with np.load(ecgfm_dir / "tiny_finetuned_expected.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="session")
def publish() -> Callable[..., Content]:
    """A model in the published layout: ``publish(model, pretrained=False)``."""

    def write(model: EcgFmClassifier, pretrained: bool = False) -> Content:
        state = {}
        for name, tensor in model.state_dict().items():
            if name.startswith("network."):
                state[name.replace("network.", "" if pretrained else "encoder.", 1)] = tensor
            elif not pretrained:
                state[name.replace("classifier.", "proj.")] = tensor
        if pretrained:
            state |= {"mask_emb": torch.ones(32), "quantizer.vars": torch.ones(1, 4, 8)}
            state |= {"project_q.weight": torch.ones(4, 4), "final_proj.bias": torch.ones(4)}
        return {
            "args": None,
            "cfg": {"model": _model_cfg(model.config, pretrained), "criterion": {}},
            "model": state,
            "extra_state": {},
            "last_optimizer_state": {"state": {0: torch.ones(1000)}},
        }

    return write


def _model_cfg(config: EcgFmConfig, pretrained: bool) -> Content:
    names = (
        "in_d", "conv_bias", "extractor_mode", "encoder_layers", "encoder_embed_dim",
        "encoder_ffn_embed_dim", "encoder_attention_heads", "layer_norm_first", "conv_pos",
        "conv_pos_groups",
    )  # fmt: skip
    cfg: Content = {name: getattr(config, name) for name in names}
    cfg["_name"] = "wav2vec2_cmsc" if pretrained else "ecg_transformer_classifier"
    cfg["conv_feature_layers"] = "[(16, 2, 2)] * 4"
    if not pretrained:
        cfg["num_labels"] = config.num_labels
    return cfg


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A stand-in for the Hub, and an empty cache, both for this process."""
    with running() as stand_in:
        template = stand_in.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", stand_in.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield stand_in


@pytest.fixture
def hub_environment(hub: HubStandIn, tmp_path: Path) -> dict[str, str]:
    """The same for another process."""
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}


@pytest.fixture(scope="session")
def our_files(small_model: EcgFmClassifier) -> Files:
    """The small model in our layout."""
    config = small_model.config.to_json_string().encode()
    weights = save(small_model.state_dict(), {"format": "pt"})
    return {"README.md": b"#", "config.json": config, "model.safetensors": weights}


@pytest.fixture(scope="session")
def published_files(small_model: EcgFmClassifier, publish: Callable[..., Content]) -> Files:
    """The small model as its authors publish theirs: both checkpoints, a file beside each."""

    def written(content: Content) -> bytes:
        file = io.BytesIO()
        torch.save(content, file)
        return file.getvalue()

    return {
        "a_pretrained.pt": written(publish(small_model, pretrained=True)),
        "a_pretrained.yaml": b"model: {}",
        "b_finetuned.pt": written(publish(small_model)),
        "b_finetuned.yaml": b"model: {}",
    }
