"""`rust_native/scripts/build_ffi.sh`, wheels on other interpreters, the source distribution."""

import email.parser
import email.policy
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

# Compiling on a busy machine takes minutes.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parents[2] / "rust_native"
SCRIPT = ROOT / "scripts/build_ffi.sh"
INTERPRETERS = ["3.10", "3.11", "3.12", "3.13"]
# The oldest NumPy that is promised, where it has wheels.
NUMPY = {"3.10": "numpy==1.24.*", "3.11": "numpy==1.24.*"}


def _run(*command, cwd=ROOT, **env):
    environment = {k: v for k, v in os.environ.items() if k not in ("RUSTC", "CARGO", "PYTHONPATH")}
    # What is compiled is shared, or each test would compile every crate.
    environment["CARGO_TARGET_DIR"] = str(ROOT / "target")
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, **{k: str(v) for k, v in env.items()}},
        capture_output=True,
        text=True,
        timeout=900,
    )


def _must(*command, **options):
    done = _run(*command, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_help_names_every_option():
    text = _must(SCRIPT, "--help")
    for option in ["--install", "--build", "--install-wheel", "--test", "--all", "--toolchain"]:
        assert option in text
    for word in ("BUILD_MODE", "RUSTC", "CARGO", "FERROCENE_HOME", "No Ferrocene compiler was"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        ([], {}, "nothing to do"),
        (["--bild"], {}, "unknown option --bild"),
        (["--build", "--fast"], {}, "unknown option --fast"),
        (["build"], {}, "unknown option build"),
        (["--toolchain"], {}, "--toolchain needs a name"),
        (["--toolchain", "--build"], {}, "--toolchain needs a name"),
        (["--toolchain", "stable"], {}, "nothing to do"),
        (["--build"], {"BUILD_MODE": "fast"}, "BUILD_MODE must be release or debug"),
    ],
)
def test_what_it_does_not_know_it_refuses_with_its_usage(arguments, env, words):
    done = _run(SCRIPT, *arguments, **env)
    assert done.returncode == 2
    assert words in done.stderr
    assert "usage:" in done.stderr


def test_what_is_missing_is_named(tmp_path):
    for env, words in [
        ({"FERROCENE_HOME": ""}, "set FERROCENE_HOME"),
        ({"FERROCENE_HOME": tmp_path}, "no bin/rustc in FERROCENE_HOME"),
        ({"PYTHON": tmp_path / "python"}, "no Python at"),
    ]:
        done = _run(SCRIPT, "--build", "--toolchain", "ferrocene", **env)
        assert done.returncode == 1
        assert words in done.stderr


def test_shellcheck():
    shellcheck = shutil.which("shellcheck", path=sysconfig.get_path("scripts"))
    _must(shellcheck, *sorted(SCRIPT.parent.glob("*.sh")))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The library's sources on their own, as a clone has them."""
    folder = tmp_path_factory.mktemp("clone") / "rust_native"
    ignore = shutil.ignore_patterns("target", "dist", ".venv", "*.so", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=ignore)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An empty environment with maturin and NumPy."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    _must(folder / "bin/python", "-m", "pip", "install", "-q", "maturin>=1.7,<2", "numpy", "pytest")
    return folder / "bin/python"


@pytest.fixture
def script(checkout, python):
    """Run the script of the checkout."""
    return functools.partial(
        _run, checkout / "scripts/build_ffi.sh", cwd=checkout, PYTHON=python, VIRTUAL_ENV=""
    )


def _info(python, folder):
    code = "import ecg_processor_py as e, json; print(json.dumps(e.build_info()))"
    return _must(python, "-c", code, cwd=folder)


@pytest.mark.slow
def test_a_debug_build_says_so(script, python, tmp_path):
    done = script("--install-wheel", "--build", BUILD_MODE="debug")
    assert done.returncode == 0, done.stderr[-2000:]
    assert '"profile": "debug"' in _info(python, tmp_path)


def _stub(folder, version):
    """A compiler that is the real one but for its name."""
    real = _must("rustc", "--print", "sysroot").strip() + "/bin/rustc"
    (folder / "bin").mkdir(parents=True)
    stub = folder / "bin/rustc"
    stub.write_text(
        f'#!/bin/sh\nif [ "$*" = --version ]; then echo "{version}"; exit; fi\nexec {real} "$@"\n'
    )
    stub.chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("how", ["toolchain", "RUSTC"])
