import json
from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError

from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.labels import LABELS


def test_defaults_are_the_published_model() -> None:
    config = EcgFmConfig()
    assert config.labels == LABELS
    assert (config.hidden_size, config.num_hidden_layers, config.num_labels) == (768, 12, 17)
    assert config.minimum_samples == 16
    assert not config.demo


def test_survives_json() -> None:
    config = EcgFmConfig(encoder_layers=3, label_thresholds=[0.25] * 17, demo=True)
    again = EcgFmConfig(**json.loads(config.to_json_string()))
    assert again.labels == config.labels
    assert (again.encoder_layers, again.demo) == (3, True)


def test_other_heads_have_plain_labels() -> None:
    config = EcgFmConfig(num_labels=2)
    assert [label.name for label in config.labels] == ["LABEL_0", "LABEL_1"]
    named = EcgFmConfig(id2label={0: "Infarction", 1: "Other"})
    assert [label.pos_weight for label in named.labels] == [3.464408, 1.0]


@pytest.mark.parametrize(
    "fields",
    [
        {"encoder_layer": 12},
        {"encoder_layers": 0},
        {"encoder_layers": "12"},
        {"encoder_embed_dim": -768},
        {"encoder_attention_heads": 5},
        {"conv_pos_groups": 7},
        {"conv_feature_layers": []},
        {"conv_feature_layers": [[256, 2]]},
        {"conv_feature_layers": [[256, 0, 2]]},
        {"extractor_mode": "layer_norm"},
        {"layer_norm_eps": 0.0},
        {"segment_samples": 15},
        {"num_labels": 0},
        {"num_labels": 3, "id2label": {0: "a"}},
        {"id2label": {1: "a", 2: "b"}},
        {"label_joins": ["mean"]},
        {"label_joins": ["sum"] * 17},
        {"label_pos_weights": [0.0] * 17},
        {"label_thresholds": [2.0] * 17},
        {"noisy_labels": ["Not a label"]},
    ],
    ids=str,
)
def test_bad_values_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, StrictDataclassError)):
        EcgFmConfig(**fields)
