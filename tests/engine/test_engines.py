"""What every engine has to hold to, whichever library runs it, and in whatever precision."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from serve_app.decoding import decode_path
from serve_app.engine import Engine, Scores, choosing
from serve_app.engine.batched import BatchedEngine
from serve_app.engine.choosing import available_engines, choose, make_engine
from serve_app.engine.comparison import largest_errors, plain_logits
from serve_app.engine.loading import load_engine
from serve_app.engine.onnx_engine import OnnxEngine
from serve_app.engine.openvino_engine import OpenVinoEngine
from serve_app.engine.rounding import example_segments
from serve_app.engine.torch_engine import TorchEngine
from serve_app.errors import InvalidSignal, SettingsError
from serve_app.model.checkpoints import LoadedModel, load_model
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.demo import full_size_config, seeded_model
from serve_app.model.network import EcgFmClassifier
from serve_app.preprocessing import prepare
from serve_app.settings import (
    ENGINE_PRECISIONS,
    EngineName,
    Precision,
    Settings,
    load_settings,
)

ENGINES = [pair for pair in available_engines() if pair[1] in ("fp32", "int8")]
EXACT = [pair for pair in ENGINES if pair[1] == "fp32"]
CLASSES = {"torch": TorchEngine, "openvino": OpenVinoEngine, "onnx": OnnxEngine}


def test_every_engine_is_installed() -> None:
    assert {name for name, _ in EXACT} == set(CLASSES)
    assert ("openvino", "int8") in ENGINES
    assert ("onnx", "int8") in ENGINES


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def engine(request: pytest.FixtureRequest) -> BatchedEngine:
    name, precision = request.param
    engine = make_engine(load_model("demo"), name, precision, threads=1, max_batch=4)
    engine.warm()
    return engine


@pytest.fixture(scope="module")
def segments() -> np.ndarray:
    """(6, 12, 2500) float32: more than one batch."""
    return np.random.default_rng(0).standard_normal((6, 12, 2500), dtype=np.float32)


def seeded(**fields: object) -> LoadedModel[EcgFmClassifier]:
    """Seeded weights, pre-norm and of three labels: what the demo does not have."""
    config = EcgFmConfig(
        conv_feature_layers=[[32, 2, 2]] * 4,
        encoder_layers=2,
        encoder_embed_dim=96,
        encoder_ffn_embed_dim=192,
        encoder_attention_heads=3,
        layer_norm_first=True,
        num_labels=3,
        **fields,
    )
    return _loaded("seeded", seeded_model(config, seed=1))


@pytest.fixture(scope="module")
def full_size() -> LoadedModel[EcgFmClassifier]:
    return _loaded("full-size", seeded_model(full_size_config(), seed=0))


def _loaded(name: str, model: EcgFmClassifier) -> LoadedModel[EcgFmClassifier]:
    return LoadedModel(name, "0" * 12, "0" * 64, "seeded", True, model)


def test_info_says_which_model_answers(engine: Engine) -> None:
    info, loaded = engine.info, load_model("demo")
    assert (info.name, info.demo) == ("demo", True)
    assert info.precision in ENGINE_PRECISIONS[info.engine]
    assert isinstance(engine, CLASSES[info.engine])
    assert (info.sha256, info.revision, info.source) == (loaded.sha256, loaded.revision, "demo")
    assert info.labels == loaded.config.labels
    assert (info.leads, info.segment_samples, info.fs_hz) == (12, 2500, 500)
    assert info.embedding_dim == loaded.config.encoder_embed_dim
    assert info.loaded_at <= datetime.now(UTC)
    assert info.threads == 1


def test_agrees_with_the_plain_network(engine: Engine, segments: np.ndarray) -> None:
    loaded = load_model("demo")
    with torch.inference_mode():
        logits, embeddings = loaded.model(torch.from_numpy(segments))
    scores = engine.predict(segments)
    exact = engine.info.precision == "fp32"
    np.testing.assert_allclose(scores.logits, logits.numpy(), atol=1e-4 if exact else 0.25, rtol=0)
    np.testing.assert_allclose(
        scores.probabilities, torch.sigmoid(logits).numpy(), atol=1e-5 if exact else 0.03, rtol=0
    )
    if exact:
        np.testing.assert_allclose(scores.embeddings, embeddings.numpy(), atol=1e-4, rtol=0)
    n, width = len(segments), loaded.config.encoder_embed_dim
    shapes = {name: getattr(scores, name).shape for name in Scores.__slots__}
    assert shapes == {"logits": (n, 17), "probabilities": (n, 17), "embeddings": (n, width)}
    assert {getattr(scores, name).dtype for name in Scores.__slots__} == {np.dtype(np.float32)}


@pytest.mark.parametrize("conv_pos", [15, 16, 64, 65, 311, 312])
@pytest.mark.parametrize("pair", EXACT, ids="-".join)
def test_other_architectures(pair: tuple[EngineName, Precision], conv_pos: int) -> None:
    """Narrow and wide positions, by taps and by spectrum, and wider than there are tokens."""
    model, segments = seeded(conv_pos=conv_pos, conv_pos_groups=4), example_segments()
    found = make_engine(model, *pair).predict(segments)
    np.testing.assert_allclose(found.logits, plain_logits(model, segments), atol=1e-5, rtol=0)


def test_a_segment_does_not_depend_on_its_batch(engine: Engine, segments: np.ndarray) -> None:
    loud = segments * np.array([1, 5, 1, 1, 20, 1], np.float32)[:, None, None]
    together = engine.predict(loud).logits
    alone = np.concatenate([engine.predict(loud[n : n + 1]).logits for n in range(6)])
    backwards = engine.predict(loud[::-1]).logits[::-1]
    # Beside int8 the rest is in bf16 where the processor has it, which rounds by kernel.
    in_bf16 = engine.info.precision == "int8" and torch.cpu.get_capabilities().get("avx512_bf16")
    atol = 0.02 if in_bf16 else 1e-5
    np.testing.assert_allclose(together, alone, atol=atol, rtol=0)
    np.testing.assert_allclose(together, backwards, atol=atol, rtol=0)


def test_answers_belong_to_the_caller(engine: Engine, segments: np.ndarray) -> None:
    first = engine.predict(segments[:2])
    kept = first.logits.copy()
    engine.predict(segments[2:4])
    np.testing.assert_array_equal(first.logits, kept)
    first.logits[:], first.embeddings[:], first.probabilities[:] = 0, 0, 0
    np.testing.assert_array_equal(engine.predict(segments[:2]).logits, kept)


def test_read_only_and_strided_input(engine: Engine, segments: np.ndarray) -> None:
    want = engine.predict(segments[::2]).logits
    frozen = segments[::2].copy()
    frozen.flags.writeable = False
    before = frozen.copy()
    np.testing.assert_array_equal(engine.predict(frozen).logits, want)
    np.testing.assert_array_equal(frozen, before)


def test_no_segments_give_no_scores(engine: Engine) -> None:
    scores = engine.predict(np.empty((0, 12, 2500), np.float32))
    assert scores.logits.shape == (0, 17)
    assert scores.embeddings.shape == (0, engine.info.embedding_dim)


@pytest.mark.parametrize("shape", [(12, 2500), (1, 11, 2500), (1, 12, 2499), (1, 2500, 12)])
def test_other_shapes_are_refused(engine: Engine, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidSignal, match="must be"):
        engine.predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize("dtype", [np.float64, np.int16])
def test_other_numbers_are_refused(engine: Engine, dtype: type) -> None:
    with pytest.raises(InvalidSignal, match="float32"):
        engine.predict(np.zeros((1, 12, 2500), dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(
    engine: Engine, segments: np.ndarray, value: float
) -> None:
    spoilt = segments[:1].copy()
    spoilt[0, 3, 100] = value
    with pytest.raises(InvalidSignal, match="not finite"):
        engine.predict(spoilt)


@pytest.mark.parametrize("pair", ENGINES, ids="-".join)
def test_model_is_left_as_it_was(pair: tuple[EngineName, Precision]) -> None:
    loaded = load_model("demo")
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    make_engine(loaded, *pair)
    after = loaded.model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


@pytest.mark.parametrize("pair", EXACT, ids="-".join)
@pytest.mark.parametrize("fields", [{"threads": 0}, {"threads": 1, "max_batch": 0}])
def test_nonsense_is_refused(pair: tuple[EngineName, Precision], fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make_engine(load_model("demo"), *pair, **fields)


@pytest.mark.parametrize(
    ("pair", "most_error"),
    [
        (("torch", "bf16"), 0.01),
        (("openvino", "fp32"), 1e-5),
        (("openvino", "int8"), 0.02),
        (("onnx", "int8"), 0.02),
    ],
    ids=str,
)
def test_full_size_stays_near_fp32(
    pair: tuple[EngineName, Precision],
    most_error: float,
    full_size: LoadedModel[EcgFmClassifier],
    recordings: np.ndarray,
) -> None:
    engine = make_engine(full_size, *pair, threads=2)
    scores = engine.predict(recordings)
    _, error = largest_errors(scores, plain_logits(full_size, recordings))
    assert (engine.info.engine, engine.info.precision) == pair
    assert error <= most_error
    # The model that was handed over keeps its weights as they were.
    assert {parameter.dtype for parameter in full_size.model.parameters()} == {torch.float32}


@pytest.fixture(scope="module")
def recordings(data_dir: Path) -> np.ndarray:
    """(16, 12, 2500) float32 of public recordings, which no scale was measured on."""
    paths = sorted((data_dir / "twelve_lead/ptbxl/records500").rglob("*.hea"))[:8]
    return np.concatenate([prepare(decode_path(path)).segments for path in paths])


def test_int8_takes_a_third_of_the_memory(full_size: LoadedModel[EcgFmClassifier]) -> None:
    whole, rounded = (make_engine(full_size, "openvino", each) for each in ("fp32", "int8"))
    assert rounded.weights_bytes <= 0.34 * whole.weights_bytes


def test_auto_goes_by_size_and_processor(
    full_size: LoadedModel[EcgFmClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    for capabilities, expected in (
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx512_f": True, "avx512_bf16": False}, "fp32"),
        ({}, "fp32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert choose(full_size) == ("openvino", expected)
        assert choose(full_size, "torch") == ("torch", expected)
        assert choose(full_size, "onnx") == ("onnx", "fp32")
        assert choose(load_model("demo")) == ("torch", "fp32")


def test_auto_without_openvino_is_torch(
    full_size: LoadedModel[EcgFmClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "find_spec", lambda name: None if name == "openvino" else name)
    assert choose(full_size, precision="fp32") == ("torch", "fp32")
    assert choose(full_size, precision="int8") == ("onnx", "int8")
    with pytest.raises(SettingsError, match="openvino is not installed"):
        choose(full_size, "openvino")


@pytest.mark.parametrize(
    ("engine", "precision"), [("torch", "int8"), ("onnx", "bf16"), ("openvino", "fp16")]
)
def test_what_cannot_be_is_refused(engine: EngineName, precision: Precision) -> None:
    with pytest.raises(SettingsError, match="does not run in"):
        choose(load_model("demo"), engine, precision)
    with pytest.raises(SettingsError, match="does not run in"):
        load_settings(engine=engine, precision=precision)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8"])
def test_settings_choose_the_precision(precision: Precision) -> None:
    engine = load_engine(Settings(precision=precision))
    assert engine.info.precision == precision
    assert engine.predict(np.zeros((1, 12, 2500), np.float32)).logits.shape == (1, 17)