def test_another_compiler_is_used_and_named(script, python, tmp_path, how):
    home = _stub(tmp_path / "other", f"rustc 1.95.0 (stand-in by {how})")
    if how == "toolchain":
        done = script(
            "--toolchain", "ferrocene", "--build", "--install-wheel",
            BUILD_MODE="debug", FERROCENE_HOME=home,
        )  # fmt: skip
    else:
        done = script("--build", "--install-wheel", BUILD_MODE="debug", RUSTC=home / "bin/rustc")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"stand-in by {how}" in _info(python, tmp_path)


@pytest.mark.slow
def test_a_toolchain_of_rustup_is_used(script):
    done = script("--toolchain", "no-such-toolchain", "--build", BUILD_MODE="debug")
    assert done.returncode != 0
    assert "no-such-toolchain" in done.stdout + done.stderr


@pytest.mark.slow
def test_all_of_it_in_a_fresh_clone(script, checkout, python, tmp_path):
    done = script("--all")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "5 passed" in done.stdout
    assert '"profile": "release"' in _info(python, tmp_path)
    (wheel,) = (checkout / "dist").glob("*.whl")
    assert "-cp310-abi3-" in wheel.name
    _require_good_metadata(wheel)


def _require_good_metadata(wheel):
    """What an index asks of an upload: valid metadata, a readable description, a licence."""
    from packaging.metadata import Metadata

    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (where,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        raw = files.read(where)
    metadata = Metadata.from_email(raw, validate=True)
    message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(raw)
    assert (metadata.name, str(metadata.version)) == ("ecg-processor-py", "0.1.0")
    assert str(metadata.requires_python) == ">=3.10"
    assert [str(one) for one in metadata.requires_dist] == ["numpy>=1.24"]
    assert metadata.license_expression == "MIT"
    assert message["Description-Content-Type"].startswith("text/markdown")
    assert "# ecg-processor-py" in (metadata.description or message.get_payload())
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith(".so") for name in names)
    assert "ecg_processor_py/py.typed" in names
    assert "ecg_processor_py/_native.pyi" in names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """One wheel for all interpreters."""
    folder = tmp_path_factory.mktemp("wheel")
    _must(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    (found,) = folder.glob("*.whl")
    return found


def _interpreter(version):
    places = (Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python")
    named = shutil.which(f"python{version}")
    for python in [*places, *([named] if named else [])]:
        if _run(python, "-c", "import venv, ensurepip").returncode == 0:
            return python
    return None


@pytest.mark.slow
@pytest.mark.parametrize("version", INTERPRETERS)
def test_the_same_wheel_on_every_python(wheel, tmp_path, version):
    found = _interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} on this machine")
    _must(found, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env/bin/python"
    _must(python, "-m", "pip", "install", "-q", NUMPY.get(version, "numpy"), wheel)
    said = _must(python, "-W", "error", ROOT / "tests/test_installed.py", cwd=tmp_path)
    assert said.startswith(f"ok: Python {version}.")
    assert ("NumPy 1.24" in said) == (version in NUMPY)


@pytest.mark.slow
def test_the_source_distribution_builds(python, tmp_path):
    _must(python, "-m", "maturin", "sdist", "--out", tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as files:
        names = {name.split("/", 1)[1] for name in files.getnames() if "/" in name}
    wanted = {"Cargo.lock", "LICENSE", "README.md", "pyproject.toml", "scripts/build_ffi.sh"}
    assert wanted | {"ecg-core/src/lib.rs", "ecg-py/src/lib.rs", "ecg-py/build.rs"} <= names
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    _must(environment / "bin/python", "-m", "pip", "install", "-q", sdist)
    said = _must(environment / "bin/python", ROOT / "tests/test_installed.py", cwd=tmp_path)
    assert said.startswith("ok: ")


@pytest.mark.slow
def test_an_editable_install_shows_edits_at_once(checkout, python, tmp_path):
    _must(python, "-m", "pip", "install", "-q", "--no-deps", "-e", checkout)
    module = checkout / "python/ecg_processor_py/errors.py"
    module.write_text(module.read_text() + "\nEDITED = 'seen'\n")
    code = "from ecg_processor_py.errors import EDITED; import ecg_processor_py as e; "
    said = _must(python, "-c", code + "print(EDITED, e.BACKEND)", cwd=tmp_path)
    assert said.split() == ["seen", "rust"]


@pytest.mark.parametrize("command", ["black --check python/", "ruff check python/", "mypy python/"])
def test_the_sources_pass_the_checkers(command):
    _must(sys.executable, "-m", *command.split())
