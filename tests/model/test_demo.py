import json
import subprocess
import sys

import pytest
import torch

from serve_app.decoding import decode
from serve_app.errors import CheckpointError
from serve_app.model.demo import (
    DEMO_FOLDER,
    demo_config,
    demo_model,
    load_demo,
    seeded_model,
    state_sha256,
)
from serve_app.model.labels import LABELS, join_segments
from serve_app.model.network import EcgFmClassifier
from serve_app.preprocessing import prepare
from serve_app.simulation import SCENARIOS, simulate

DEMO_SHA256 = json.loads((DEMO_FOLDER / "report.json").read_text())["state_sha256"]


@torch.inference_mode()
def positive(recording) -> set[str]:
    """Names of the labels that the demo finds, by its own joins and thresholds."""
    model = demo_model()
    logits = model(torch.from_numpy(prepare(recording).segments))[0]
    scores = join_segments(torch.sigmoid(logits).numpy(), model.config.labels)
    rows = zip(model.config.labels, scores, strict=True)
    return {label.name for label, score in rows if score >= label.threshold}


def test_demo_has_the_same_bits_everywhere() -> None:
    assert state_sha256(demo_model()) == DEMO_SHA256


def test_demo_says_so() -> None:
    assert demo_model().config.demo


def test_global_seed_neither_matters_nor_is_touched() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert state_sha256(demo_model()) == DEMO_SHA256
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_differ(small_model: EcgFmClassifier) -> None:
    again = state_sha256(seeded_model(small_model.config, seed=1))
    assert state_sha256(small_model) == again
    assert state_sha256(small_model) != state_sha256(seeded_model(small_model.config, seed=2))


def test_demo_has_learnt() -> None:
    assert state_sha256(demo_model()) != state_sha256(seeded_model(demo_config(), seed=0))


def test_demo_calls_a_normal_recording_sinus_rhythm(dicom_bytes: bytes) -> None:
    assert positive(decode(dicom_bytes)) == {"Sinus rhythm"}


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.name)
def test_demo_finds_what_the_simulator_draws(label) -> None:
    """Not a figure (that is the report's), only that every output is connected to its label."""
    shown = [name for name in SCENARIOS if label.name in simulate(name).label_names][:5]
    drawn = [simulate(name, seed=seed) for name in shown for seed in range(6)]
    found = [label.name in positive(each.recording) for each in drawn]
    assert sum(found) > 0.6 * len(found)


def test_damaged_weights_are_refused(tmp_path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((DEMO_FOLDER / name).read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        load_demo(tmp_path)


@torch.inference_mode()
def test_demo_tells_segments_apart(segments: torch.Tensor) -> None:
    probabilities = torch.sigmoid(demo_model()(segments)[0])
    assert ((probabilities > 0.01) & (probabilities < 0.99)).any()
    assert probabilities.std(0).max() > 1e-3


def test_engine_starts_without_the_compiler_and_transformers_models() -> None:
    code = """if True:
        import sys
        from serve_app.engine.torch_engine import TorchEngine
        from serve_app.model.checkpoints import load_model
        TorchEngine(load_model("demo"), threads=1).warm()
        heavy = {"transformers.modeling_utils", "torch._dynamo", "sympy", "scipy", "triton"}
        sys.exit(", ".join(heavy & set(sys.modules)) or 0)
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
