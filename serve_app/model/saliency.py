"""What a classifier looked at: attention as upstream shows it, and gradients of a label's logit.

All of it in the arithmetic of the network that is given, which should be float32. captum comes with
the extra ``explain`` and is imported where it is used: that takes seconds.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from serve_app.errors import NotInstalled

from .configuration_ecg_fm import EcgFmConfig
from .network import EcgFmClassifier, EncoderLayer

__all__ = [
    "Integrated",
    "attention_by_token",
    "blurred",
    "gradients",
    "integrated_gradients",
    "label_logits",
    "token_stride",
]

# Segments on the path that go through the network at a time: few, so that `between` is heard often.
_PATH_BATCH = 2
_BLUR_S = 0.25
_POINTS = 4
_CUT = 0.25
_ENOUGH = 0.01


@dataclass(frozen=True)
class Integrated:
    """Integrated gradients of one label's logit.

    Args:
        attributions: (n, leads, samples); their sum is what the logit differs by from the
            baseline's, within a hundredth unless there were too few steps.
        baseline_logits: (n,) of the label.
    """

    attributions: Tensor
    baseline_logits: Tensor


def token_stride(config: EcgFmConfig) -> int:
    """Samples from one token to the next: 16 for the published stem."""
    return math.prod(stride for _channels, _kernel, stride in config.conv_feature_layers)


def label_logits(model: EcgFmClassifier, segments: Tensor) -> Tensor:
    """(n, labels) of segments (n, leads, samples)."""
    with torch.no_grad():
        logits: Tensor = model(segments)[0]
    return logits


def attention_by_token(model: EcgFmClassifier, segments: Tensor) -> Tensor:
    """Upstream's saliency: attention weights of the last layer, whatever the label.

    Args:
        model: The network.
        segments: (n, leads, samples), standardised.

    Returns:
        (n, tokens): the weights averaged over the heads, then the largest over the query positions.
    """
    with torch.no_grad():
        states = model.network(segments, output_hidden_states=True).hidden_states
        layer = cast(EncoderLayer, model.network.encoder.layers[-1])
        x = states[-2]  # (n, tokens, d): what the last layer is given
        if layer.layer_norm_first:
            x = layer.self_attn_layer_norm(x)
        attention = layer.self_attn
        q, k = (_by_head(each(x), attention.heads) for each in (attention.q_proj, attention.k_proj))
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]), dim=-1)
        # (n, heads, queries, keys)
        by_token: Tensor = weights.mean(1).amax(1)
    return by_token


def gradients(
    model: EcgFmClassifier, segments: Tensor, label: int, between: Callable[[], None]
) -> Tensor:
    """|d logit / d input|, the saliency of Simonyan et al. (arXiv 1312.6034).

    Args:
        model: The network.
        segments: (n, leads, samples), standardised; so it is per standard deviation of a lead.
        label: Index of the output.
        between: Called between steps; what it raises ends the work.

    Returns:
        (n, leads, samples).

    Raises:
        NotInstalled: captum is missing.
    """
    method = _captum().Saliency(_logits_of(model, between))
    parts = [method.attribute(part, target=label, abs=True) for part in _one_by_one(segments)]
    return torch.cat(parts).detach()


def integrated_gradients(
    model: EcgFmClassifier,
    segments: Tensor,
    label: int,
    steps: int,
    between: Callable[[], None],
) -> Integrated:
    """Gradients along the way from :func:`blurred` (arXiv 1703.01365).

    Not from zeros: the first normalisation makes the network blind to amplitude, so that from there
    all change lies in the first hundredth of the way, where no quadrature of 100 steps finds it and
    the signal is like none that was trained on.

    A trained network changes fast on short parts of the way. What each part of it should sum to is
    known from the logits at its ends, so the part that misses most is halved until all is within a
    hundredth, or the steps are spent.

    Args:
        model: The network.
        segments: (n, leads, samples), standardised.
        label: Index of the output.
        steps: Gradients of each segment, at most.
        between: Called between steps; what it raises ends the work.

    Raises:
        NotInstalled: captum is missing.
    """
    way = _Way(model, label, min(steps, _POINTS), between)
    baselines = blurred(segments, model.config.sampling_rate)
    parts = [
        way.attributions(part, base[None], steps)
        for part, base in zip(_one_by_one(segments), baselines, strict=True)
    ]
    logits = label_logits(model, baselines)[:, label]
    return Integrated(torch.cat(parts).detach(), logits)


@dataclass(frozen=True, eq=False)
class _Part:
    """Of the way from a baseline (0) to a segment (1).

    Args:
        start: Where it begins.
        end: Where it ends.
        logits: There and there.
        attributions: (1, leads, samples) along it.
    """

    start: float
    end: float
    logits: tuple[float, float]
    attributions: Tensor

    @property
    def missed(self) -> float:
        """By how much the attributions do not sum to the change of the logit."""
        return abs(self.attributions.sum().item() - (self.logits[1] - self.logits[0]))


class _Way:
    """Integrates gradients of a label's logit, each part by so many Gauss-Legendre points."""

    def __init__(
        self, model: EcgFmClassifier, label: int, points: int, between: Callable[[], None]
    ) -> None:
        self._logits = _logits_of(model, between)
        self._method = _captum().IntegratedGradients(self._logits)
        self._label, self._points = label, points

    def attributions(self, segment: Tensor, baseline: Tensor, steps: int) -> Tensor:
        """(1, leads, samples), their sum within a hundredth of the logit's change if steps do."""

        def logit(at: float) -> float:
            with torch.no_grad():
                return self._logits(_between(baseline, segment, at))[0, self._label].item()

        def part(start: float, end: float, logits: tuple[float, float]) -> _Part:
            found = self._method.attribute(
                _between(baseline, segment, end),
                _between(baseline, segment, start),
                self._label,
                n_steps=self._points,
                internal_batch_size=_PATH_BATCH,
            )
            return _Part(start, end, logits, found)

        ends = (logit(0.0), logit(1.0))
        parts, left = [part(0.0, 1.0, ends)], steps - self._points
        enough = _ENOUGH * abs(ends[1] - ends[0])
        while left >= 2 * self._points and sum(each.missed for each in parts) > enough:
            worst = max(parts, key=lambda each: each.missed)
            # Nearer to its start: most of the change comes early.
            cut = worst.start + _CUT * (worst.end - worst.start)
            there = logit(cut)
            parts.remove(worst)
            parts.append(part(worst.start, cut, (worst.logits[0], there)))
            parts.append(part(cut, worst.end, (there, worst.logits[1])))
            left -= 2 * self._points
        return torch.stack([each.attributions for each in parts]).sum(0)


