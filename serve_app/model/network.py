"""The network of ECG-FM in plain torch: blocks in the order a signal meets them, the head last.

Segments (batch, leads, samples) become tokens (batch, tokens, d), their mean the embedding, and
that the logits. ``modeling_ecg_fm`` gives the same modules the interface of transformers; it is
apart because that library's model class takes two seconds to import, which serving need not pay.
Modules are named as in the published checkpoints (arXiv 2408.05178), under ``network.`` and
``classifier.``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from serve_app.errors import InvalidSignal

from .configuration_ecg_fm import EcgFmConfig

__all__ = [
    "EcgFmBackbone",
    "EcgFmClassifier",
    "Encoded",
    "fold_weight_norm",
    "lengths_from_padding_mask",
    "output_length",
]


Length = TypeVar("Length", int, Tensor)


@dataclass(frozen=True)
class Encoded:
    """What the backbone makes of a batch.

    Args:
        tokens: (batch, tokens, d), the last hidden state. Padded tokens hold no meaning.
        pooled: (batch, d), the mean over the valid tokens: the embedding.
        token_mask: (batch, tokens) bool, True where a token is valid; None where all are.
        hidden_states: What enters the first layer, then the output of each layer, if asked for.
    """

    tokens: Tensor
    pooled: Tensor
    token_mask: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class ConvFeatureExtractor(nn.Module):
    """The stem: strided convolutions. (batch, leads, samples) -> (batch, channels, tokens)."""

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = config.in_d
        for index, (channels, kernel, stride) in enumerate(config.conv_feature_layers):
            convolution = nn.Conv1d(width, channels, kernel, stride, bias=config.conv_bias)
            # As published: one group a channel, and only after the first convolution. The Identity
            # stands where training has a dropout, so that the numbers in the names agree.
            norm = [nn.GroupNorm(channels, channels, config.layer_norm_eps)] if index == 0 else []
            blocks.append(nn.Sequential(convolution, nn.Identity(), *norm, nn.GELU()))
            width = channels
        self.conv_layers = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.conv_layers:
            x = block(x)
        return x


class KernelWeightNorm(nn.Module):
    """Weight norm over the kernel axis: gain (1, 1, kernel) times directions (out, in, kernel).

    The same as torch's ``weight_norm(dim=2)``, in state dict and to rounding. But that one imports
    the compiler when a model is laid out on the meta device, as does any arithmetic there: more
    than a second of start-up.
    """

    def forward(self, gain: Tensor, direction: Tensor) -> Tensor:
        return direction * (gain / _norm_by_position(direction))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        if weight.is_meta:
            return weight.new_empty(1, 1, weight.shape[2]), weight
        return _norm_by_position(weight), weight


class PositionalConvolution(nn.Module):
    """Relative positions by a wide grouped convolution. (batch, tokens, d) -> its addend."""

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__()
        d, kernel = config.encoder_embed_dim, config.conv_pos
        convolution = nn.Conv1d(d, d, kernel, padding=kernel // 2, groups=config.conv_pos_groups)
        # unsafe only skips a trial run of the parametrization.
        parametrize.register_parametrization(convolution, "weight", KernelWeightNorm(), unsafe=True)
        self.pos_conv = nn.Sequential(convolution)

    def forward(self, x: Tensor) -> Tensor:
        positions: Tensor = self.pos_conv(x.transpose(1, 2))  # (batch, d, tokens or tokens + 1)
        # An even kernel gives one output too many.
        return functional.gelu(positions[..., : x.shape[1]]).transpose(1, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention over tokens. (batch, tokens, d) -> the same."""

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__()
        d = config.encoder_embed_dim
        self.heads = config.encoder_attention_heads
        self.k_proj = nn.Linear(d, d)
        self.v_proj = nn.Linear(d, d)
        self.q_proj = nn.Linear(d, d)
        self.out_proj = nn.Linear(d, d)

    def forward(self, x: Tensor, key_mask: Tensor | None) -> Tensor:
        q, k, v = (self._by_head(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        # The scale 1/sqrt(d / heads) is applied inside; key_mask: (batch, 1, 1, tokens).
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=key_mask)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _by_head(self, x: Tensor) -> Tensor:
        batch, tokens, d = x.shape
        by_head = x.view(batch, tokens, self.heads, d // self.heads)
        return by_head.transpose(1, 2)  # (batch, heads, tokens, d / heads)


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each with its residual; post-norm unless configured otherwise."""

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__()
        d, eps = config.encoder_embed_dim, config.layer_norm_eps
        self.layer_norm_first = config.layer_norm_first
        self.self_attn = SelfAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(d, eps)
        self.fc1 = nn.Linear(d, config.encoder_ffn_embed_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_embed_dim, d)
        self.final_layer_norm = nn.LayerNorm(d, eps)

    def forward(self, x: Tensor, key_mask: Tensor | None) -> Tensor:
        if self.layer_norm_first:
            x = x + self.self_attn(self.self_attn_layer_norm(x), key_mask)
            return x + self._feed_forward(self.final_layer_norm(x))
        x = self.self_attn_layer_norm(x + self.self_attn(x, key_mask))
        out: Tensor = self.final_layer_norm(x + self._feed_forward(x))
        return out

    def _feed_forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class TransformerEncoder(nn.Module):
    """The layers, and the LayerNorm that stands before them (post-norm) or after (pre-norm)."""

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__()
        self.layer_norm_first = config.layer_norm_first
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(config.encoder_embed_dim, config.layer_norm_eps)

    def forward(self, x: Tensor, token_mask: Tensor | None) -> list[Tensor]:
        """The input of the first layer, then each layer's output; the last is the result."""
        key_mask = None
        if token_mask is not None:  # (batch, tokens)
            x = x * token_mask.unsqueeze(-1)
            key_mask = token_mask[:, None, None, :]
        states = [x if self.layer_norm_first else self.layer_norm(x)]
        for layer in self.layers:
            states.append(layer(states[-1], key_mask))
        if self.layer_norm_first:
            states[-1] = self.layer_norm(states[-1])
        return states


class EcgFmBackbone(nn.Module):
    """Segments to tokens and their mean.

    Args:
        config: The architecture.
    """

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__()
        self.config = config
        channels, d = config.conv_feature_layers[-1][0], config.encoder_embed_dim
        self.feature_extractor = ConvFeatureExtractor(config)
        self.layer_norm = nn.LayerNorm(channels, config.layer_norm_eps)
        # As published: no projection where the widths agree already.
        self.post_extract_proj = nn.Linear(channels, d) if channels != d else nn.Identity()
        self.conv_pos = PositionalConvolution(config)
        self.encoder = TransformerEncoder(config)

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, output_hidden_states: bool = False
    ) -> Encoded:
        """Encode a batch; nothing is masked at random.

        Args:
            x: (batch, leads, samples), standardised; padding counts as zeros.
            lengths: (batch,) valid samples of each, if they are padded at the end.
            output_hidden_states: Whether to keep what goes between the layers.

        Returns:
            Tokens, their mean and, if asked for, the hidden states.

        Raises:
            InvalidSignal: if the shape does not fit, or too few samples are valid to make a token.
        """
        token_mask = self._token_mask(x, lengths)
        if lengths is not None:
            padded = torch.arange(x.shape[2], device=x.device) >= lengths.to(x.device)[:, None]
            x = x.masked_fill(padded[:, None, :], 0.0)
        features = self.feature_extractor(x).transpose(1, 2)  # (batch, tokens, channels)
        tokens = self.post_extract_proj(self.layer_norm(features))  # (batch, tokens, d)
        states = self.encoder(tokens + self.conv_pos(tokens), token_mask)
        pooled = _mean_over_valid(states[-1], token_mask)
        return Encoded(
            states[-1], pooled, token_mask, tuple(states) if output_hidden_states else None
        )

    def _token_mask(self, x: Tensor, lengths: Tensor | None) -> Tensor | None:
        """(batch, tokens) bool: a token is valid below the output length of the valid samples."""
        least = self.config.minimum_samples
        if x.ndim != 3 or x.shape[1] != self.config.in_d or x.shape[2] < least:
            expected = f"(batch, {self.config.in_d}, at least {least} samples)"
            raise InvalidSignal(f"The model takes {expected}, not {tuple(x.shape)}.")
        if lengths is None:
            return None
        if lengths.shape != x.shape[:1] or int(lengths.max()) > x.shape[2]:
            raise InvalidSignal("Lengths do not fit the batch: one number of samples a segment.")
        if int(lengths.min()) < least:
            raise InvalidSignal(f"A segment has fewer than {least} valid samples.")
        layers = self.config.conv_feature_layers
        tokens = torch.arange(output_length(x.shape[2], layers), device=x.device)
        return tokens < output_length(lengths.to(x.device), layers)[:, None]


class EcgFmClassifier(nn.Module):
    """The backbone and a linear layer on its pooled features; the sigmoid is left to the caller.

    Args:
        config: The architecture and labels.
    """

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__()
        self.config = config
        self.network = EcgFmBackbone(config)
        self.classifier = nn.Linear(config.encoder_embed_dim, len(config.labels))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score a batch.

        Args:
            x: (batch, leads, samples), standardised; padding counts as zeros.
            lengths: (batch,) valid samples of each, if they are padded at the end.

        Returns:
            Logits (batch, labels) and embeddings (batch, d).

        Raises:
            InvalidSignal: as ``EcgFmBackbone.forward``.
        """
        encoded: Encoded = self.network(x, lengths)
        return self.classifier(encoded.pooled), encoded.pooled


def output_length(samples: Length, layers: Sequence[Sequence[int]]) -> Length:
    """Tokens that the stem makes of samples: floor((n - kernel) / stride) + 1 at each layer."""
    for _channels, kernel, stride in layers:
        samples = (samples - kernel) // stride + 1
    return samples


def lengths_from_padding_mask(padding_mask: Tensor) -> Tensor:
    """Valid samples of each segment.

    Args:
        padding_mask: (batch, leads, samples) or (batch, samples) bool, True at padding.

    Returns:
        (batch,) int64.

    Raises:
        InvalidSignal: if the leads differ, or padding is not at the end.
    """
    valid = ~padding_mask.bool()
    lengths = valid.sum(-1)
    ends = torch.arange(valid.shape[-1], device=valid.device) < lengths.unsqueeze(-1)
    if not torch.equal(ends, valid):
        raise InvalidSignal("Padding must be at the end of a segment.")
    if lengths.ndim == 1:
        return lengths
    if (lengths != lengths[:, :1]).any():
        raise InvalidSignal("All leads of a segment must be padded alike.")
    return lengths[:, 0]


def fold_weight_norm(model: EcgFmBackbone | EcgFmClassifier) -> None:
    """Compute the weight-normed weight once and for all: for inference, in place."""
    backbone = model.network if isinstance(model, EcgFmClassifier) else model
    parametrize.remove_parametrizations(backbone.conv_pos.pos_conv[0], "weight")


def _norm_by_position(weight: Tensor) -> Tensor:
    return weight.square().sum(dim=(0, 1), keepdim=True).sqrt()


def _mean_over_valid(tokens: Tensor, token_mask: Tensor | None) -> Tensor:
    if token_mask is None:
        return tokens.mean(1)
    counts = token_mask.sum(1, keepdim=True)
    return (tokens * token_mask.unsqueeze(-1)).sum(1) / counts
