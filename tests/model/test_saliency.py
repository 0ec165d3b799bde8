"""Saliency against explicit softmax, autograd and the theorem of completeness."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from serve_app.decoding import decode
from serve_app.errors import InferenceTimeout
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.demo import demo_model, seeded_model
from serve_app.model.saliency import (
    attention_by_token,
    blurred,
    gradients,
    integrated_gradients,
    label_logits,
    token_stride,
)
from serve_app.preprocessing import prepare

INFARCTION = 15


def nothing():
    """Between steps."""


@pytest.fixture(scope="module")
def pair(expected):
    """(2, 12, 2500) that the public code was run on."""
    return torch.from_numpy(expected["source"][:2])


@pytest.fixture(scope="module")
def heartbeats(dicom_bytes):
    """(2, 12, 2500) of a real recording."""
    return torch.from_numpy(prepare(decode(dicom_bytes)).segments)


def explicit_attention(layer, x):
    """Head by head and query by query, from upstream's description."""
    attention, (batch, tokens, d) = layer.self_attn, x.shape
    width = d // attention.heads
    q, k = attention.q_proj(x) / math.sqrt(width), attention.k_proj(x)
    out = np.zeros((batch, tokens))
    for b in range(batch):
        mean = np.zeros((tokens, tokens))
        for h in range(attention.heads):
            own = slice(h * width, (h + 1) * width)
            scores = (q[b, :, own] @ k[b, :, own].T).double().numpy()
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            mean += weights / weights.sum(axis=1, keepdims=True) / attention.heads
        out[b] = mean.max(axis=0)
    return out


@torch.no_grad()
def test_attention_of_the_last_layer_as_upstream_shows_it(tiny, pair, expected):
    found = attention_by_token(tiny.model, pair)
    assert found.shape == (2, 156)
    states = tiny.model.network(pair, output_hidden_states=True).hidden_states
    last = len(states) - 2
    assert np.abs(states[last + 1].numpy() - expected["nopad_encoder_out"][:2]).max() < 1e-4
    layer = tiny.model.network.encoder.layers[-1]
    np.testing.assert_allclose(found.numpy(), explicit_attention(layer, states[last]), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 3])
def test_attention_of_pre_norm_models(small_config, segments, layers):
    config = EcgFmConfig(
        **{
            **{name: getattr(small_config, name) for name in (
                "conv_feature_layers", "encoder_embed_dim", "encoder_ffn_embed_dim",
                "encoder_attention_heads", "conv_pos", "conv_pos_groups",
            )},
            "encoder_layers": layers, "layer_norm_first": True,
        }
    )  # fmt: skip
    model = seeded_model(config, seed=5)
    layer = model.network.encoder.layers[-1]
    given = []
    handle = layer.self_attn.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    model(segments)
    handle.remove()
    found = attention_by_token(model, segments).numpy()
    np.testing.assert_allclose(found, explicit_attention(layer, given[0]), atol=1e-6)


def test_attention_is_of_weights(tiny, pair):
    """Each is the largest share that a query gives: positive, and together at least 1."""
    found = attention_by_token(tiny.model, pair)
    assert (found > 0).all()
    assert (found <= 1).all()
    assert (found.sum(1) >= 1).all()
    assert token_stride(tiny.config) == 16


def test_gradients_are_autograd_s(tiny, pair):
    found = gradients(tiny.model, pair, INFARCTION, nothing)
    x = pair.clone().requires_grad_()
    tiny.model(x)[0][:, INFARCTION].sum().backward()
    torch.testing.assert_close(found, x.grad.abs(), atol=1e-6, rtol=1e-4)
    assert not found.requires_grad
    assert found.shape == (2, 12, 2500)


def test_gradients_are_the_slope_of_the_logit(tiny, pair):
    """Moving a sample moves the logit by so much; in double precision, to see small differences."""
    model = seeded_model(tiny.config, seed=1).double()
    x = pair[:1].double()
    found = gradients(model, x, INFARCTION, nothing)
    lead, sample = divmod(int(found.flatten().argmax()), 2500)
    step = torch.zeros_like(x)
    step[0, lead, sample] = 1e-4
    up, down = (label_logits(model, each)[0, INFARCTION] for each in (x + step, x - step))
    assert abs((up - down).item()) / 2e-4 == pytest.approx(found[0, lead, sample].item(), rel=1e-4)


