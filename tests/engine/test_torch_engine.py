from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from ecg_processor_py import prepare_ecg_fm
from pydicom.data import get_testdata_file

from serve_app.decoding import decode
from serve_app.engine import Engine, Scores
from serve_app.engine.loading import load_engine
from serve_app.engine.torch_engine import TorchEngine, auto_precision
from serve_app.errors import InvalidSignal
from serve_app.model.checkpoints import LoadedModel, load_model
from serve_app.model.demo import full_size_config, seeded_model
from serve_app.model.labels import LABELS
from serve_app.model.network import EcgFmClassifier
from serve_app.settings import Settings


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = TorchEngine(load_model("demo"), threads=1, max_batch=4)
    engine.warm()
    return engine


@pytest.fixture(scope="module")
def segments() -> np.ndarray:
    """(6, 12, 2500) float32: more than one batch."""
    return np.random.default_rng(0).standard_normal((6, 12, 2500), dtype=np.float32)


@pytest.fixture(scope="module")
def real_segments() -> np.ndarray:
    """(2, 12, 2500) float32 of the recording that ships inside pydicom."""
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    recording = decode(Path(str(path)).read_bytes())
    return prepare_ecg_fm(recording.signal_mv, recording.fs_hz, recording.leads)


def test_info_says_which_model_answers(engine: Engine) -> None:
    info, loaded = engine.info, load_model("demo")
    assert (info.name, info.engine, info.precision, info.demo) == ("demo", "torch", "fp32", True)
    assert (info.sha256, info.revision, info.source) == (loaded.sha256, loaded.revision, "demo")
    assert info.labels == loaded.config.labels
    assert [label.name for label in info.labels] == [label.name for label in LABELS]
    assert (info.leads, info.segment_samples, info.fs_hz, info.embedding_dim) == (
        12,
        2500,
        500,
        128,
    )
    assert info.loaded_at <= datetime.now(UTC)
    assert torch.get_num_threads() == info.threads == 1


@torch.inference_mode()
def test_equals_the_plain_network(engine: Engine, segments: np.ndarray) -> None:
    logits, embeddings = load_model("demo").model(torch.from_numpy(segments))
    scores = engine.predict(segments)
    np.testing.assert_allclose(scores.logits, logits.numpy(), atol=1e-5, rtol=0)
    np.testing.assert_allclose(scores.embeddings, embeddings.numpy(), atol=1e-5, rtol=0)
    np.testing.assert_allclose(scores.probabilities, torch.sigmoid(logits).numpy(), atol=1e-6)
    shapes = {name: getattr(scores, name).shape for name in Scores.__slots__}
    assert shapes == {"logits": (6, 17), "probabilities": (6, 17), "embeddings": (6, 128)}
    assert {getattr(scores, name).dtype for name in Scores.__slots__} == {np.dtype(np.float32)}


def test_a_segment_does_not_depend_on_its_batch(engine: Engine, segments: np.ndarray) -> None:
    together = engine.predict(segments).logits
    alone = np.concatenate([engine.predict(segments[n : n + 1]).logits for n in range(6)])
    backwards = engine.predict(segments[::-1]).logits[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-5, rtol=0)
    np.testing.assert_allclose(together, backwards, atol=1e-5, rtol=0)


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
    assert (scores.logits.shape, scores.embeddings.shape) == ((0, 17), (0, 128))


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


def test_model_is_left_as_it_was() -> None:
    loaded = load_model("demo")
    before = set(loaded.model.state_dict())
    TorchEngine(loaded, threads=1)
    assert set(loaded.model.state_dict()) == before


@pytest.mark.parametrize("fields", [{"threads": 0}, {"threads": 1, "max_batch": 0}])
def test_nonsense_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TorchEngine(load_model("demo"), **fields)


@pytest.fixture(scope="module")
def full_size() -> LoadedModel[EcgFmClassifier]:
    model = seeded_model(full_size_config(), seed=0)
    return LoadedModel("full-size", "0" * 12, "0" * 64, "seeded", True, model)


def test_bf16_stays_within_a_hundredth_of_fp32(
    full_size: LoadedModel[EcgFmClassifier], real_segments: np.ndarray
) -> None:
    exact = TorchEngine(full_size, threads=2).predict(real_segments)
    engine = TorchEngine(full_size, threads=2, precision="bf16")
    scores = engine.predict(real_segments)
    assert engine.info.precision == "bf16"
    assert np.abs(scores.probabilities - exact.probabilities).max() <= 0.01
    assert scores.logits.dtype == scores.embeddings.dtype == np.float32
    # The model that was handed over keeps its weights as they were.
    assert {parameter.dtype for parameter in full_size.model.parameters()} == {torch.float32}


def test_auto_takes_bf16_for_a_large_model_on_a_processor_that_has_it(
    full_size: LoadedModel[EcgFmClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    for capabilities, expected in (
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx512_f": True, "avx512_bf16": False}, "fp32"),
        ({}, "fp32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert auto_precision(full_size) == expected
        assert auto_precision(load_model("demo")) == "fp32"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_settings_choose_the_precision(precision: str) -> None:
    engine = load_engine(Settings(precision=precision))
    assert engine.info.precision == precision
    assert engine.predict(np.zeros((1, 12, 2500), np.float32)).logits.shape == (1, 17)
