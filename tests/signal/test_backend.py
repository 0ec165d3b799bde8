"""Which backend runs, what it says of itself, and what importing it costs."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ecg_processor_py as ecg
import pytest

REPORT = """
import json
import numpy as np
import ecg_processor_py as ecg
try:
    ecg.ECGAnalyzerFFI(use_ffi=True)
    insisted = "made"
except ecg.NativeError as error:
    insisted = f"{type(error).__name__}: {error}"
beats = np.exp(-0.5 * ((np.arange(5000) % 400 - 200) / 8.0) ** 2)
result = ecg.ECGAnalyzerFFI().analyze(beats)
print(json.dumps({
    "backend": ecg.BACKEND, "used": result.processing_backend, "insisted": insisted,
    "peaks": len(result.qrs_peaks), "file": ecg.__file__, "info": ecg.build_info()["backend"],
}))
"""


def _run(code, **env):
    environment = {k: v for k, v in os.environ.items() if k != "ECG_DISABLE_FFI"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _report(**env):
    done = _run(REPORT, **env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_rust_is_the_default():
    report, log = _report()
    assert (report["backend"], report["used"], report["insisted"]) == ("rust", "rust", "made")
    assert log == ""


def test_it_can_be_switched_off():
    report, log = _report(ECG_DISABLE_FFI="1")
    assert (report["backend"], report["used"], report["info"]) == ("python",) * 3
    assert "ECG_DISABLE_FFI is set" in report["insisted"]
    assert report["peaks"] > 0
    assert log == ""


def test_a_missing_extension_falls_back_and_says_so(tmp_path):
    package = Path(ecg.__file__).parent
    ignore = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(package, tmp_path / package.name, ignore=ignore)
    report, log = _report(PYTHONPATH=str(tmp_path))
    assert report["file"].startswith(str(tmp_path))
    assert (report["backend"], report["used"]) == ("python", "python")
    assert "pip install ./rust_native" in report["insisted"]
    assert report["insisted"].startswith("NativeUnavailableError")
    assert log.count("falling back to NumPy") == 1


def test_a_malformed_switch_is_refused():
    done = _run("import ecg_processor_py", ECG_DISABLE_FFI="perhaps")
    assert done.returncode != 0
    assert "ECG_DISABLE_FFI must be 1 or 0" in done.stderr


COST = """
import json, sys
import numpy as np
def rss_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
x = np.random.default_rng(0).standard_normal((12, 5000))
before, known = rss_mb(), set(sys.modules)
import ecg_processor_py as ecg
imported, new = rss_mb(), set(sys.modules) - known
ecg.ECGAnalyzerFFI().analyze(x)
print(json.dumps({"import": imported - before, "used": rss_mb() - before, "new": sorted(new)}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("disabled", ["0", "1"])
def test_importing_is_cheap(disabled):
    done = _run(COST, ECG_DISABLE_FFI=disabled)
    cost = json.loads(done.stdout)
    assert cost["import"] < 15
    roots = {name.split(".")[0] for name in cost["new"]}
    assert not roots & {"scipy", "torch", "asyncio", "concurrent", "pandas", "ray"}
    if disabled == "0":
        assert cost["used"] < 25


def test_build_info():
    info = ecg.build_info()
    assert info["backend"] == ecg.BACKEND == "rust"
    assert info["version"] == ecg.__version__ == importlib.metadata.version("ecg-processor-py")
    assert re.fullmatch(r"rustc \d+\.\d+\.\d+.*", info["rustc"])
    assert info["profile"] in ("release", "debug")
    assert info["target"].count("-") >= 2
    native = sys.modules["ecg_processor_py._native"]
    assert native.build_info()["algorithm_version"] == info["algorithm_version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", info["algorithm_version"])


def test_exports():
    assert sorted(ecg.__all__) == sorted(set(ecg.__all__))
    for name in ecg.__all__:
        assert hasattr(ecg, name), name


def test_the_example_of_the_readme_runs(repo_root, capsys):
    readme = (repo_root / "rust_native/README.md").read_text(encoding="utf-8")
    for example in re.findall(r"```python\n(.*?)```", readme, re.DOTALL):
        exec(example, {})
    assert "bpm, quality" in capsys.readouterr().out