def _between(baseline: Tensor, segment: Tensor, at: float) -> Tensor:
    return torch.lerp(baseline, segment, at)


def blurred(segments: Tensor, fs_hz: float) -> Tensor:
    """Each lead without its beats: smoothed by a Gaussian of 0.25 s, its ends held.

    A baseline that still looks like a recording (Sturmfels et al., Distill 2020).

    Args:
        segments: (n, leads, samples).
        fs_hz: Of the samples.
    """
    sigma = _BLUR_S * fs_hz
    reach = min(math.ceil(4 * sigma), segments.shape[2] - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=segments.dtype, device=segments.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    n, leads, samples = segments.shape
    padded = functional.pad(segments, (reach, reach), mode="replicate")
    smooth = functional.conv1d(padded.view(n * leads, 1, -1), (kernel / kernel.sum())[None, None])
    return smooth.view(n, leads, samples)


def _logits_of(model: EcgFmClassifier, between: Callable[[], None]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        between()
        logits: Tensor = model(x)[0]
        return logits

    return forward


def _one_by_one(segments: Tensor) -> Iterator[Tensor]:
    for segment in segments:
        yield segment[None].clone().requires_grad_()


def _by_head(x: Tensor, heads: int) -> Tensor:
    n, tokens, d = x.shape
    return x.view(n, tokens, heads, d // heads).transpose(1, 2)  # (n, heads, tokens, d / heads)


def _captum() -> ModuleType:
    try:
        import captum.attr
    except ImportError as error:
        raise NotInstalled(
            "Gradients need captum, which is not installed here.",
            hint="Ask for method=attention, or install the extra: pip install "
            "'ecg-fm-serve[explain]'",
        ) from error
    attr: ModuleType = captum.attr
    return attr
