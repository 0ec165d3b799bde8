"""Models by name: local files whole, foreign, damaged and hostile."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from serve_app.engine.loading import refuse_missing_model
from serve_app.errors import CheckpointError
from serve_app.model.checkpoints import LoadedModel, load_backbone, load_model
from serve_app.model.network import EcgFmClassifier
from serve_app.settings import load_settings

Publish = Callable[..., dict[str, Any]]


@pytest.fixture
def write(
    tmp_path: Path, small_model: EcgFmClassifier, publish: Publish
) -> Callable[[dict[str, Any]], Path]:
    """A checkpoint of the small model with some weights replaced, or None: left out."""

    def to_file(changes: dict[str, Tensor | None]) -> Path:
        content = publish(small_model)
        content["model"] |= changes
        content["model"] = {k: v for k, v in content["model"].items() if v is not None}
        torch.save(content, tmp_path / "changed.pt")
        return tmp_path / "changed.pt"

    return to_file


@pytest.fixture
def folder(tmp_path: Path, small_model: EcgFmClassifier) -> Path:
    """A directory in our layout."""
    path = tmp_path / "ours"
    path.mkdir()
    small_model.config.save_pretrained(path)
    save_file(small_model.state_dict(), path / "model.safetensors", {"format": "pt"})
    return path


def refused(source: str | Path, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_model(source)
    if isinstance(source, Path):
        assert str(source.parent) not in f"{caught.value.detail} {caught.value.hint}"


def test_demo_is_known_by_its_weights() -> None:
    loaded = load_model("demo")
    assert (loaded.name, loaded.source, loaded.demo, loaded.precision) == (
        "demo", "demo", True, "fp32",
    )  # fmt: skip
    assert loaded.sha256.startswith(loaded.revision)
    assert not loaded.model.training
    assert load_backbone("demo").sha256 == loaded.sha256


def test_published_file_is_read_exactly(
    write: Callable[..., Path], small_model: EcgFmClassifier
) -> None:
    loaded = load_model(write({}), name="mine")
    assert (loaded.name, loaded.source, loaded.demo) == ("mine", "local", False)
    assert len(loaded.sha256) == 64
    for name, tensor in small_model.state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], tensor, atol=0, rtol=0)


def test_weights_do_not_depend_on_the_file(write: Callable[..., Path], segments: Tensor) -> None:
    path = write({})
    loaded = load_model(path)
    before = loaded.model(segments)[0]
    path.write_bytes(b"")
    torch.testing.assert_close(loaded.model(segments)[0], before, atol=0, rtol=0)


def test_directory_with_published_files(
    tmp_path: Path, small_model: EcgFmClassifier, publish: Publish
) -> None:
    refused(tmp_path, "must hold one checkpoint; it holds none")
    torch.save(publish(small_model, pretrained=True), tmp_path / "a_pretrained.pt")
    refused(tmp_path, "no classification head")
    torch.save(publish(small_model), tmp_path / "b_finetuned.pt")
    assert load_model(tmp_path).name == "b_finetuned"
    shutil.copy(tmp_path / "b_finetuned.pt", tmp_path / "c_finetuned.pt")
    refused(tmp_path, "b_finetuned.pt, c_finetuned.pt")


def test_pretrained_gives_features_but_no_scores(
    tmp_path: Path, small_model: EcgFmClassifier, publish: Publish, segments: Tensor
) -> None:
    path = tmp_path / "pretrained.pt"
    torch.save(publish(small_model, pretrained=True), path)
    refused(path, "no classification head")
    pooled = load_backbone(path).model(segments).pooled
    torch.testing.assert_close(pooled, small_model(segments)[1], atol=0, rtol=0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"encoder.encoder.layer_norm.bias": None}, r"lacks weights: .*layer_norm\.bias"),
        ({"encoder.encoder.layers.1.fc2.weight": None}, "lacks weights"),
        ({"encoder.encoder.layers.1.fc1.weight": None}, "contradicts itself.*encoder_layers"),
        ({"encoder.encoder.layers.9.fc1.weight": torch.ones(64, 32)}, "foreign weights"),
        ({"proj.bias": None}, "lacks a proper classifier.bias"),
        ({"proj.weight": torch.ones(17, 31)}, "shape"),
        ({"encoder.layer_norm.weight": torch.ones(17)}, "shape"),
        ({"encoder.stranger": torch.ones(1)}, "foreign weights: .*stranger"),
        ({"encoder.layer_norm.weight": torch.ones(16, dtype=torch.int64)}, "floating point"),
        ({"encoder.layer_norm.weight": torch.full((16,), torch.nan)}, "not finite"),
        ({"encoder.layer_norm.weight": torch.ones(1).expand(16)}, "larger than its data"),
        ({"encoder.layer_norm.weight": "ones"}, "not named tensors"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_weights_that_do_not_fit(
    write: Callable[..., Path], changes: dict[str, Any], reason: str
) -> None:
    refused(write(changes), reason)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.3, 0.9, -1])
def test_truncated_checkpoint(write: Callable[..., Path], keep: float) -> None:
    path = write({})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    refused(path, "damaged")


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, -1])
def test_truncated_safetensors(folder: Path, keep: float) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    refused(path, "damaged")


def test_safetensors_with_foreign_or_missing_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"stranger": torch.ones(1)}, folder / "model.safetensors")
    refused(folder / "model.safetensors", "foreign weights: stranger")
    del weights["network.layer_norm.bias"]
    save_file(weights, folder / "model.safetensors")
    refused(folder, r"lacks weights: network\.layer_norm\.bias")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no readable config"),
        ("{", "no readable config"),
        ("[]", "not that of an ECG-FM"),
        ('{"model_type": "bert"}', "not that of an ECG-FM"),
        ('{"model_type": "ecg_fm", "encoder_layer": 1}', "unknown configuration keys"),
        ('{"model_type": "ecg_fm", "encoder_layers": 0}', "at least 1"),
        ('{"model_type": "ecg_fm", "encoder_layers": "2"}', "encoder_layers"),
    ],
)
def test_bad_configuration(folder: Path, text: str | None, reason: str) -> None:
    config = folder / "config.json"
    if text is None:
        config.unlink()
    else:
        config.write_text(text)
    refused(folder / "model.safetensors", reason)


def test_configuration_carries_the_labels(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"label_thresholds": [0.25] * 17}))
    assert {label.threshold for label in load_model(folder).config.labels} == {0.25}


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    refused("ecg-fm", "no such model")
    refused(tmp_path / "nothing" / "here.pt", "no such model")
    for name in ("x" * 5000, "~nobody-here/x", "a\0b"):
        refused(name, "cannot be read|no such model")
        with pytest.raises(CheckpointError, match="no model"):
            refuse_missing_model(load_settings(model=name))


def test_shared_checkpoint_keeps_its_own_weights_of_positives(
    tiny: LoadedModel[EcgFmClassifier],
) -> None:
    assert tiny.name == "tiny_finetuned"
    assert tiny.config.label_pos_weights[4] == pytest.approx(1104.575439)
    assert tiny.config.encoder_attention_heads == 4
