"""`ecg-serve model bench | quantize | export`, as a person and as a program calls them."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from serve_app.engine.choosing import choose, make_engine
from serve_app.engine.comparison import largest_errors, plain_logits
from serve_app.engine.rounding import example_segments
from serve_app.model.checkpoints import load_model
from serve_app.model.conversion import write_model
from serve_app.model.modeling_ecg_fm import EcgFmForSequenceClassification
from tests.model_commands import run, said, told


@pytest.mark.parametrize(
    ("precision", "engines", "most_error"),
    [
        ("fp32", {"torch", "openvino", "onnx"}, 1e-5),
        ("bf16", {"torch"}, 0.02),
        ("int8", {"openvino", "onnx"}, 0.02),
    ],
)
def test_bench_times_every_engine_against_plain_float32(
    precision: str, engines: set[str], most_error: float
) -> None:
    done = run("bench", "demo", "--rounds", "2", "--precision", precision, "--json")
    rows = json.loads(done.stdout)["rows"]
    by_engine = {row["engine"]: row for row in rows}
    assert engines <= set(by_engine)
    for engine in engines:
        row = by_engine[engine]
        assert row["precision"] == precision
        assert row["max_probability_error"] <= most_error
        assert all(rate > 0 for rate in row["segments_per_s"].values())
        assert all(spread >= 0 for spread in row["spread"].values())
        assert row["load_s"] > 0


def test_bench_of_all_precisions_tells_sizes() -> None:
    rows = json.loads(run("bench", "demo", "--rounds", "1", "--json").stdout)["rows"]
    by_pair = {(row["engine"], row["precision"]): row["weights_mb"] for row in rows}
    assert by_pair["openvino", "int8"] < 0.7 * by_pair["openvino", "fp32"]
    assert by_pair["torch", "bf16"] < 0.6 * by_pair["torch", "fp32"]
    assert all(precision != "fp16" for _, precision in by_pair)


def test_bench_for_people() -> None:
    printed = said("bench", "demo", "--rounds", "1", "--precision", "int8")
    assert "x plain float32" in printed
    assert "torch" not in printed


def test_bench_of_a_missing_recording_is_told() -> None:
    assert "cannot be read" in said("bench", "demo", "nowhere.dat", code=1)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "int8"
    printed = said("quantize", "demo", folder)
    assert "layers in int8" in printed
    return folder


def test_quantize_writes_a_model_that_is_served_in_int8(quantized: Path) -> None:
    loaded = load_model(quantized)
    assert loaded.precision == "int8"
    assert choose(loaded) == ("openvino", "int8")
    segments = example_segments()
    exact = plain_logits(load_model("demo"), segments)
    for engine in ("openvino", "onnx"):
        _, error = largest_errors(make_engine(loaded, engine).predict(segments), exact)
        assert error <= 0.02


def test_what_int8_stands_for_is_the_same_in_every_precision(quantized: Path) -> None:
    loaded, segments = load_model(quantized), example_segments()
    want = plain_logits(loaded, segments)
    for pair in (("torch", "fp32"), ("openvino", "fp32"), ("onnx", "fp32")):
        assert largest_errors(make_engine(loaded, *pair).predict(segments), want)[0] < 1e-4


def test_transformers_classes_take_it_too(quantized: Path) -> None:
    x = torch.from_numpy(example_segments())
    with torch.inference_mode():
        logits = EcgFmForSequenceClassification.from_pretrained(quantized).eval()(x).logits
    np.testing.assert_allclose(logits, plain_logits(load_model(quantized), x.numpy()), atol=1e-4)


def test_a_quantized_model_is_converted_bit_for_bit(quantized: Path, tmp_path: Path) -> None:
    write_model(load_model(quantized), tmp_path / "again")
    weights = "model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (quantized / weights).read_bytes()


def test_quantize_keeps_what_errs_most(tmp_path: Path) -> None:
    # So small an error cannot be had: a third of the blocks stay, and the exit code says so.
    found = told("quantize", "demo", tmp_path / "strict", "--most-error", "1e-9", code=1)
    assert not found["within_limit"]
    layers = load_model("demo").config.encoder_layers
    assert len(found["kept_in_fp32"]) == 2 * layers // 3
    kept = load_model(tmp_path / "strict").quantized or {}
    assert not any(
        name.startswith(f"network.encoder.layers.{block}")
        for name in kept
        for block in found["kept_in_fp32"]
    )
    free = told("quantize", "demo", tmp_path / "free", "--most-error", "0.2")
    assert free["within_limit"]
    assert free["kept_in_fp32"] == []
    assert found["max_probability_error"] <= free["max_probability_error"]


def test_quantize_measures_on_recordings(data_dir: Path, tmp_path: Path) -> None:
    paths = sorted((data_dir / "twelve_lead/ptbxl/records500").rglob("*.hea"))[:3]
    options = [text for path in paths for text in ("--calibrate", str(path))]
    assert told("quantize", "demo", tmp_path / "out", *options)["segments"] == 6


@pytest.mark.parametrize("change", ["scale", "dtype", "bias", "nan"])
def test_damaged_int8_layers_are_refused(quantized: Path, tmp_path: Path, change: str) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(quantized / "model.safetensors")
    name = next(name for name in weights if name.endswith("weight_scale"))
    layer = name.removesuffix(".weight_scale")
    if change == "scale":
        weights[name] = weights[name][:-1].clone()
    elif change == "dtype":
        weights[f"{layer}.weight"] = weights[f"{layer}.weight"].to(torch.float32)
    elif change == "bias":
        del weights[f"{layer}.bias"]
    else:
        weights[name] = weights[name] * float("nan")
    (tmp_path / "config.json").write_bytes((quantized / "config.json").read_bytes())
    save_file(weights, tmp_path / "model.safetensors")
    assert "checkpoint's" in said("verify", tmp_path, code=1)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_export_runs_without_this_project(tmp_path: Path, precision: str) -> None:
    path = tmp_path / "model.onnx"
    found = told("export", "demo", path, "--precision", precision)
    assert found["size_bytes"] == path.stat().st_size
    assert found["max_probability_error"] <= (1e-5 if precision == "fp32" else 0.02)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    segments = example_segments()
    logits, embeddings = session.run(["logits", "embeddings"], {"segments": segments})
    exact = plain_logits(load_model("demo"), segments)
    np.testing.assert_allclose(logits, exact, atol=1e-4 if precision == "fp32" else 0.1)
    assert embeddings.shape == (2, load_model("demo").config.encoder_embed_dim)
    properties = session.get_modelmeta().custom_metadata_map
    assert properties["sha256"] == load_model("demo").sha256
    assert len(json.loads(properties["labels"])) == 17


def test_export_to_nowhere_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    assert "cannot be written" in said("export", "demo", tmp_path / "none" / "x.onnx", code=1)
    assert list(tmp_path.iterdir()) == []
