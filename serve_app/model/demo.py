"""Models with seeded weights: the demo, for where no checkpoint can be had, and a full-size one.

The demo knows nothing of cardiology: its weights are random numbers for now, and what it says of a
heart is noise. It shows that recordings go in and answers come out, and each of its answers is
marked ``demo``. The full-size one is for measuring time.
"""

import hashlib
import math

import torch
from torch import Tensor, nn

from .configuration_ecg_fm import EcgFmConfig
from .network import EcgFmClassifier

__all__ = ["demo_config", "demo_model", "full_size_config", "seeded_model", "state_sha256"]

DEMO_SEED = 20240816


def demo_config() -> EcgFmConfig:
    """A small ECG-FM: the same blocks, labels and input, 1/400 of the arithmetic."""
    return EcgFmConfig(
        conv_feature_layers=[[32, 2, 2]] * 4,
        encoder_layers=2,
        encoder_embed_dim=64,
        encoder_ffn_embed_dim=128,
        encoder_attention_heads=2,
        conv_pos=32,
        demo=True,
    )


def full_size_config() -> EcgFmConfig:
    """The published fine-tuned model: 90.39 million parameters."""
    return EcgFmConfig()


def demo_model() -> EcgFmClassifier:
    """The demo: the same bits on every machine, in evaluation mode."""
    return seeded_model(demo_config(), DEMO_SEED)


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
