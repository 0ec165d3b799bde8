"""What every test shares: where the real recordings are."""

import functools
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from benchmarks.server import free_port, running_server
from serve_app.decoding import decode
from serve_app.engine.loading import load_engine
from serve_app.engine.protocol import EngineInfo
from serve_app.errors import ModelUnavailable
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.conversion import write_model
from serve_app.model.demo import seeded_model
from serve_app.pipeline import Answer, InProcessModel, ModelClient, Pipeline
from serve_app.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of public recordings: $ECG_TEST_DATA, by default ../shared/data."""
    folder = Path(os.environ.get("ECG_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no public recordings here: set ECG_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def ecgfm_dir(data_dir: Path) -> Path:
    """The small checkpoint in the published layout, beside the recordings."""
    folder = data_dir.parent / "ecgfm"
    if not folder.is_dir():
        pytest.skip("no reference checkpoint beside the recordings")
    return folder


@pytest.fixture
def nothing_stays_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Temporary files of this process are gone at the end of the test."""
    folder = tmp_path_factory.mktemp("spool")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="session")
def dicom_path() -> Path:
    """A real 12-lead recording, 10 s at 1 kHz, that ships inside pydicom."""
    return Path(str(get_testdata_file("waveform_ecg.dcm", download=False)))


@pytest.fixture(scope="session")
def dicom_bytes(dicom_path: Path) -> bytes:
    return dicom_path.read_bytes()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings()


@pytest.fixture(scope="session")
def pipeline(settings: Settings) -> Pipeline:
    """The whole way in this process, with the demo model."""
    return Pipeline(settings, InProcessModel(functools.partial(load_engine, settings)))


class FailingModel:
    """Answers some questions, and no more."""

    def __init__(self, model: ModelClient, answers: int) -> None:
        self._model, self._answers = model, answers

    async def info(self, model: str | None = None) -> EngineInfo:
        return await self._model.info(model)

    async def ask(self, segments: np.ndarray, model: str | None = None) -> Answer:
        self._answers -= 1
        if self._answers < 0:
            raise ModelUnavailable("gone")
        return await self._model.ask(segments, model)


@pytest.fixture(scope="session")
def failing_model(settings: Settings) -> Callable[[int], FailingModel]:
    """`failing_model(answers)`: the demo model, which goes away after so many answers."""
    model = InProcessModel(functools.partial(load_engine, settings))
    return lambda answers: FailingModel(model, answers)


@pytest.fixture(scope="session")
def grpc_port() -> int:
    """Where `server` speaks gRPC."""
    return free_port()


@pytest.fixture(scope="session")
def server(grpc_port: int) -> Iterator[str]:
    """The URL of a real `ecg-serve up`, profile graph."""
    with running_server("--grpc-port", str(grpc_port)) as (url, _, _):
        yield url


@pytest.fixture(scope="session")
def write_tiny() -> Callable[[Path, int], str]:
    """`write_tiny(folder, seed)`: a small model of ours in that folder; its path."""
    config = EcgFmConfig(
        conv_feature_layers=[[16, 2, 2]] * 4,
        encoder_layers=1,
        encoder_embed_dim=32,
        encoder_ffn_embed_dim=64,
        encoder_attention_heads=4,
        conv_pos=16,
        conv_pos_groups=4,
    )

    def write(folder: Path, seed: int) -> str:
        model = seeded_model(config, seed)
        write_model(LoadedModel("", "", "", "local", False, model), folder)
        return str(folder)

    return write


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.fixture(scope="session")
def as_npy():
    """Bytes of an array as .npy."""
    return npy


@pytest.fixture(scope="session")
def sinus_mv(dicom_bytes: bytes) -> np.ndarray:
    """(12, 5000) float32 millivolts at 500 Hz, from the real recording."""
    return decode(dicom_bytes).signal_mv[:, ::2]
