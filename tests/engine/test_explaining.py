"""Whose weights explain an engine: its own, or a copy that has to be the same."""

import asyncio

import numpy as np
import pytest
import torch

from serve_app.decoding import decode
from serve_app.engine.explaining import Wish, borrow_explainer, make_explainer
from serve_app.engine.identity import ModelSource
from serve_app.engine.loading import load_engine
from serve_app.engine.torch_engine import TorchEngine
from serve_app.errors import (
    CheckpointError,
    ModelUnavailable,
)
from serve_app.model.checkpoints import load_model
from serve_app.model.conversion import write_model
from serve_app.model.demo import seeded_model
from serve_app.model.network import fold_weight_norm, output_length
from serve_app.model.saliency import attention_by_token
from serve_app.preprocessing import prepare
from serve_app.settings import load_settings

# Of a segment, in the demo.
TOKENS = output_length(2500, load_model("demo").config.conv_feature_layers)


def source_of(settings):
    return ModelSource(settings.model, settings.model_revision)


@pytest.fixture(scope="module")
def segments(dicom_bytes):
    return prepare(decode(dicom_bytes)).segments


def test_other_engines_are_explained_in_float32_by_the_same_weights(tmp_path, segments):
    write_model(load_model("demo"), tmp_path / "ours")
    settings = load_settings(model=str(tmp_path / "ours"), precision="bf16")
    engine = load_engine(settings)
    assert engine.info.precision == "bf16"
    found = asyncio.run(
        make_explainer(settings, source_of(settings), engine).explain(segments, Wish())
    )
    plain = load_settings()
    exact = asyncio.run(
        make_explainer(plain, source_of(plain), load_engine(plain)).explain(segments, Wish())
    )
    np.testing.assert_array_equal(found.values, exact.values)
    assert (found.model.precision, found.model.sha256) == ("fp32", engine.info.sha256)


def test_weights_that_changed_on_disk_explain_nothing(tmp_path, segments):
    write_model(load_model("demo"), tmp_path / "ours")
    settings = load_settings(model=str(tmp_path / "ours"), precision="bf16")
    engine = load_engine(settings)
    other = load_model("demo")
    other.model.classifier.bias.data += 1
    write_model(other, tmp_path / "new")
    (tmp_path / "new" / "model.safetensors").replace(tmp_path / "ours" / "model.safetensors")
    with pytest.raises(CheckpointError, match="revision"):
        asyncio.run(make_explainer(settings, source_of(settings), engine).explain(segments, Wish()))


def test_a_float32_engine_lends_its_network(segments):
    engine = TorchEngine(load_model("demo"), threads=1)
    settings = load_settings(model="nowhere")  # nothing is loaded again
    found = asyncio.run(
        make_explainer(settings, source_of(settings), engine).explain(segments, Wish())
    )
    assert found.values.shape == (2, TOKENS)
    plain = seeded_model(load_model("demo").config, seed=3)
    fold_weight_norm(plain)
    assert not np.array_equal(
        attention_by_token(plain, torch.from_numpy(segments)).numpy(), found.values
    )


def test_an_engine_in_bf16_has_nothing_to_lend():
    engine = TorchEngine(load_model("demo"), threads=1, precision="bf16")
    with pytest.raises(ModelUnavailable, match="float32"):
        borrow_explainer(ModelSource("demo"), engine)
