"""What a hint for HTTP says to who has no query."""

import json

import pytest
from typer.testing import CliRunner

from serve_app.cli import app
from serve_app.errors import EcgServeError, InvalidFormat, RequestError
from serve_app.wording import in_shell, in_stream


@pytest.mark.parametrize(
    ("of_http", "of_a_shell"),
    [
        ("add ?missing_leads=zero to give", "add --missing-leads zero to give"),
        ("name them (?leads=I,II,...) if", "name them (--leads I,II,...) if"),
        ("for example ?fs_hz=500&leads=I,II,V1.", "for example --fs-hz 500 --leads I,II,V1."),
        ("for example ?fs_hz=62.5.", "for example --fs-hz 62.5."),
        ("leave it out and add ?fs_hz=.", "leave it out and add --fs-hz."),
        ("or POST /v1/analyze for", "or `ecg-serve analyze` for"),
        ("Is it running?", "Is it running?"),
        (RequestError("x").hint, "See --help for what this command takes."),
    ],
)
def test_in_a_shell(of_http, of_a_shell):
    assert in_shell(of_http) == of_a_shell


def test_in_a_stream():
    assert in_stream("add ?missing_leads=zero; or POST /v1/analyze for it") == (
        'add "missing_leads": "zero" in the first message; '
        'or "predictions": false in the first message for it'
    )
    assert in_stream("(?leads=I,II,...)") == '("leads": ["I", "II", ...] in the first message)'


def _all(kind):
    yield kind
    for each in kind.__subclasses__():
        yield from _all(each)


@pytest.mark.parametrize("kind", [*_all(EcgServeError)])
def test_no_hint_by_default_sends_a_shell_to_http(kind):
    told = in_shell(kind.default_hint)
    assert "openapi" not in told
    assert "?" not in told


def test_content_type_is_no_matter_of_a_shell():
    assert "Content-Type" in InvalidFormat("x").hint
    assert "Content-Type" not in in_shell(InvalidFormat("x").hint)


@pytest.mark.parametrize("command", ["predict", "analyze", "follow", "plot"])
def test_commands_speak_of_options(data_dir, command):
    unnamed = data_dir / "formats/scp/healforce_62.scp"
    done = CliRunner().invoke(app, [command, str(unnamed)])
    assert done.exit_code == 1
    assert "for example --leads I,II,V1." in done.stderr


@pytest.mark.parametrize("command", ["predict", "follow"])
def test_so_do_their_lines(data_dir, command):
    one_lead = data_dir / "beats/mitdb/100.hea"
    done = CliRunner().invoke(app, [command, str(one_lead), "--json"])
    told = json.loads(done.stdout)
    assert "add --missing-leads zero" in told.get("error", told)["hint"]


def test_brackets_reach_the_reader(tmp_path):
    done = CliRunner().invoke(app, ["analyze", str(tmp_path / "a[red].dcm")])
    assert "a[red].dcm: The file cannot be read" in done.stderr
