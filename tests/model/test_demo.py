import subprocess
import sys

import torch

from serve_app.model.demo import demo_model, seeded_model, state_sha256
from serve_app.model.network import EcgFmClassifier

DEMO_SHA256 = "8dc4e7f5f60fffdcf6dce689ee1cb3f06a2654ce44c14c483d7a229bb6311e39"


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
