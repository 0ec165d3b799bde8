"""The README holds: its commands run, its snippets run, its answers are the server's own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serve_app.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SHELL, JSON, PYTHON = (
    [text for kind, text in BLOCKS if kind == wanted] for wanted in ("sh", "json", "python")
)


def shell(command, server, folder):
    """Run a block as it stands, against the test's server and environment."""
    environment = str(Path(sys.executable).parent)
    command = command.replace("http://127.0.0.1:8000", server)
    command = command.replace(".venv/bin/", f"{environment}/")
    command = re.sub(r"\.venv/lib/python3\.\*/site-packages", _site_packages(), command)
    return subprocess.run(
        ["bash", "-euc", command], cwd=folder, capture_output=True, text=True, timeout=120
    )


def _site_packages():
    import pydicom

    return str(Path(pydicom.__file__).parents[1])


def shortened(shown, actual):
    """Whether ``shown`` is ``actual`` with members left out and lists cut."""
    if isinstance(shown, dict):
        return all(key in actual and shortened(shown[key], actual[key]) for key in shown)
    if isinstance(shown, list):
        return len(shown) <= len(actual) and all(map(shortened, shown, actual))
    if isinstance(shown, float):
        return actual == pytest.approx(shown, abs=1e-3)
    return shown == actual


def test_make_knows_the_two_commands():
    commands = [line.split("#")[0].split() for line in SHELL[0].strip().splitlines()]
    assert commands == [["make", "serve"], ["make", "test"]]
    for make in commands:
        done = subprocess.run([*make, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.ray
@pytest.mark.parametrize(("block", "answer"), [(1, 0), (2, 1)])
def test_requests_and_their_answers(server, tmp_path, block, answer):
    done = shell(SHELL[block], server, tmp_path)
    assert done.returncode == 0, done.stderr
    actual = json.loads(done.stdout)
    assert shortened(json.loads(JSON[answer]), actual), actual


@pytest.mark.ray
def test_other_shell_commands(server, tmp_path):
    for block in SHELL[3:]:
        done = shell(block, server, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "demo" in done.stdout


@pytest.mark.ray
@pytest.mark.parametrize("snippet", PYTHON)
def test_python_snippets(server, snippet):
    done = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_setting_is_explained_with_its_default():
    rows = dict(re.findall(r"^\| `(ECG_\w+)` \| `(.*?)` \|", README, re.MULTILINE))
    fields = {f"ECG_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        default = "" if field.default in (None, ()) else str(field.default)
        assert rows[name].strip() == default, name


def test_figures_come_from_results_that_are_kept():
    commands = set(re.findall(r"`python -m benchmarks\.(\w+)`", README))
    assert commands
    for name in commands:
        kept = (ROOT / "benchmarks" / "results" / f"{name}.txt").read_text()
        assert kept.startswith(f"$ python -m benchmarks.{name}\n")


def test_nothing_of_a_machine_is_told():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    for name in tracked.split():
        path = ROOT / name
        if path.suffix in {".md", ".toml", ".py", ".rs", ".txt", ".yaml"} and path.is_file():
            assert f"{Path.home()}/" not in path.read_text(), name
