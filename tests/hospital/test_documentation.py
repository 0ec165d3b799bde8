"""docs/hospital.md holds: its commands run, and it lists what there is."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner

from serve_app.api import create_app
from serve_app.cli import app
from serve_app.hospital.outcome import FORMS
from serve_app.rendering import MEDIA_TYPES
from tests.live_app import live

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "hospital.md").read_text()
PLOT, WATCH, RECEIVE, STOW = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def shell(command, folder):
    command = command.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    packages = str(Path(pydicom.__file__).parents[1])
    command = re.sub(r"\.venv/lib/python3\.\*/site-packages", packages, command)
    return subprocess.run(
        ["bash", "-euc", command], cwd=folder, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize(("block", "written"), [(PLOT, "pictures"), (WATCH, "results")])
def test_commands(tmp_path, block, written):
    done = shell(block, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / written).glob("[!.]*"))) == 2


def test_dicomweb(tmp_path, pipeline, settings):
    with live(create_app(pipeline, settings)) as url:
        done = shell(STOW.replace("http://127.0.0.1:8000", url), tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["00081199"]["Value"]


def test_every_option_of_receive_is_known():
    shown = CliRunner().invoke(app, ["receive", "--help"], env={"COLUMNS": "200"}).output
    for option in re.findall(r"--[a-z-]+", RECEIVE):
        assert option in shown, option


def test_every_form_is_listed():
    listed = re.findall(r"`([^`]+)`", DOCUMENT.split("## A watched folder")[0])
    assert set(MEDIA_TYPES) <= set(listed)
    assert set(FORMS) <= set(listed)
