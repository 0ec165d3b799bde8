"""docs/streaming.md holds: its examples run as they stand."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serve_app.api import create_app
from serve_app.settings import Settings
from serve_app.streaming.events import StartMessage
from tests.live_app import live

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "streaming.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SHELL, JSON, PYTHON = (
    [text for kind, text in BLOCKS if kind == wanted] for wanted in ("sh", "json", "python")
)


def defined(block):
    names = {}
    exec(compile(block, "docs/streaming.md", "exec"), names)
    return names


def test_the_start_and_the_settings():
    assert StartMessage.model_validate(json.loads(JSON[0])).predictions
    named = set(re.findall(r"`ECG_([A-Z_]+)[`=]", TEXT))
    assert named
    assert {name.lower() for name in named} <= Settings.model_fields.keys()
    for name, default in re.findall(r"^\| `ECG_(\w+)` \| (\d+) \|", TEXT, re.MULTILINE):
        assert Settings.model_fields[name.lower()].default == float(default)


def test_a_day_without_a_server(data_dir, capsys):
    asyncio.run(defined(PYTHON[1])["day"](data_dir / "beats/mitdb/100.hea"))
    assert capsys.readouterr().out.split() == ["recording", *["window"] * 181, "summary"]


@pytest.mark.ray
def test_a_record_by_curl(server, data_dir):
    command = SHELL[0].replace("http://127.0.0.1:8000", server).replace("curl", "curl -s", 1)
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=data_dir / "beats/mitdb",
        capture_output=True,
        text=True,
        timeout=60,
    )
    types = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert types == ["recording", *["window"] * 181, "summary"]


@pytest.mark.ray
def test_a_record_from_a_shell(server, data_dir):
    command = SHELL[1].replace("http://127.0.0.1:8000", server)
    command = command.replace("ecg-serve", str(Path(sys.executable).with_name("ecg-serve")))
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=data_dir / "beats/mitdb",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    opening, *told = done.stdout.splitlines()
    assert opening == "100.hea: wfdb, 2 leads, 360 Hz, 0:30:06"
    lines = [json.loads(line) for line in told if line.startswith("{")]
    assert [line["type"] for line in lines] == ["recording", *["window"] * 181, "summary"]


def test_the_client_ends_at_once_where_a_chunk_does_not_fit(pipeline, settings):
    """It is not left waiting for events until the server gives up, after 30 s."""
    chunks = [np.zeros((3, 72), np.float32)]
    with live(create_app(pipeline, settings)) as url:
        watching = asyncio.wait_for(defined(PYTHON[0])["watch"](url, chunks), 5)
        with pytest.raises(ExceptionGroup) as told:
            asyncio.run(watching)
    assert [str(each) for each in told.value.exceptions] == ["3 rows; the stream has 2 leads"]


@pytest.mark.ray
def test_the_client(server, capsys):
    rng = np.random.default_rng(1)
    chunks = [rng.normal(0, 0.01, (2, 72)).astype(np.float32) for _ in range(10)]
    asyncio.run(defined(PYTHON[0])["watch"](server, chunks))
