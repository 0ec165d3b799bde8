"""The network against what the public code computes, and its invariants."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from serve_app.errors import InvalidSignal
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.demo import full_size_config, seeded_model
from serve_app.model.network import (
    EcgFmBackbone,
    EcgFmClassifier,
    fold_weight_norm,
    lengths_from_padding_mask,
    output_length,
)

Tiny = LoadedModel[EcgFmClassifier]
Expected = dict[str, np.ndarray]

TOLERANCE = 1e-5


def close(got: Tensor, want: np.ndarray) -> None:
    assert got.shape == want.shape
    error = float(np.abs(got.detach().numpy() - want).max())
    assert error <= TOLERANCE, f"off by {error}"


@torch.inference_mode()
def test_equals_the_public_code(tiny: Tiny, expected: Expected) -> None:
    source = torch.from_numpy(expected["source"])
    logits, pooled = tiny.model(source)
    close(logits, expected["nopad_logits"])
    close(torch.sigmoid(logits), expected["nopad_probs"])
    close(pooled, expected["nopad_pooled"])
    close(tiny.model.network(source).tokens, expected["nopad_encoder_out"])


@torch.inference_mode()
def test_equals_the_public_code_at_each_step(tiny: Tiny, expected: Expected) -> None:
    network = tiny.model.network
    taps: dict[str, Tensor] = {}

    def tap(name: str, module: nn.Module) -> Any:
        return module.register_forward_hook(lambda _m, _i, out: taps.__setitem__(name, out))

    hooks = [
        tap("conv", network.feature_extractor),
        tap("ln", network.layer_norm),
        tap("projected", network.post_extract_proj),
        tap("pos", network.conv_pos),
    ]
    states = network(torch.from_numpy(expected["source"]), output_hidden_states=True).hidden_states
    for hook in hooks:
        hook.remove()
    close(taps["conv"][:1], expected["nopad_tap_conv"])
    close(taps["ln"][:1], expected["nopad_tap_ln"])
    close(taps["pos"][:1], expected["nopad_tap_pos"])
    for state, name in zip(states, ("enc_in_ln", "layer0", "layer1"), strict=True):
        close(state[:1], expected[f"nopad_tap_{name}"])


@torch.inference_mode()
def test_equals_the_public_code_with_padding(tiny: Tiny, expected: Expected) -> None:
    source = torch.from_numpy(expected["source"])
    lengths = torch.from_numpy(expected["pad_lengths"])
    encoded = tiny.model.network(source, lengths)
    valid = ~expected["pad_token_padding_mask"]
    np.testing.assert_array_equal(encoded.token_mask.numpy(), valid)
    close(encoded.tokens[torch.from_numpy(valid)], expected["pad_encoder_out"][valid])
    logits, pooled = tiny.model(source, lengths)
    close(pooled, expected["pad_pooled"])
    close(logits, expected["pad_logits"])
    close(torch.sigmoid(logits), expected["pad_probs"])


@torch.inference_mode()
def test_equals_the_public_code_on_missing_leads_and_silence(
    tiny: Tiny, expected: Expected
) -> None:
    limbs_only = torch.from_numpy(expected["source"]).clone()
    limbs_only[:, 6:] = 0
    close(tiny.model(limbs_only)[0], expected["zeroleads_logits"])
    silence = torch.zeros(1, 12, 2500)
    logits, pooled = tiny.model(silence)
    close(logits, expected["allzero_logits"])
    close(torch.sigmoid(logits), expected["allzero_probs"])
    close(pooled, expected["allzero_pooled"])
    close(tiny.model.network(silence).tokens, expected["allzero_encoder_out"])


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_layer_is_that_of_torch(small_config: EcgFmConfig, norm_first: bool) -> None:
    # The feed-forward of the shared checkpoint is too near zero to tell one GELU from another.
    fields = small_config.to_dict() | {"layer_norm_first": norm_first}
    ours = seeded_model(EcgFmConfig(**fields), seed=5).network.encoder.layers[0]
    theirs = nn.TransformerEncoderLayer(
        32, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first
    )
    mine = ours.state_dict()
    names = {"self_attn_layer_norm": "norm1", "final_layer_norm": "norm2"}
    names |= {"fc1": "linear1", "fc2": "linear2", "self_attn.out_proj": "self_attn.out_proj"}
    state = {f"{b}.{k}": mine[f"{a}.{k}"] for a, b in names.items() for k in ("weight", "bias")}
    for kind in ("weight", "bias"):
        parts = [mine[f"self_attn.{part}_proj.{kind}"] for part in "qkv"]
        state[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
    theirs.load_state_dict(state)
    x, mask = torch.randn(2, 20, 32), torch.arange(20) < torch.tensor([[20], [11]])
    want = theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, mask[:, None, None])[mask], want[mask], atol=1e-5, rtol=0)


def test_full_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = EcgFmClassifier(full_size_config())
    assert sum(parameter.numel() for parameter in model.parameters()) == 90_386_321


@pytest.mark.parametrize(("samples", "tokens"), [(16, 1), (500, 31), (1250, 78), (5000, 312)])
@torch.inference_mode()
def test_other_lengths(small_model: EcgFmClassifier, samples: int, tokens: int) -> None:
    encoded = small_model.network(torch.randn(2, 12, samples))
    assert encoded.tokens.shape == (2, tokens, 32)
    assert output_length(samples, small_model.config.conv_feature_layers) == tokens
    assert encoded.pooled.isfinite().all()


@torch.inference_mode()
def test_segments_do_not_see_each_other(small_model: EcgFmClassifier, segments: Tensor) -> None:
    together = small_model(segments)[0]
    alone = torch.cat([small_model(segment[None])[0] for segment in segments])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_padding_counts_as_zeros(small_model: EcgFmClassifier, segments: Tensor) -> None:
    lengths = torch.tensor([2500, 1800, 777])
    zeroed, spoilt = segments.clone(), segments.clone()
    for index, length in enumerate(lengths):
        zeroed[index, :, length:] = 0
        spoilt[index, :, length:] = torch.nan
    torch.testing.assert_close(small_model(zeroed, lengths), small_model(spoilt, lengths))


@torch.inference_mode()
def test_full_lengths_change_nothing(small_model: EcgFmClassifier, segments: Tensor) -> None:
    plain, masked = small_model(segments), small_model(segments, torch.full((3,), 2500))
    torch.testing.assert_close(plain, masked, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_pre_norm_ends_with_the_layer_norm(small_config: EcgFmConfig, segments: Tensor) -> None:
    fields = small_config.to_dict() | {"layer_norm_first": True}
    network = seeded_model(EcgFmConfig(**fields), seed=1).network
    tokens = network(segments, output_hidden_states=True).tokens
    # The gain is one and the bias zero in a seeded model, so the last LayerNorm shows.
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(3, 156), atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens.var(-1, correction=0), torch.ones(3, 156), atol=1e-3, rtol=0)


def test_equal_widths_need_no_projection(small_config: EcgFmConfig) -> None:
    fields = small_config.to_dict() | {"conv_feature_layers": [[32, 2, 2]] * 4}
    network = EcgFmBackbone(EcgFmConfig(**fields))
    assert not [name for name in network.state_dict() if name.startswith("post_extract_proj")]
    assert network(torch.randn(1, 12, 500)).pooled.shape == (1, 32)


@torch.inference_mode()
def test_folding_weight_norm_changes_nothing(small_config: EcgFmConfig, segments: Tensor) -> None:
    model = seeded_model(small_config, seed=3)
    before = model(segments)
    fold_weight_norm(model)
    assert "network.conv_pos.pos_conv.0.weight" in model.state_dict()
    torch.testing.assert_close(model(segments), before)


def test_weight_norm_is_that_of_torch() -> None:
    ours = EcgFmBackbone(EcgFmConfig(encoder_layers=1)).conv_pos.pos_conv[0]
    theirs = nn.Conv1d(768, 768, 128, padding=64, groups=16)
    theirs = nn.utils.parametrizations.weight_norm(theirs, dim=2)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("shape", [(12, 2500), (1, 11, 2500), (1, 12, 15), (1, 2500, 12)])
def test_other_shapes_are_refused(small_model: EcgFmClassifier, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidSignal, match="takes"):
        small_model(torch.zeros(shape))


@pytest.mark.parametrize("lengths", [[2500, 2500, 15], [0, 1, 2], [2501, 1, 1], [2500]])
def test_lengths_that_leave_no_token_or_do_not_fit(
    small_model: EcgFmClassifier, segments: Tensor, lengths: list[int]
) -> None:
    with pytest.raises(InvalidSignal, match=r"fewer than 16|do not fit"):
        small_model(segments, torch.tensor(lengths))


def padding(*lengths: int) -> Tensor:
    return torch.arange(100).expand(len(lengths), 12, 100) >= torch.tensor(lengths)[:, None, None]


def test_padding_masks_become_lengths() -> None:
    assert lengths_from_padding_mask(padding(100, 40, 0)).tolist() == [100, 40, 0]
    assert lengths_from_padding_mask(padding(100, 40)[:, 0]).tolist() == [100, 40]


@pytest.mark.parametrize(
    "spoil", [lambda m: m.flip(-1), lambda m: m.index_fill(1, torch.tensor(3), False)]
)
def test_padding_in_front_or_in_some_leads_is_refused(spoil: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(InvalidSignal, match=r"at the end|padded alike"):
        lengths_from_padding_mask(spoil(padding(60)))
