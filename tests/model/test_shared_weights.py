"""Replicas of one machine: whose memory their weights are in."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from serve_app.engine.loading import load_engine
from serve_app.engine.torch_engine import TorchEngine
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.conversion import write_model
from serve_app.model.demo import seeded_model
from serve_app.settings import load_settings

REPLICA = """
import sys
import numpy as np
from serve_app.engine.torch_engine import TorchEngine
from serve_app.model.checkpoints import load_model

engine = TorchEngine(load_model(sys.argv[1], mapped=sys.argv[2] == "mapped"), threads=1)
engine.predict(np.zeros((1, 12, 2500), np.float32))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of the full width: 25 million weights, 97 MB."""
    model = seeded_model(EcgFmConfig(encoder_layers=2), seed=0)
    folder = tmp_path_factory.mktemp("models") / "large"
    write_model(LoadedModel("large", "0" * 12, "0" * 64, "seeded", True, model), folder)
    return folder


@contextmanager
def replica(folder: Path, how: str) -> Iterator[int]:
    """The process id of one that has answered a request."""
    command = [sys.executable, "-c", REPLICA, str(folder), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def weights_of_its_own_mb(folder: Path, how: str) -> float:
    """What a second replica adds to the machine, without the libraries that both have mapped."""
    with ExitStack() as replicas:
        pids = [replicas.enter_context(replica(folder, how)) for _ in range(2)]
        rollup = Path(f"/proc/{pids[1]}/smaps_rollup").read_text()
    kinds = dict(re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.MULTILINE))
    return (int(kinds["Private_Dirty"]) + int(kinds["Private_Clean"])) / 1e3


@pytest.mark.slow
def test_mapped_weights_are_shared(large: Path) -> None:
    size_mb = (large / "model.safetensors").stat().st_size / 1e6
    saved_mb = weights_of_its_own_mb(large, "own") - weights_of_its_own_mb(large, "mapped")
    # All but the positional convolution, which is computed from its weight norm.
    assert saved_mb > 0.7 * size_mb


@contextmanager
def overwritten(path: Path) -> Iterator[None]:
    """The last weight of a file, while somebody serves it."""
    with path.open("r+b") as file:
        file.seek(-4, 2)
        before = file.read(4)
        file.seek(-4, 2)
        file.write(b"\x00\x00\x80\x3f")
    try:
        yield
    finally:
        with path.open("r+b") as file:
            file.seek(-4, 2)
            file.write(before)


@pytest.mark.parametrize("mapped", [False, True])
def test_weights_of_a_local_file_are_copied_unless_asked(large: Path, mapped: bool) -> None:
    settings = load_settings(model=str(large), engine="torch", precision="fp32", map_weights=mapped)
    engine = load_engine(settings)
    assert isinstance(engine, TorchEngine)
    before = {name: weight.clone() for name, weight in engine.network.state_dict().items()}
    with overwritten(large / "model.safetensors"):
        after = engine.network.state_dict()
        changed = [name for name, weight in before.items() if not weight.equal(after[name])]
    assert len(changed) == (1 if mapped else 0)
