"""The published layout: its variants, and files that are hostile or something else."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from serve_app.errors import CheckpointError
from serve_app.model.checkpoints import load_backbone, load_model
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.demo import seeded_model
from serve_app.model.network import EcgFmClassifier
from serve_app.model.published import parse_conv_layers, read_published

Publish = Callable[..., dict[str, Any]]
OLD_NAMES = {
    "conv_pos.pos_conv.0.parametrizations.weight.original0": "conv_pos.pos_conv.0.weight_g",
    "conv_pos.pos_conv.0.parametrizations.weight.original1": "conv_pos.pos_conv.0.weight_v",
}


def with_old_names(content: dict[str, Any]) -> dict[str, Any]:
    def old(name: str) -> str:
        for new, spelling in OLD_NAMES.items():
            name = name.replace(new, spelling)
        return name

    content["model"] = {old(name): tensor for name, tensor in content["model"].items()}
    return content


def with_numpy_scalars(content: dict[str, Any]) -> dict[str, Any]:
    content["extra_state"] = {
        "best": np.float64(0.5), "loss": np.float32(1.5), "epoch": np.int64(3),
        "done": np.bool_(True), "curve": np.arange(3.0), "counts": np.arange(3, dtype=np.int32),
    }  # fmt: skip
    return content


def as_numpy_1(data: bytes) -> bytes:
    return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def save(content: dict[str, Any], path: Path) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("variant", [with_old_names, with_numpy_scalars])
@torch.inference_mode()
def test_variants_of_the_small_checkpoint(
    ecgfm_dir: Path, expected: dict[str, np.ndarray], tmp_path: Path, variant: Callable
) -> None:
    content = torch.load(ecgfm_dir / "tiny_finetuned.pt", weights_only=True)
    loaded = load_model(save(variant(content), tmp_path / "variant.pt"))
    logits = loaded.model(torch.from_numpy(expected["source"]))[0]
    np.testing.assert_allclose(logits.numpy(), expected["nopad_logits"], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_small_checkpoint_as_a_pretrained_one(
    ecgfm_dir: Path, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    content = torch.load(ecgfm_dir / "tiny_finetuned.pt", weights_only=True)
    content["cfg"]["model"]["_name"] = "wav2vec2_cmsc"
    del content["cfg"]["model"]["num_labels"]
    weights = {
        k.removeprefix("encoder."): v for k, v in content["model"].items() if k[:4] != "proj"
    }
    content["model"] = weights | {"mask_emb": torch.ones(32), "final_proj.weight": torch.ones(2)}
    loaded = load_backbone(save(content, tmp_path / "pretrained.pt"))
    pooled = loaded.model(torch.from_numpy(expected["source"])).pooled
    np.testing.assert_allclose(pooled.numpy(), expected["nopad_pooled"], atol=1e-5, rtol=0)


def test_pre_norm_is_taken_from_the_configuration(
    small_config: EcgFmConfig, publish: Publish, tmp_path: Path, segments: Tensor
) -> None:
    model = seeded_model(EcgFmConfig(**small_config.to_dict() | {"layer_norm_first": True}), 4)
    loaded = load_model(save(publish(model), tmp_path / "pre_norm.pt"))
    assert loaded.config.layer_norm_first
    torch.testing.assert_close(loaded.model(segments)[0], model(segments)[0], atol=0, rtol=0)


@pytest.mark.parametrize("change", [with_old_names, with_numpy_scalars])
def test_spellings(
    small_model: EcgFmClassifier, publish: Publish, tmp_path: Path, change: Callable
) -> None:
    path = save(change(publish(small_model)), tmp_path / "spelt.pt")
    assert load_model(path).config.labels == small_model.config.labels


def test_numpy_1_spelling_of_scalars(
    small_model: EcgFmClassifier, publish: Publish, tmp_path: Path
) -> None:
    # Stands for a file written under NumPy 1: the same pickle with that module's name.
    path, rewritten = tmp_path / "numpy2.pt", tmp_path / "numpy1.pt"
    torch.save(with_numpy_scalars(publish(small_model)), path)
    _rewrite_pickle(path, rewritten, as_numpy_1)
    assert b"numpy.core.multiarray" in rewritten.read_bytes()
    assert load_model(rewritten).config.num_labels == 17


def _rewrite_pickle(source: Path, target: Path, change: Callable[[bytes], bytes]) -> None:
    reader = torch._C.PyTorchFileReader(str(source))
    writer = torch._C.PyTorchFileWriter(str(target))
    for name in reader.get_all_records():
        if name in ("version", "byteorder") or name.startswith("."):
            continue
        data = reader.get_record(name)
        data = change(data) if name == "data.pkl" else data
        writer.write_record(name, data, len(data))
    writer.write_end_of_file()


def test_half_precision_is_read_as_float32(
    small_model: EcgFmClassifier, publish: Publish, tmp_path: Path
) -> None:
    content = publish(small_model)
    content["model"] = {name: tensor.half() for name, tensor in content["model"].items()}
    state = load_model(save(content, tmp_path / "half.pt")).model.state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


def test_weights_of_positives_are_the_checkpoints_own(
    small_model: EcgFmClassifier, publish: Publish, tmp_path: Path
) -> None:
    content = publish(small_model)
    content["cfg"]["criterion"]["pos_weight"] = [float(n + 1) for n in range(17)]
    labels = load_model(save(content, tmp_path / "weighted.pt")).config.labels
    assert [label.pos_weight for label in labels] == [float(n + 1) for n in range(17)]
    for wrong in ([1.0], ["a"] * 17, [0.0] * 17, "1"):
        content["cfg"]["criterion"]["pos_weight"] = wrong
        with pytest.raises(CheckpointError, match="pos_weight"):
            load_model(save(content, tmp_path / "wrong.pt"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("_name", "resnet"),
        ("encoder_layers", 12),
        ("encoder_embed_dim", "32"),
        ("encoder_attention_heads", None),
        ("encoder_attention_heads", 5),
        ("encoder_attention_heads", True),
        ("layer_norm_first", 0),
        ("conv_bias", True),
        ("in_d", 8),
        ("num_labels", 18),
        ("extractor_mode", "layer_norm"),
        ("conv_feature_layers", "[(16, 2, 2)] * 3"),
        ("conv_feature_layers", "[(16, 3, 2)] * 4"),
        ("conv_feature_layers", "__import__('os')"),
        ("conv_feature_layers", 4),
    ],
)
def test_configuration_that_contradicts_the_weights(
    small_model: EcgFmClassifier, publish: Publish, tmp_path: Path, field: str, value: Any
) -> None:
    content = publish(small_model)
    content["cfg"]["model"][field] = value
    with pytest.raises(CheckpointError):
        load_model(save(content, tmp_path / "contradictory.pt"))


@pytest.mark.parametrize(
    "content",
    [
        7,
        [],
        {},
        {"model": 1},
        {"state_dict": {}},
        {"model": {}, "cfg": None},
        {"model": {}, "cfg": {"model": {}}},
    ],
    ids=str,
)
def test_foreign_content(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CheckpointError):
        load_model(save(content, tmp_path / "foreign.pt"))


def test_plain_state_dict_of_another_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no ECG-FM checkpoint"):
        load_model(save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt"))


@pytest.mark.parametrize("data", [b"", b"not a checkpoint", b"PK\x03\x04", bytes(1000)])
def test_files_of_another_kind(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(path)


class Hostile:
    """Unpickling it makes a directory."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.target,)


