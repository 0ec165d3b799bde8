"""Imports go down only, and each heavy library stays in its own layer."""

import ast
from pathlib import Path

import pytest

# From the top down; a module may import its own layer and those below.
LAYERS = [
    {"deployments"},
    {
        "serve_app.api",
        "serve_app.cli",
        "serve_app.cli_bulk",
        "serve_app.cli_config",
        "serve_app.cli_engine",
        "serve_app.cli_evaluate",
        "serve_app.cli_follow",
        "serve_app.cli_hospital",
        "serve_app.cli_model",
        "serve_app.cli_plot",
        "serve_app.client",
        "serve_app.hospital",
    },
    {"serve_app.cli_options", "serve_app.cli_output"},
    {"serve_app.rendering", "serve_app.streaming"},
    {
        "serve_app.bulk",
        "serve_app.batch",
        "serve_app.evaluation",
        "serve_app.explanations",
        "serve_app.model_client",
        "serve_app.pipeline",
        "serve_app.reporting",
        "serve_app.stopwatch",
        "serve_app.training",
    },
    {"serve_app.engine", "serve_app.preprocessing", "serve_app.decoding", "serve_app.simulation"},
    {"serve_app.model"},
    {
        "serve_app.results",
        "serve_app.recording",
        "serve_app.settings",
        "serve_app.errors",
        "serve_app.wording",
    },
]
ONLY_IN = {
    "ray": {"deployments"},
    "torch": {"serve_app.model", "serve_app.engine", "serve_app.training"},
    "transformers": {"serve_app.model", "serve_app.engine"},
    "captum": {"serve_app.model"},
    "fastapi": {"serve_app.api", "deployments"},
    "starlette": {"serve_app.api", "deployments"},
    "sklearn": {"serve_app.evaluation"},
    "matplotlib": {"serve_app.evaluation"},
    "pyarrow": {"serve_app.bulk", "serve_app.decoding", "deployments"},
    "ecg_plot": {"serve_app.rendering"},
    "pynetdicom": {"serve_app.hospital"},
    "ecg_processor_py": {
        "serve_app.preprocessing",
        "serve_app.reporting",
        "serve_app.streaming",
        "serve_app.decoding.json_body",
        "serve_app.api.oip_messages",
    },
}
# The one way up: `serve run serve_app:app` and `ecg-serve up` come to the deployments lazily.
LAZY_WAYS_UP = {
    ("serve_app", "deployments"),
    ("serve_app", "serve_app"),
    ("serve_app.cli", "deployments"),
    ("serve_app.cli_bulk", "deployments"),
}
ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted([*ROOT.glob("serve_app/**/*.py"), *ROOT.glob("deployments/**/*.py")])


def test_every_module_is_seen():
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for imported in _imports(path, module):
        for library, homes in ONLY_IN.items():
            if imported.split(".")[0] == library:
                assert _home(module, homes), f"{module} imports {library}"
        if imported.split(".")[0] in ("serve_app", "deployments") and imported != "serve_app":
            if (module, imported.split(".")[0]) in LAZY_WAYS_UP:
                continue
            assert _level(module) <= _level(imported), f"{module} imports {imported}, above it"


def _imports(path, module):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
            above = folder[: len(folder) - node.level + 1] if node.level else []
            yield ".".join([*above, *([node.module] if node.module else [])])


def _home(module, homes):
    return any(module == home or module.startswith(home + ".") for home in homes)


def _level(module):
    for level, members in enumerate(LAYERS):
        if _home(module, members):
            return level
    return len(LAYERS)
