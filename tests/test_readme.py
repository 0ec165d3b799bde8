"""README and docs hold: commands run, snippets run, answers are the server's own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serve_app.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Their blocks are run beside the tests of what they describe.
TESTED_ELSEWHERE = {"hospital", "http", "open_inference", "streaming"}
BLOCKS = [
    (page.stem, *block)
    for page in PAGES
    if page.stem not in TESTED_ELSEWHERE
    for block in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]
SHELL, JSON = (
    [text for page, kind, text in BLOCKS if (page, kind) == ("README", wanted)]
    for wanted in ("sh", "json")
)
OTHER_SHELL = [
    pytest.param(text, id=f"{page} {number}")
    for number, (page, kind, text) in enumerate(BLOCKS)
    if kind == "sh" and text not in SHELL[:3]
]
PYTHON = [
    pytest.param(text, id=f"{page} {number}")
    for number, (page, kind, text) in enumerate(BLOCKS)
    if kind == "python"
]


def shell(command, server, folder):
    """Run a block as it stands, against the test's server and environment."""
    environment = str(Path(sys.executable).parent)
    command = command.replace("http://127.0.0.1:8000", server)
    command = command.replace(".venv/bin/", f"{environment}/")
    command = re.sub(r"\.venv/lib/python3\.\*/site-packages", _site_packages(), command)
    variables = dict(os.environ)
    if "model use" not in command:
        variables.pop("RAY_ADDRESS", None)  # else bulk would work on the server's own Ray
    return subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
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
@pytest.mark.parametrize("block", OTHER_SHELL)
def test_other_shell_commands(server, tmp_path, block):
    done = shell(block, server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.ray
@pytest.mark.parametrize("snippet", PYTHON)
def test_python_snippets(server, snippet):
    snippet = snippet.replace("http://127.0.0.1:8000", server)
    done = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_setting_is_explained_with_its_default():
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(ECG_\w+)` \| `(.*?)` \|", page, re.MULTILINE))
    fields = {f"ECG_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        default = "" if field.default in (None, ()) else str(field.default)
        assert rows[name].strip() == default, name


def test_figures_come_from_results_that_are_kept():
    text = "".join(page.read_text() for page in PAGES)
    commands = set(re.findall(r"`python -m benchmarks\.(\w+)`", text))
    assert commands
    for name in commands:
        kept = (ROOT / "benchmarks" / "results" / f"{name}.txt").read_text()
        assert kept.startswith(f"$ python -m benchmarks.{name}\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        path = page.parent / target if target else page
        assert path.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            assert heading in anchors, heading


def test_nothing_of_a_machine_is_told():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    for name in tracked.split():
        path = ROOT / name
        if path.suffix in {".md", ".toml", ".py", ".rs", ".txt", ".yaml"} and path.is_file():
            assert f"{Path.home()}/" not in path.read_text(), name