@pytest.mark.parametrize("place", ["model", "extra_state", "cfg", "zip", "plain"])
def test_hostile_pickle_is_refused_and_not_run(
    small_model: EcgFmClassifier, publish: Publish, tmp_path: Path, place: str
) -> None:
    trap, path = tmp_path / "trap", tmp_path / "hostile.pt"
    content = publish(small_model)
    if place in content:
        content[place]["hostile"] = Hostile(trap)
    if place == "plain":
        path.write_bytes(pickle.dumps(Hostile(trap)))
    else:
        torch.save(Hostile(trap) if place == "zip" else content, path)
    with pytest.raises(CheckpointError, match=r"nothing was run|damaged") as caught:
        load_model(path)
    assert not trap.exists()
    assert str(tmp_path) not in f"{caught.value.detail} {caught.value.hint}"


def test_optimiser_state_is_left_out(
    small_model: EcgFmClassifier, publish: Publish, tmp_path: Path
) -> None:
    read = read_published(save(publish(small_model, pretrained=True), tmp_path / "full.pt"))
    assert not read.has_head
    assert set(read.weights) == set(small_model.network.state_dict())


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("[(256, 2, 2)] * 4", [[256, 2, 2]] * 4),
        ("[(256,2,2)]*2+[(512, 3, 1)]", [[256, 2, 2]] * 2 + [[512, 3, 1]]),
        ("[(1, 2, 3), (4, 5, 6),] * 2", [[1, 2, 3], [4, 5, 6]] * 2),
    ],
)
def test_conv_layers_notation(text: str, layers: list[list[int]]) -> None:
    assert parse_conv_layers(text) == layers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[(1, 2)]",
        "[(x, 2, 2)]",
        "[(1, 2, 3)] * 99",
        "[(1, 2, 3)] * 999",
        "[(1, 2, 3)] ** 4",
        "4 * [(1, 2, 3)]",
        "[(1, 2, 3)] + print()",
        "[(256, 2, 2)] * 4; import os",
        "[(1, 2, 3)" * 1000,
    ],
    ids=lambda text: text[:20],
)
def test_other_notations_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="conv_feature_layers"):
        parse_conv_layers(text)
