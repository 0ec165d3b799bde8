import numpy as np
import pytest
import torch

from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.demo import demo_config, state_sha256
from serve_app.training.figures import auroc
from serve_app.training.fitting import Loss, Plan, fit, logits_of
from serve_app.training.segments import Examples, simulated_examples


@pytest.fixture(scope="module")
def tiny() -> EcgFmConfig:
    return EcgFmConfig(
        conv_feature_layers=[[16, 10, 5], [16, 8, 5]],
        encoder_layers=1,
        encoder_embed_dim=32,
        encoder_ffn_embed_dim=32,
        encoder_attention_heads=2,
        conv_pos=16,
        layer_norm_first=True,
        label_pos_weights=[1.0] * 17,
    )


@pytest.fixture(scope="module")
def examples() -> Examples:
    return simulated_examples(96, seed=9)


def test_simulated_examples_repeat(examples):
    again = simulated_examples(4, seed=9)
    assert np.array_equal(again.segments, examples.segments[:4])
    assert np.array_equal(again.truth, examples.truth[:4])
    assert examples.truth.shape == (96, 2, 17)
    assert not np.isnan(examples.truth).any()


def test_it_repeats(tiny, examples):
    plan = Plan(epochs=1, batch=32)
    model, again = fit(tiny, examples, [], plan), fit(tiny, examples, [], plan)
    assert state_sha256(model) == state_sha256(again)
    assert not model.training


def test_it_learns(tiny, examples):
    plan = Plan(epochs=12, batch=8, averaging=0.9, peak_rate=5e-3)
    model = fit(tiny, examples, [], plan)
    fast = examples.joined_truth[:, 3] == 1
    assert auroc(fast, logits_of(model, examples).mean(axis=1)[:, 3]) > 0.8


def test_real_examples_take_part(tiny, examples):
    half = Examples(examples.segments[:8], np.where(examples.truth[:8] == 0, np.nan, 1.0))
    plan = Plan(epochs=1, batch=16, real_share=0.25)
    with_real = fit(tiny, examples, [half], plan)
    assert state_sha256(with_real) != state_sha256(fit(tiny, examples, [], plan))


def test_unknown_labels_weigh_nothing():
    loss, logits = Loss(demo_config()), torch.randn(4, 17, generator=torch.manual_seed(0))
    truth = torch.zeros(2, 2, 17)
    truth[:, :, 5] = float("nan")
    other = logits.clone()
    other[:, 5] += 10.0
    nothing = torch.zeros(2, dtype=torch.bool)
    assert loss(logits, truth, nothing) == loss(other, truth, nothing)


def test_only_the_loudest_segment_answers_for_a_whole_recording():
    loss = Loss(demo_config())
    truth = torch.ones(1, 2, 17)
    logits = torch.zeros(2, 17)
    logits[0] = 3.0
    quieter = logits.clone()
    quieter[1, 2] = -5.0  # extrasystole, joined by the maximum
    whole, parts = torch.tensor([True]), torch.tensor([False])
    assert loss(quieter, truth, whole) == pytest.approx(float(loss(logits, truth, whole)))
    assert loss(quieter, truth, parts) > loss(logits, truth, parts)
    quieter[1, 1] = -5.0  # sinus rhythm, joined by the mean
    assert loss(quieter, truth, whole) > loss(logits, truth, whole)
