from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging

from serve_app.errors import CheckpointError, InvalidSignal
from serve_app.model.checkpoints import load_backbone, load_model
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.modeling_ecg_fm import EcgFmForSequenceClassification, EcgFmModel
from serve_app.model.network import EcgFmClassifier


@pytest.fixture(scope="module", autouse=True)
def _no_progress_bars() -> None:
    logging.disable_progress_bar()


@pytest.fixture(scope="module")
def saved(small_model: EcgFmClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    EcgFmForSequenceClassification.from_network(small_model).save_pretrained(folder)
    return folder


@torch.inference_mode()
def test_round_trip_through_safetensors(
    small_model: EcgFmClassifier, saved: Path, segments: Tensor
) -> None:
    logits, pooled = small_model(segments)
    classifier = AutoModelForSequenceClassification.from_pretrained(saved)
    assert isinstance(classifier, EcgFmForSequenceClassification)
    torch.testing.assert_close(classifier(segments).logits, logits, atol=0, rtol=0)
    features = AutoModel.from_pretrained(saved)
    assert isinstance(features, EcgFmModel)
    torch.testing.assert_close(features(segments).pooler_output, pooled, atol=0, rtol=0)
    loaded = load_model(saved)
    assert (loaded.name, loaded.source, loaded.demo) == ("small", "local", False)
    torch.testing.assert_close(loaded.model(segments)[0], logits, atol=0, rtol=0)
    torch.testing.assert_close(load_backbone(saved).model(segments).pooled, pooled)


def test_configuration_is_registered(saved: Path, small_config: EcgFmConfig) -> None:
    config = AutoConfig.from_pretrained(saved)
    assert isinstance(config, EcgFmConfig)
    assert config.labels == small_config.labels


@torch.inference_mode()
def test_masks_lengths_and_hidden_states(small_model: EcgFmClassifier, segments: Tensor) -> None:
    model = EcgFmForSequenceClassification.from_network(small_model)
    lengths = torch.tensor([2500, 1800, 777])
    mask = torch.arange(2500) >= lengths[:, None]
    by_mask = model(segments, padding_mask=mask[:, None].expand(3, 12, 2500))
    torch.testing.assert_close(by_mask.logits, small_model(segments, lengths)[0])
    states = model(segments, output_hidden_states=True).hidden_states
    assert [tuple(state.shape) for state in states] == [(3, 156, 32)] * 3
    assert model(segments, return_dict=False)[0].shape == (3, 17)
    with pytest.raises(InvalidSignal):
        model(segments, lengths=torch.tensor([2500, 2500, 3]))


def test_loss_weighs_positives(small_model: EcgFmClassifier, segments: Tensor) -> None:
    model = EcgFmForSequenceClassification.from_network(small_model)
    missed = model(segments, labels=torch.ones(3, 17)).loss
    missed.backward()
    assert missed > model(segments, labels=torch.zeros(3, 17)).loss


def test_missing_head_is_refused_unless_a_new_one_is_asked_for(
    small_model: EcgFmClassifier, saved: Path, tmp_path: Path
) -> None:
    EcgFmModel.from_pretrained(saved).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"classifier\.weight"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, ignore_mismatched_sizes=True
    )
    assert model.classifier.weight.isfinite().all()
    with pytest.raises(CheckpointError, match="no classification head"):
        load_model(tmp_path)
    assert load_backbone(tmp_path).model.config.encoder_embed_dim == 32


@pytest.mark.parametrize("old_names", [False, True])
@torch.inference_mode()
def test_published_checkpoints(
    small_model: EcgFmClassifier,
    publish: Callable[..., dict[str, Any]],
    tmp_path: Path,
    segments: Tensor,
    old_names: bool,
) -> None:
    logits, pooled = small_model(segments)
    for pretrained in (False, True):
        content = publish(small_model, pretrained)
        if old_names:
            content["model"] = {
                name.replace("parametrizations.weight.original0", "weight_g").replace(
                    "parametrizations.weight.original1", "weight_v"
                ): tensor
                for name, tensor in content["model"].items()
            }
            content["extra_state"] = {"best": np.float64(0.5)}
        folder = tmp_path / ("pretrained" if pretrained else "finetuned")
        folder.mkdir()
        torch.save(content, folder / "x.pt")
        for source in (folder, folder / "x.pt", str(folder / "x.pt")):
            features = EcgFmModel.from_pretrained(source)
            torch.testing.assert_close(features(segments).pooler_output, pooled, atol=0, rtol=0)
    classifier = EcgFmForSequenceClassification.from_pretrained(tmp_path / "finetuned")
    torch.testing.assert_close(classifier(segments).logits, logits, atol=0, rtol=0)
    classifier.save_pretrained(tmp_path / "saved")
    again = EcgFmForSequenceClassification.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(again(segments).logits, logits, atol=0, rtol=0)
    assert again.config.labels == classifier.config.labels
    with pytest.raises(CheckpointError, match=r"missing keys: classifier\.bias"):
        EcgFmForSequenceClassification.from_pretrained(tmp_path / "pretrained")


def test_options_of_transformers_hold_for_published_checkpoints(
    small_model: EcgFmClassifier, publish: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    torch.save(publish(small_model), tmp_path / "x_finetuned.pt")
    path = tmp_path / "x_finetuned.pt"
    load = EcgFmForSequenceClassification.from_pretrained
    assert load(path, dtype=torch.bfloat16).dtype == torch.bfloat16
    model, info = load(path, output_loading_info=True)
    assert (model.training, list(info["missing_keys"])) == (False, [])
    fields = {name: getattr(small_model.config, name) for name in (
        "conv_feature_layers", "encoder_layers", "encoder_embed_dim", "encoder_ffn_embed_dim",
        "encoder_attention_heads", "conv_pos", "conv_pos_groups",
    )}  # fmt: skip
    other_head = load(
        path, config=EcgFmConfig(**fields, num_labels=3), ignore_mismatched_sizes=True
    )
    assert other_head.classifier.weight.shape == (3, 32)
    assert other_head.classifier.weight.isfinite().all()
    body = small_model.network.state_dict()
    assert all(
        torch.equal(tensor, body[n]) for n, tensor in other_head.network.state_dict().items()
    )


def test_damaged_files_are_told(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04")
    folder = tmp_path / "cut"
    folder.mkdir()
    (folder / "config.json").write_bytes((saved / "config.json").read_bytes())
    (folder / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes()[:-9])
    for source in (tmp_path / "cut.pt", folder):
        for cls in (EcgFmModel, EcgFmForSequenceClassification):
            with pytest.raises(CheckpointError, match="damaged") as caught:
                cls.from_pretrained(source)
            assert str(tmp_path) not in f"{caught.value.detail} {caught.value.hint}"