def test_integrated_gradients_are_complete(tiny, heartbeats):
    model = tiny.model
    start = label_logits(model, blurred(heartbeats, 500))[:, INFARCTION]
    gap = label_logits(model, heartbeats)[:, INFARCTION] - start
    missed = {}
    for steps in (2, 16, 64):
        found = integrated_gradients(model, heartbeats, INFARCTION, steps, nothing)
        missed[steps] = (found.attributions.sum((1, 2)) - gap).abs().max().item()
        torch.testing.assert_close(found.baseline_logits, start)
    assert gap.abs().min() > 0.01
    assert missed[64] <= 0.01 * gap.abs().max()
    assert missed[16] < 0.02
    assert missed[16] < missed[2]


def test_integrated_gradients_of_a_trained_network_are_complete(heartbeats):
    model = demo_model()
    for label in (1, 6, INFARCTION):
        found = integrated_gradients(model, heartbeats, label, 256, nothing)
        gap = label_logits(model, heartbeats)[:, label] - found.baseline_logits
        assert (found.attributions.sum((1, 2)) - gap).abs().max() <= 0.02 * gap.abs().max()


def test_the_baseline_has_no_beats_and_keeps_the_wander():
    seconds = torch.arange(2500) / 500
    wander = 0.1 * torch.sin(2 * math.pi * 0.05 * seconds)
    beats = torch.exp(-0.5 * ((seconds % 0.8 - 0.4) / 0.02) ** 2)
    found = blurred((wander + beats)[None, None].expand(1, 12, -1), 500)
    assert found.shape == (1, 12, 2500)
    assert (found - wander - beats.mean()).abs().max() < 0.1
    torch.testing.assert_close(
        blurred(torch.full((1, 2, 700), 3.0), 500)[0, 1, :3], torch.full((3,), 3.0)
    )


def test_integrated_gradients_are_the_integral(tiny, pair):
    """By a plain midpoint sum, in double precision."""
    model = seeded_model(tiny.config, seed=1).double()
    x = pair[:1].double()
    found = integrated_gradients(model, x, INFARCTION, 64, nothing).attributions
    total = torch.zeros_like(x)
    start = blurred(x, 500)
    for k in range(200):
        point = (start + (k + 0.5) / 200 * (x - start)).requires_grad_()
        total += torch.autograd.grad(model(point)[0][0, INFARCTION], point)[0]
    plain = (x - start) * total / 200
    assert (found - plain).abs().max() < 0.01 * plain.abs().max()


def test_a_lead_of_zeros_gets_nothing(tiny, pair):
    x = pair.clone()
    x[:, 3] = 0
    found = integrated_gradients(tiny.model, x, INFARCTION, 4, nothing).attributions
    assert (found[:, 3] == 0).all()
    assert (found[:, 4] != 0).any()


def test_labels_have_gradients_of_their_own(tiny, pair):
    first, second = (gradients(tiny.model, pair, label, nothing) for label in (1, INFARCTION))
    assert not torch.allclose(first, second)


def test_work_ends_where_it_is_told_to(tiny, pair):
    steps = []

    def between():
        steps.append(1)
        if len(steps) == 3:
            raise InferenceTimeout("enough")

    with pytest.raises(InferenceTimeout):
        integrated_gradients(tiny.model, pair, INFARCTION, 256, between)
    assert len(steps) == 3


def test_attention_needs_no_captum():
    code = (
        "import sys; sys.modules['captum'] = None\n"
        "import torch\n"
        "from serve_app.errors import NotInstalled\n"
        "from serve_app.model.demo import demo_model\n"
        "from serve_app.model.saliency import attention_by_token, gradients\n"
        "model, x = demo_model(), torch.randn(1, 12, 2500)\n"
        "assert attention_by_token(model, x).shape[0] == 1\n"
        "try: gradients(model, x, 0, lambda: None)\n"
        "except NotInstalled as error: print(error.status, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "501" in done.stdout, done.stderr
    assert "ecg-fm-serve[explain]" in done.stdout
