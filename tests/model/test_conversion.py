import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from serve_app.errors import CheckpointError
from serve_app.model.checkpoints import load_any, load_backbone, load_model
from serve_app.model.conversion import write_model
from serve_app.model.modeling_ecg_fm import EcgFmForSequenceClassification, EcgFmModel
from serve_app.model.network import EcgFmClassifier

ROOT = Path(__file__).resolve().parents[2]
Publish = Callable[..., dict[str, Any]]


def same_bits(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    state, again = one.state_dict(), other.state_dict()
    return state.keys() == again.keys() and all(
        torch.equal(state[name].view(torch.int32), again[name].view(torch.int32)) for name in state
    )


def test_published_checkpoint_becomes_ours(
    tmp_path: Path, small_model: EcgFmClassifier, publish: Publish
) -> None:
    content = publish(small_model)
    content["cfg"]["criterion"]["pos_weight"] = [float(n + 1) / 3 for n in range(17)]
    torch.save(content, tmp_path / "theirs.pt")
    read = load_any(tmp_path / "theirs.pt")
    write_model(read, tmp_path / "above" / "ours")
    ours = load_model(tmp_path / "above" / "ours")
    assert same_bits(ours.model, read.model)
    assert ours.config.labels == read.config.labels
    assert ours.config.label_pos_weights == [float(n + 1) / 3 for n in range(17)]
    assert sorted(file.name for file in (tmp_path / "above").rglob("*")) == [
        "config.json", "model.safetensors", "ours",
    ]  # fmt: skip
    assert isinstance(
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "above" / "ours"),
        EcgFmForSequenceClassification,
    )
    as_transformers = EcgFmForSequenceClassification.from_pretrained(tmp_path / "above" / "ours")
    assert same_bits(as_transformers, read.model)


def test_pretrained_checkpoint_stays_without_a_head(
    tmp_path: Path, small_model: EcgFmClassifier, publish: Publish
) -> None:
    torch.save(publish(small_model, pretrained=True), tmp_path / "pretrained.pt")
    write_model(load_any(tmp_path / "pretrained.pt"), tmp_path / "ours")
    assert same_bits(load_backbone(tmp_path / "ours").model, small_model.network)
    assert same_bits(EcgFmModel.from_pretrained(tmp_path / "ours").network, small_model.network)
    with pytest.raises(CheckpointError, match="no classification head"):
        load_model(tmp_path / "ours")


def test_shared_checkpoint(tmp_path: Path, ecgfm_dir: Path) -> None:
    read = load_any(ecgfm_dir / "tiny_finetuned.pt")
    write_model(read, tmp_path / "ours")
    assert same_bits(load_model(tmp_path / "ours").model, read.model)


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "model.safetensors").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    for name in ("full", "file", "file/below"):
        with pytest.raises(CheckpointError, match="cannot be written") as caught:
            write_model(load_any("demo"), tmp_path / name)
        assert str(tmp_path) not in f"{caught.value.detail} {caught.value.hint}"
    assert (tmp_path / "full" / "model.safetensors").read_bytes() == b"mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "full"]
    (tmp_path / "empty").mkdir()
    write_model(load_any("demo"), tmp_path / "empty")
    assert load_model(tmp_path / "empty").demo


def test_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from serve_app.errors import CheckpointError\n"
        "from serve_app.model.checkpoints import load_any\n"
        "from serve_app.model.conversion import write_model\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try: write_model(load_any('demo'), Path(sys.argv[1]))\n"
        "except CheckpointError as error: print(error.detail, error.hint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "ours"], cwd=ROOT, capture_output=True, text=True
    )
    assert "cannot be written" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []
