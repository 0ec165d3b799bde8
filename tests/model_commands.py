"""`ecg-serve model`, called as a program and as a person."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from serve_app.cli import app


def run(*arguments: str | Path) -> Any:
    """A command, whatever its exit code."""
    return CliRunner().invoke(app, ["model", *map(str, arguments)])


def told(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """The one JSON object that a command writes."""
    done = run(*arguments, "--json")
    assert done.exit_code == code, done.output
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def said(*arguments: str | Path, code: int = 0) -> str:
    """What a command prints."""
    done = run(*arguments)
    assert done.exit_code == code, done.output
    return done.output
