import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from serve_app.errors import CheckpointError
from serve_app.model.checkpoints import load_any
from serve_app.model.network import EcgFmClassifier
from serve_app.model.verification import compare, verify


def test_says_what_the_demo_is() -> None:
    found = verify("demo")
    assert (found.name, found.source, found.demo, found.agrees) == ("demo", "demo", True, True)
    assert found.sha256.startswith(found.revision)
    assert len(found.labels) == 17
    assert found.parameters == 561_809
    assert verify("demo", revision=found.revision).commit is None
    with pytest.raises(CheckpointError, match="not 0000000"):
        verify("demo", revision="0000000")


def test_shared_checkpoint_gives_the_public_outputs(ecgfm_dir: Path) -> None:
    expected = ecgfm_dir / "tiny_finetuned_expected.npz"
    found = verify(str(ecgfm_dir / "tiny_finetuned.pt"), expected=expected)
    assert found.agrees
    assert max(found.differences.values()) < 1e-5
    assert {"nopad_logits", "pad_encoder_out", "zeroleads_logits", "allzero_probs"} < set(
        found.differences
    )


def test_differences_are_found(segments: torch.Tensor) -> None:
    loaded = load_any("demo")
    source = segments.numpy()
    with torch.inference_mode():
        logits, pooled = loaded.model(segments)
    right = {"source": source, "nopad_logits": logits.numpy(), "nopad_pooled": pooled.numpy()}
    assert set(compare(loaded, right).values()) == {0.0}
    wrong = compare(loaded, right | {"nopad_logits": logits.numpy() + 2e-4})
    assert wrong["nopad_logits"] == pytest.approx(2e-4, rel=1e-2)
    found = dataclasses.replace(verify("demo"), differences=wrong)
    assert not found.agrees
    not_finite = compare(loaded, right | {"nopad_pooled": pooled.numpy() * np.nan})
    assert not_finite["nopad_pooled"] == np.inf


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"source": np.zeros((1, 12, 2500), np.float32)},
        {"source": np.zeros((1, 11, 2500), np.float32), "nopad_logits": np.zeros((1, 17))},
        {"source": np.zeros((1, 12, 2500), np.float32), "nopad_logits": np.zeros((1, 16))},
        {"source": np.array("text"), "nopad_logits": np.zeros((1, 17))},
        {"source": np.zeros(3), "nopad_logits": np.zeros((1, 17))},
        {"source": np.zeros((1, 12, 2500)), "pad_lengths": np.array([3]), "pad_logits": 1},
        {"source": np.zeros((1, 12, 2500)), "pad_lengths": np.array(["x"]), "pad_logits": 1},
    ],
)
def test_expected_outputs_that_do_not_fit(expected: dict[str, np.ndarray]) -> None:
    with pytest.raises(CheckpointError, match="expected outputs"):
        compare(load_any("demo"), expected)


def test_files_that_hold_no_expected_outputs(tmp_path: Path, small_model: EcgFmClassifier) -> None:
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("source.npy", b"no array")
    np.savez(tmp_path / "pickle.npz", source=np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "zip.npz").read_bytes()[:-9])
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("zip.npz", "pickle.npz", "array.npy", "cut.npz", "empty.npz", "missing.npz"):
        with pytest.raises(CheckpointError) as caught:
            verify("demo", expected=tmp_path / name)
        assert str(tmp_path) not in f"{caught.value.detail} {caught.value.hint}"
