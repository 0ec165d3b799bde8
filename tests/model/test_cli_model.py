"""`ecg-serve model`, each command as a person and as a program calls it."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from serve_app.cli import app
from serve_app.model.checkpoints import load_any
from tests.model.hub_stand_in import Files, HubStandIn
from tests.model_commands import said, told

ROOT = Path(__file__).resolve().parents[2]
NAME = "hf:someone/ecg-fm"


@pytest.fixture
def commit(hub: HubStandIn, our_files: Files) -> str:
    return hub.push("someone/ecg-fm", our_files)


@pytest.fixture
def expected(tmp_path: Path, segments: torch.Tensor) -> Path:
    with torch.inference_mode():
        logits = load_any("demo").model(segments)[0]
    np.savez(tmp_path / "right.npz", source=segments.numpy(), nopad_logits=logits.numpy())
    np.savez(tmp_path / "wrong.npz", source=segments.numpy(), nopad_logits=logits.numpy() + 0.01)
    np.savez(tmp_path / "nan.npz", source=segments.numpy(), nopad_logits=logits.numpy() * np.nan)
    return tmp_path


def test_pull(hub: HubStandIn, commit: str, tmp_path: Path) -> None:
    first = told("pull", f"{NAME}@main", "--to", tmp_path / "out")
    assert (first["name"], first["commit"]) == (f"{NAME}@{commit}", commit)
    assert first["revision"] == first["sha256"][:12]
    names = [file["name"] for file in first["files"]]
    assert names == ["config.json", "model.safetensors"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    assert told("verify", tmp_path / "out")["sha256"] == first["sha256"]
    assert commit in said("pull", NAME)
    assert told("convert", NAME, tmp_path / "ours")["parameters"] > 0


def test_pull_mends_what_is_damaged(hub: HubStandIn, commit: str, tmp_path: Path) -> None:
    hub.damage = True
    assert "damaged" in told("pull", NAME, code=1)["error"]["detail"]
    hub.damage = False
    assert "--force" in told("pull", NAME, code=1)["error"]["hint"]
    told("pull", NAME, "--force")
    assert told("verify", NAME)["commit"] == commit


def test_pull_of_an_encoder(hub: HubStandIn, published_files: Files) -> None:
    hub.push("someone/ecg-fm", {"a_pretrained.pt": published_files["a_pretrained.pt"]})
    told("pull", NAME, code=1)
    told("pull", NAME, "--encoder")
    assert told("verify", NAME)["labels"] == []
    assert "pretrained encoder" in said("verify", NAME)


def test_pull_that_fails(hub: HubStandIn, commit: str, tmp_path: Path) -> None:
    assert told("pull", "hf:someone/other", code=1)["error"]["code"] == "model_unavailable"
    assert "shows no repository" in said("pull", "hf:someone/other", code=1)
    said("pull", "hf:nonsense", code=1)
    (tmp_path / "file").write_bytes(b"")
    assert "cannot be copied" in said("pull", NAME, "--to", tmp_path / "file", code=1)


def test_progress_bar_on_a_terminal(commit: str, hub_environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    code = "from serve_app.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "model", "pull", NAME], cwd=ROOT, stderr=theirs,
        stdout=subprocess.PIPE, env=os.environ | hub_environment, timeout=120, text=True,
    )  # fmt: skip
    os.close(theirs)
    assert done.returncode == 0
    assert "model.safetensors" in done.stdout
    assert b"100%" in os.read(ours, 100_000)
    os.close(ours)


def test_convert_and_verify(tmp_path: Path, ecgfm_dir: Path) -> None:
    source = ecgfm_dir / "tiny_finetuned.pt"
    written = told("convert", source, tmp_path / "ours")
    assert (written["name"], written["from_sha256"][:12]) == ("tiny_finetuned", "fe64bdf70b28")
    outputs = ecgfm_dir / "tiny_finetuned_expected.npz"
    found = told("verify", tmp_path / "ours", "--expected", outputs)
    assert found["agrees"]
    assert found["sha256"] == written["sha256"]
    assert max(found["differences"].values()) < 1e-5
    assert "agrees" in said("verify", source, "--expected", outputs)
    assert "cannot be written" in said("convert", source, tmp_path / "ours", code=1)


def test_verify_compares(expected: Path) -> None:
    assert told("verify", "demo", "--expected", expected / "right.npz")["agrees"]
    wrong = told("verify", "demo", "--expected", expected / "wrong.npz", code=1)
    assert wrong["differences"]["nopad_logits"] == pytest.approx(0.01, rel=0.01)
    assert "DIFFERS" in said("verify", "demo", "--expected", expected / "wrong.npz", code=1)
    assert "cannot be read" in said("verify", "demo", "--expected", "/nowhere.npz", code=1)
    assert "infinite" in said("verify", "demo", "--expected", expected / "nan.npz", code=1)
    not_finite = told("verify", "demo", "--expected", expected / "nan.npz", code=1)
    assert not_finite["differences"] == {"nopad_logits": None}


def test_verify_refuses(tmp_path: Path) -> None:
    revision = told("verify", "demo")["revision"]
    told("verify", "demo", "--revision", revision)
    told("verify", "demo", "--revision", "0" * 12, code=1)
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04")
    assert "damaged" in told("verify", tmp_path / "cut.pt", code=1)["error"]["detail"]
    assert str(tmp_path) not in said("verify", tmp_path / "cut.pt", code=1)


def test_list(
    hub: HubStandIn, commit: str, our_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [model["name"] for model in told("list")["models"]] == ["demo"]
    told("pull", NAME)
    hub.push("someone/bert", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"})
    told("pull", "hf:someone/bert", code=1)
    monkeypatch.setenv("ECG_MODEL", NAME)
    monkeypatch.setenv("ECG_MODEL_REVISION", commit)
    listed = told("list")
    assert listed["current"] == {"name": NAME, "revision": commit}
    model = listed["models"][1]
    assert (model["name"], model["references"]) == (f"{NAME}@{commit}", ["main"])
    assert model["size_bytes"] == len(our_files["config.json"] + our_files["model.safetensors"])
    assert commit in said("list")


@pytest.mark.parametrize(
    "arguments",
    [["pull"], ["pull", "wanglab/ecg-fm"], ["pull", "demo"], ["convert", "demo"], ["verify"],
     ["verify", "demo", "--strict"], ["fetch", "x"]],
)  # fmt: skip
def test_wrong_calls(arguments: list[str]) -> None:
    said(*arguments, code=2)


def test_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_PORT", "eighty")
    said("list", code=2)
    assert told("list", code=2)["error"]["code"] == "invalid_settings"


def test_predict_with_a_model_of_the_hub(commit: str, dicom_path: Path) -> None:
    done = CliRunner().invoke(app, ["predict", str(dicom_path), "--model", NAME, "--json"])
    assert done.exit_code == 0, done.output
    model = json.loads(done.stdout)["result"]["model"]
    sha256 = told("verify", f"{NAME}@{commit}")["sha256"]
    assert (model["name"], model["revision"], model["demo"]) == ("ecg-fm", sha256[:12], False)


@pytest.mark.parametrize("name", ["hf:nonsense", "hf:someone/other"])
def test_models_that_cannot_be_had_are_told_once(commit: str, dicom_path: Path, name: str) -> None:
    files = [str(dicom_path)] * 2
    for arguments in (["predict", *files, "--model", name], ["up", "--model", name]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2
        assert done.output.count("cannot be loaded") == 1


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_pull_mends_what_was_damaged_in_the_cache(
    hub: HubStandIn, commit: str, tmp_path: Path, file: str
) -> None:
    told("pull", NAME)
    (blob,) = (tmp_path / "hf" / "hub").glob(f"*/snapshots/*/{file}")
    blob.resolve().write_bytes(b"{}")
    for name in (NAME, f"{NAME}@{commit}"):
        assert "--force" in told("pull", name, code=1)["error"]["hint"]
    told("pull", f"{NAME}@{commit}", "--force")
    told("verify", NAME)
