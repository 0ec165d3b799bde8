"""`ecg-serve config check`: what would end a start is told before it."""

import json
import socket

import pytest
from typer.testing import CliRunner

from benchmarks.server import free_port
from serve_app.cli import app


@pytest.fixture(autouse=True)
def free(monkeypatch):
    """Another server of this machine may have the default port."""
    monkeypatch.setenv("ECG_PORT", str(free_port()))


def check(*arguments, code=0):
    done = CliRunner().invoke(app, ["config", "check", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_defaults_can_be_served():
    told = json.loads(check("--json"))
    assert told["settings"].keys() == {"port"}
    assert any("demo" in remark for remark in told["remarks"])


def test_what_differs_from_the_defaults_is_listed(monkeypatch):
    monkeypatch.setenv("ECG_MODEL_CPUS", "64000")
    assert json.loads(check("--json"))["settings"]["model_cpus"] == 64000
    assert "64000.5 CPUs" in check()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ECG_MODLE", "demo", "ECG_MODLE"),
        ("ECG_PORT", "eighty", "port"),
        ("ECG_HOST", "0.0.0.0", "loopback"),
        ("ECG_MODEL", "/nowhere/at/all", "no model"),
    ],
)
def test_what_cannot_be_served_is_told(monkeypatch, name, value, told):
    monkeypatch.setenv(name, value)
    assert told in check(code=2 if name != "ECG_MODEL" else 1)


def test_a_taken_port_is_told(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("ECG_PORT", str(taken.getsockname()[1]))
        assert "taken" in check(code=2)


def test_the_yaml_of_this_repository(repo_root):
    assert "preprocessor_max_replicas" in check(repo_root / "cluster" / "serve.yaml")


@pytest.mark.parametrize("text", ["- a", "{", "applications: [{import_path: other:app}]", "\xff"])
def test_a_yaml_of_something_else(tmp_path, text):
    (tmp_path / "serve.yaml").write_bytes(text.encode("latin-1"))
    check(tmp_path / "serve.yaml", code=2)


def test_an_unknown_argument_in_a_yaml(tmp_path):
    (tmp_path / "serve.yaml").write_text(
        "applications: [{import_path: 'deployments.app:build', args: {modle: demo}}]"
    )
    assert "modle" in check(tmp_path / "serve.yaml", code=2)
