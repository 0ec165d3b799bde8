"""The demo model, for where no checkpoint can be had; and models with seeded weights.

The demo is small and was trained on simulated recordings and a few public ones, by
``python -m serve_app.training``: research demonstration only, and each of its answers is marked
``demo``. MODEL_CARD.md says how good it is. Seeded models know nothing: they are for tests and for
measuring time.
"""

import hashlib
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from .configuration_ecg_fm import EcgFmConfig
from .layout import WEIGHTS_FILE
from .network import EcgFmClassifier
from .stored import own_tensor, read_stored

__all__ = [
    "DEMO_FOLDER",
    "demo_config",
    "demo_model",
    "full_size_config",
    "load_demo",
    "seeded_model",
    "state_sha256",
]

DEMO_FOLDER = Path(__file__).with_name("demo_weights")

# In the order of LABELS: negatives to positives in what the simulator draws, at most 6.
# fmt: off
_POS_WEIGHTS = (
    6.0, 0.8, 6.0, 1.7, 6.0, 6.0, 6.0, 6.0, 2.5, 6.0, 5.3, 6.0, 6.0, 5.4, 6.0, 4.4, 6.0
)
# fmt: on


def demo_config() -> EcgFmConfig:
    """A small ECG-FM: the same blocks, labels and input, 1/250 of the arithmetic."""
    return EcgFmConfig(
        conv_feature_layers=[[48, 10, 4], [64, 8, 2], [96, 8, 2], [128, 4, 2]],
        encoder_layers=3,
        encoder_embed_dim=128,
        encoder_ffn_embed_dim=256,
        encoder_attention_heads=4,
        layer_norm_first=True,
        conv_pos=32,
        label_pos_weights=list(_POS_WEIGHTS),
        noisy_labels=[],  # a simulator's labels are what it drew
        demo=True,
    )


def full_size_config() -> EcgFmConfig:
    """The published fine-tuned model: 90.39 million parameters."""
    return EcgFmConfig()


def demo_model() -> EcgFmClassifier:
    """The demo: the same bits on every machine, in evaluation mode.

    Raises:
        CheckpointError: The installation is damaged.
    """
    return load_demo(DEMO_FOLDER)


def load_demo(folder: Path) -> EcgFmClassifier:
    """What training stored: float16 on disk, which float32 holds exactly.

    Raises:
        CheckpointError: The files are not there, or damaged.
    """
    stored = read_stored(folder / WEIGHTS_FILE)
    with torch.device("meta"):
        model = EcgFmClassifier(stored.config)
    shapes = {name: like.shape for name, like in model.state_dict().items()}
    weights = {name: own_tensor(name, w, shapes[name]) for name, w in stored.weights.items()}
    model.load_state_dict(weights, assign=True)
    return model.eval()


def seeded_model(config: EcgFmConfig, seed: int) -> EcgFmClassifier:
    """A model whose weights are drawn from a seed.

    Args:
        config: The architecture.
        seed: Of the generator; the same seed gives the same bits everywhere.

    Returns:
        The model in evaluation mode.
    """
    with torch.device("meta"):
        model = EcgFmClassifier(config)
    generator = torch.Generator().manual_seed(seed)
    # By name, so that the order in which modules are defined does not matter.
    shapes = sorted((name, tensor.shape) for name, tensor in model.state_dict().items())
    d = config.encoder_embed_dim
    drawn = {name: _draw(name, shape, d, generator) for name, shape in shapes}
    model.load_state_dict(drawn, assign=True)
    return model.eval()


def state_sha256(model: nn.Module) -> str:
    """Identity of weights: SHA-256 over names, shapes and float32 bytes, ordered by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy())
    return digest.hexdigest()


def _draw(name: str, shape: torch.Size, d: int, generator: torch.Generator) -> Tensor:
    if name.endswith("weight.original0"):
        # The gain of the positional convolution: each output channel gets unit norm.
        return torch.full(shape, math.sqrt(d / shape[-1]))
    if len(shape) == 1:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    # Uniform, not normal: torch.rand is integers scaled by a power of two, exact on any machine.
    bound = math.sqrt(3.0 / math.prod(shape[1:]))
    return torch.rand(shape, generator=generator).sub_(0.5).mul_(2.0 * bound)
