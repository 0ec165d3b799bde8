"""Fit the small model: masked binary cross-entropy, on one core, the same from the same seed."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.demo import seeded_model
from serve_app.model.network import EcgFmClassifier

from .segments import Examples

__all__ = ["Loss", "Plan", "fit", "logits_of"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn.

    Attributes:
        epochs: Passes over the simulated recordings.
        batch: Recordings a step, of two segments each.
        peak_rate: Highest learning rate; it rises over a twentieth of the steps and falls to zero.
        decay: Weight decay.
        real_share: Share of real recordings in each batch.
        averaging: Of the exponential mean of the weights, which is what is kept.
        seed: Of first weights and of every order.
    """

    epochs: int = 5
    batch: int = 32
    peak_rate: float = 2e-3
    decay: float = 0.05
    real_share: float = 0.06
    averaging: float = 0.998
    seed: int = 20261122


def fit(
    config: EcgFmConfig, simulated: Examples, real: Sequence[Examples], plan: Plan
) -> EcgFmClassifier:
    """Train a model.

    Args:
        config: Its architecture; ``label_pos_weights`` weigh the positives.
        simulated: Most of what it learns from.
        real: Views of the real recordings, the same ones at several shifts; may be empty.
        plan: See there.

    Returns:
        The model with averaged weights, in evaluation mode.
    """
    torch.manual_seed(plan.seed)
    model = seeded_model(config, plan.seed).requires_grad_(True).train()
    averaged = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    steps = plan.epochs * (len(simulated) // plan.batch)
    optimizer = torch.optim.AdamW(_groups(model, plan.decay), plan.peak_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_up_and_fall(steps))
    loss_of = Loss(config)
    began, seen = time.perf_counter(), 0.0
    for step, (segments, truth, of_whole) in enumerate(_batches(simulated, real, plan)):
        loss = loss_of(model(segments.flatten(0, 1))[0], truth, of_whole)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        _average(averaged, model, min(plan.averaging, (1 + step) / (10 + step)))
        seen += (loss.item() - seen) * max(0.01, 1 / (step + 1))
        if (step + 1) % 100 == 0:
            spent_s = time.perf_counter() - began
            _log.info("step %d of %d, loss %.4f, %.0f s", step + 1, steps, seen, spent_s)
    model.load_state_dict(averaged)
    return model.requires_grad_(False).eval()


@torch.inference_mode()
def logits_of(model: EcgFmClassifier, examples: Examples) -> npt.NDArray[np.float32]:
    """``(recordings, 2, 17)``."""
    parts = np.array_split(examples.segments, max(1, len(examples) // 64))
    found = [model(torch.from_numpy(part.astype(np.float32)).flatten(0, 1))[0] for part in parts]
    return np.asarray(torch.cat(found).numpy().reshape(*examples.truth.shape))


class Loss:
    """Binary cross-entropy over what is known, positives weighed.

    A database's word on a whole recording is, for labels that are joined by maximum, a word on its
    loudest segment: an extrasystole need not be in each.
    """

    def __init__(self, config: EcgFmConfig) -> None:
        labels = config.labels
        self.weights = torch.tensor([label.pos_weight for label in labels])
        self.by_maximum = torch.tensor([label.join == "max" for label in labels])

    def __call__(self, logits: Tensor, truth: Tensor, of_whole: Tensor) -> Tensor:
        """``(2 n, labels)`` logits, ``(n, 2, labels)`` truth, ``(n,)`` whether of the whole."""
        logits = logits.view_as(truth)
        known = ~truth.isnan()
        target = truth.nan_to_num(0.0)
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, target, pos_weight=self.weights, reduction="none"
        )
        quieter = logits < logits.amax(1, keepdim=True)
        elsewhere = of_whole[:, None, None] & self.by_maximum & (target == 1) & quieter
        counted = known & ~elsewhere
        # A label's weight in the sum is the same whatever its positives' weight is.
        return (each * counted / (1.0 + self.weights).sqrt()).sum() / counted.sum() * 2.0


def _groups(model: EcgFmClassifier, decay: float) -> list[dict[str, object]]:
    """Matrices decay, gains and biases do not."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _warm_up_and_fall(steps: int) -> Callable[[int], float]:
    rise = max(1, steps // 20)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1.0 + float(np.cos(np.pi * (step - rise) / max(1, steps - rise))))

    return factor


def _average(averaged: dict[str, Tensor], model: EcgFmClassifier, keep: float) -> None:
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            averaged[name].lerp_(tensor, 1.0 - keep)


def _batches(
    simulated: Examples, real: Sequence[Examples], plan: Plan
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    rng = np.random.default_rng(plan.seed)
    of_real = round(plan.batch * plan.real_share) if real else 0
    of_whole = torch.arange(plan.batch) >= plan.batch - of_real
    for _ in range(plan.epochs):
        order = rng.permutation(len(simulated))
        for start in range(0, len(order) - plan.batch + 1, plan.batch):
            chosen = order[start : start + plan.batch - of_real]
            segments = [simulated.segments[chosen]]
            truth = [simulated.truth[chosen]]
            for _ in range(of_real):
                view = real[int(rng.integers(len(real)))]
                index = int(rng.integers(len(view)))
                segments.append(view.segments[index : index + 1])
                truth.append(view.truth[index : index + 1])
            batch = _roughened(np.concatenate(segments).astype(np.float32), rng)
            yield torch.from_numpy(batch), torch.from_numpy(np.concatenate(truth)), of_whole


def _roughened(batch: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Now and then a lead is missing, or all are a little noisier."""
    for recording in batch:
        if rng.random() < 0.08:
            recording[:, rng.integers(12)] = 0.0
        if rng.random() < 0.2:
            recording[:] += rng.gamma(1.0, 0.05) * rng.standard_normal(recording.shape, np.float32)
    return batch
