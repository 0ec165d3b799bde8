"""`ecg-serve config`: whether settings can be served, before anything is started.

Exit codes: 0 they can, 1 there is no such model, 2 they are wrong.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from serve_app.cli_output import AsJson, failures_told, print_told
from serve_app.engine.loading import refuse_missing_model
from serve_app.errors import SettingsError
from serve_app.settings import Settings, load_settings

__all__ = ["config_app"]

config_app = typer.Typer(help="Settings.", no_args_is_help=True, pretty_exceptions_enable=False)
_LIBRARIES = {"openvino": "openvino", "onnx": "onnxruntime", "torch": "torch"}


@config_app.callback()
def _config() -> None:
    """Settings."""


@config_app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="A Serve YAML, whose `args` are checked too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check settings of the environment, or of a Serve YAML on top of it, without starting.

    Unknown names, malformed values, what does not go together, models and libraries that are not
    there: all that would end a start.
    """
    with failures_told(as_json):
        arguments = {} if file is None else _arguments(file)
        settings = load_settings(**arguments)
        refuse_missing_model(settings)
        _refuse_missing_engine(settings)
        if file is None:  # a Serve YAML may be for another machine
            _refuse_taken_port(settings)
        print_told(_told(settings), _lines, as_json)


def _arguments(file: Path) -> dict[str, Any]:
    """What the YAML gives our application."""
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"The file cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError("The file is no YAML.") from error
    applications = document.get("applications") if isinstance(document, dict) else None
    ours = [
        each
        for each in applications or []
        if isinstance(each, dict) and each.get("import_path") == "deployments.app:build"
    ]
    if len(ours) != 1:
        raise SettingsError(
            "The file is no Serve configuration of this application.",
            hint="It needs one application with import_path: deployments.app:build.",
        )
    arguments = dict(ours[0].get("args") or {})
    if arguments.pop("demo", False):
        arguments.setdefault("model", "demo")
    return arguments


def _refuse_missing_engine(settings: Settings) -> None:
    library = _LIBRARIES.get(settings.engine)
    if library and find_spec(library) is None:
        raise SettingsError(
            f"The engine {settings.engine} is not installed.",
            hint=f"pip install 'ecg-fm-serve[{settings.engine}]', or choose another by ECG_ENGINE.",
        )


def _refuse_taken_port(settings: Settings) -> None:
    for port in filter(None, (settings.port, settings.grpc_port)):
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        with closing(socket.socket(family)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                raise SettingsError(
                    f"Port {port} of {settings.host} is taken.", hint="Choose another, or stop it."
                ) from error


def _told(settings: Settings) -> dict[str, Any]:
    changed = {name: getattr(settings, name) for name in sorted(settings.model_fields_set)}
    return {"settings": changed, "remarks": list(_remarks(settings))}


def _remarks(settings: Settings) -> Iterator[str]:
    """What works, but may not be what is meant."""
    cores = os.cpu_count() or 1
    least = (
        settings.model_min_replicas * settings.model_cpus
        + settings.preprocessor_min_replicas * settings.preprocessor_cpus
    )
    if least > cores:
        yield f"the least replicas reserve {least:g} CPUs, this machine has {cores}"
    if settings.model == "demo":
        yield "the demo model is for demonstration only: set ECG_MODEL"
    if settings.preprocessor_min_replicas == 1 or settings.model_min_replicas == 1:
        yield "one replica of a kind: its loss is noticed by clients until another is up"


def _lines(told: dict[str, Any]) -> Iterator[str]:
    for name, value in told["settings"].items():
        yield f"{name}: {value}"
    if not told["settings"]:
        yield "all settings are at their defaults"
    for remark in told["remarks"]:
        yield f"note: {remark}"
    yield "these settings can be served"
