"""docs/http.md holds: its catalogue is the tree of errors, its commands run."""

import re
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from serve_app import errors
from serve_app.errors import EcgServeError
from serve_app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "http.md").read_text()


def raised():
    """(status, code) of every error that can be a problem document."""
    classes = [getattr(errors, name) for name in errors.__all__]
    return {(each.status, each.code) for each in classes if issubclass(each, EcgServeError)}


def test_the_catalogue_is_the_tree_of_errors():
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| (.+) \|$", TEXT, re.MULTILINE)
    assert all(meaning.strip() for _, _, meaning in rows)
    listed = [(int(status), code) for status, code, _ in rows]
    assert len(listed) == len(set(listed))
    # Settings are wrong before anything is served.
    assert set(listed) == raised() - {(500, "invalid_settings")}


def test_every_setting_that_is_named_is_one():
    named = set(re.findall(r"\bECG_([A-Z_]+)", TEXT))
    assert named
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


def test_defaults_that_are_told_are_those():
    for name, default in re.findall(r"`ECG_([A-Z_]+)` \((\d+)(?: MiB)?\)", TEXT):
        assert Settings.model_fields[name.lower()].default == int(default), name


def test_every_path_that_is_named_is_served(client):
    served = client.get("/openapi.json").json()["paths"].keys() | {"/openapi.json", "/docs"}
    rows = "\n".join(line for line in TEXT.splitlines() if re.match(r"\| (GET|POST) ", line))
    named = set(re.findall(r"`(/[^`]*)`", rows))
    assert named <= served


@pytest.mark.ray
def test_its_commands_run(server, tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    packages = str(Path(pydicom.__file__).parents[1])
    script = "\n".join(block for block in blocks if "schemathesis" not in block)
    script = script.replace("http://127.0.0.1:8000", server)
    script = script.replace(".venv/lib/python3.*/site-packages", packages)
    script = script.replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shape, first, second, known = done.stdout.split("\n")[:4]
    assert shape == "(2, 17)"
    assert first.startswith('{"index": 0, "name": "ecg.dcm", "result"')
    assert second.startswith('{"index": 1, "name": "broken.csv", "error"')
    assert known == "304"
