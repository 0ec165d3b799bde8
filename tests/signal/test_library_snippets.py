"""The library's examples and signatures, as users copy them."""

import asyncio
import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import ecg_processor_py as ecg
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2] / "rust_native"

SNIPPETS = {
    "basic": """
import numpy as np
from ecg_processor_py import ECGAnalyzerFFI

analyzer = ECGAnalyzerFFI(use_ffi=True)
signal = np.random.randn(5000).astype(np.float64)
result = analyzer.analyze(signal)
print(f"Heart Rate: {result.heart_rate:.1f} BPM")
print(f"Signal Quality: {result.signal_quality:.2f}")
print(f"Processing Time: {result.processing_time_ms:.2f} ms")
print(f"Backend: {result.processing_backend}")
""",
    "asynchronous": """
import asyncio
import numpy as np
from ecg_processor_py import ECGAnalyzerFFI

async def analyze_ecg():
    analyzer = ECGAnalyzerFFI()
    signal = np.random.randn(5000).astype(np.float64)
    result = await analyzer.analyze_async(signal)
    return result

result = asyncio.run(analyze_ecg())
print(f"{result.heart_rate:.1f}")
""",
    "batch": """
import numpy as np
from ecg_processor_py import ECGAnalyzerFFI

analyzer = ECGAnalyzerFFI()
signals = [np.random.randn(5000).astype(np.float64) for _ in range(10)]
results = analyzer.analyze_batch(signals)
for i, result in enumerate(results):
    print(f"Signal {i}: HR={result.heart_rate:.1f}, quality {result.signal_quality:.2f}")
assert len(results) == 10
""",
    "configuration": """
import numpy as np
from ecg_processor_py import ECGAnalysisConfig, ECGAnalyzerFFI

config = ECGAnalysisConfig(
    sampling_rate=360.0,
    enable_hrv=True,
    enable_anomaly_detection=True,
    min_heart_rate=40.0,
    max_heart_rate=200.0,
    noise_threshold=0.1,
)
analyzer = ECGAnalyzerFFI()
signal = np.random.randn(5000)
result = analyzer.analyze(signal, config)
assert result.config is config
print(result.qrs_peaks, result.rr_intervals, result.hrv_metrics, result.anomalies)
""",
    "benchmark": """
import time
import numpy as np
from ecg_processor_py import ECGAnalyzerFFI

analyzer = ECGAnalyzerFFI()
signal = np.random.randn(5000).astype(np.float64)
for _ in range(10):
    analyzer.analyze(signal)
times = []
for _ in range(100):
    start = time.perf_counter()
    result = analyzer.analyze(signal)
    times.append((time.perf_counter() - start) * 1000)
print(f"Average: {np.mean(times):.2f} ms, backend {result.processing_backend}")
""",
    "counters": """
from ecg_processor_py import ECGAnalyzerFFI

analyzer = ECGAnalyzerFFI()
stats = analyzer.get_stats()
print(f"FFI usage: {stats['ffi_usage_rate']:.2f}")
assert stats["ffi_usage_rate"] == 0.0
analyzer.reset_stats()
""",
    "memory": """
import os
import numpy as np
import psutil
from ecg_processor_py import ECGAnalyzerFFI

process = psutil.Process(os.getpid())
before = process.memory_info().rss
analyzer = ECGAnalyzerFFI()
for _ in range(50):
    analyzer.analyze(np.random.randn(5000))
grown_mb = (process.memory_info().rss - before) / 1e6
print(f"Memory: {grown_mb:.1f} MB")
assert grown_mb < 50
""",
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_snippets_run_as_they_stand(name, capsys):
    exec(SNIPPETS[name], {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", [n for n in SNIPPETS if n != "basic"])
def test_the_snippets_run_without_rust(name):
    environment = {**os.environ, "ECG_DISABLE_FFI": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SNIPPETS[name]], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_signatures():
    analyzer = ecg.ECGAnalyzerFFI
    for method, parameters in [
        (analyzer.__init__, ["self", "use_ffi"]),
        (analyzer.analyze, ["self", "signal", "config"]),
        (analyzer.analyze_async, ["self", "signal", "config"]),
        (analyzer.analyze_batch, ["self", "signals", "config", "on_error"]),
        (analyzer.get_stats, ["self"]),
        (analyzer.reset_stats, ["self"]),
    ]:
        signature = inspect.signature(method)
        assert list(signature.parameters) == parameters
        for optional in {"config", "use_ffi"} & set(parameters):
            assert signature.parameters[optional].default is None
    assert inspect.iscoroutinefunction(analyzer.analyze_async)
    on_error = inspect.signature(analyzer.analyze_batch).parameters["on_error"]
    assert on_error.default == "raise"


def test_functions_of_the_contract():
    wanted = {
        "resample": ["x", "fs_in", "fs_out"],
        "bandpass": ["x"],
        "remove_baseline": ["x"],
        "detect_r_peaks": ["x", "fs_hz"],
        "signal_quality": ["x", "fs_hz"],
        "hrv": ["rr_ms"],
        "segment": ["x", "fs_hz", "seconds", "stride"],
        "standardize": ["x"],
        "prepare_ecg_fm": ["x", "fs_hz", "lead_names"],
        "fill_gaps": ["x", "fs_hz", "longest_s"],
    }
    for name, first in wanted.items():
        parameters = list(inspect.signature(getattr(ecg, name)).parameters)
        assert parameters[: len(first)] == first, name
        assert "use_ffi" in parameters


def test_fields_of_the_result(analyzer, clean_lead):
    config = ecg.ECGAnalysisConfig(sampling_rate=360.0)
    result = analyzer.analyze(clean_lead, config)
    wanted = """heart_rate rr_intervals qrs_peaks hrv_metrics anomalies signal_quality lead_quality
        processing_time_ms algorithm_version processing_backend"""
    assert set(wanted.split()) <= {field.name for field in dataclasses.fields(result)}
    assert isinstance(result.heart_rate, float)
    assert result.processing_backend == analyzer.backend
    assert re.fullmatch(r"\d+\.\d+\.\d+", result.algorithm_version)
    assert result.qrs_peaks.dtype == np.int64
    assert (np.diff(result.qrs_peaks) > 0).all()
    np.testing.assert_allclose(result.rr_intervals, np.diff(result.qrs_peaks) / 360.0 * 1000.0)
    for anomaly in result.anomalies:
        assert 0 <= anomaly.start_s <= anomaly.end_s <= len(clean_lead) / 360.0


def test_results_hold_exactly_their_fields(analyzer, clean_lead):
    """They are built without their `__init__`, so a field more or less would go unnoticed."""
    result = analyzer.analyze(clean_lead, ecg.ECGAnalysisConfig(sampling_rate=360.0))
    for thing in (result, result.hrv_metrics, result.lead_quality[0]):
        names = [field.name for field in dataclasses.fields(thing)]
        assert list(vars(thing)) == names
        again = dataclasses.replace(thing)
        assert str(again) == str(thing)


def test_fields_are_documented_with_their_units():
    for kind in (ecg.ECGAnalysisConfig, ecg.ECGAnalysisResult, ecg.HRVMetrics, ecg.Gap):
        text = inspect.getdoc(kind)
        for field in dataclasses.fields(kind):
            if field.name != "config":
                assert f"{field.name}:" in text, (kind, field.name)


def test_defaults_of_the_configuration():
    config = ecg.ECGAnalysisConfig()
    assert (config.sampling_rate, config.enable_hrv, config.enable_anomaly_detection) == (
        500.0, True, True,
    )  # fmt: skip
    assert (config.min_heart_rate, config.max_heart_rate) == (40.0, 200.0)
    assert config.noise_threshold == 0.1


def test_counters_have_the_documented_keys(analyzer):
    stats = analyzer.get_stats()
    wanted = "total ffi_usage_rate errors mean_ms p50_ms p95_ms p99_ms bytes_copied calls backend"
    assert set(stats) == set(wanted.split())
    assert all(name in inspect.getdoc(analyzer.get_stats) for name in stats)
    assert analyzer.reset_stats() == stats


def test_time_is_that_of_a_stopwatch(analyzer):
    x = np.random.default_rng(0).standard_normal((4, 100_000))
    start = time.perf_counter()
    result = analyzer.analyze(x)
    outside_ms = 1000 * (time.perf_counter() - start)
    assert 0.8 * outside_ms < result.processing_time_ms <= outside_ms


def test_many_tasks_of_one_loop(analyzer, clean_lead):
    config = ecg.ECGAnalysisConfig(sampling_rate=360.0)

    async def main():
        return await asyncio.gather(*[analyzer.analyze_async(clean_lead, config) for _ in range(8)])

    assert len({result.heart_rate for result in asyncio.run(main())}) == 1


LOGGING = """
import numpy as np
import ecg_processor_py as ecg
analyzer = ecg.ECGAnalyzerFFI(use_ffi=True)
x = np.random.default_rng(0).standard_normal((2, 5000))
analyzer.analyze(x)
analyzer.analyze_batch([x[:1], np.full(5000, 17.25)])
try:
    ecg._panic()
except ecg.NativeError:
    pass
""".replace("ecg._panic()", "__import__('ecg_processor_py._native')._native._panic_for_test('x')")


def _log(rust_log, stderr=subprocess.PIPE):
    environment = {k: v for k, v in os.environ.items() if k != "RUST_LOG"}
    if rust_log is not None:
        environment["RUST_LOG"] = rust_log
    done = subprocess.run(
        [sys.executable, "-c", LOGGING],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def test_rust_log_tells_of_each_analysis():
    lines = _log("debug").splitlines()
    shapes = [re.search(r"leads=(\d+) samples=(\d+) fs_hz=(\d+) us=\d+", line) for line in lines]
    seen = sorted(shape.groups() for shape in shapes if shape)
    assert seen == [("1", "5000", "500"), ("1", "5000", "500"), ("2", "5000", "500")]
    assert any("INFO" in line and "loaded" in line and "rustc" in line for line in lines)
    assert any("WARN" in line and "caught a panic" in line for line in lines)
    assert "17.25" not in "".join(lines)


@pytest.mark.parametrize(
    ("rust_log", "debug", "info"),
    [
        (None, False, False),
        ("", False, False),
        ("warn", False, False),
        ("info", False, True),
        ("ecg_processor_py=debug", True, True),
        ("other=debug", False, False),
        ("=;nonsense=,==,%%", False, False),
        ("ecg_processor_py=louder", False, False),
        ("\udcff", False, False),
    ],
)
def test_rust_log_selects_and_never_hurts(rust_log, debug, info):
    text = _log(rust_log)
    assert ("samples=" in text) == debug
    assert ("loaded" in text) == info


def test_a_log_that_cannot_be_written_hurts_nobody():
    with Path("/dev/full").open("w") as full:
        _log("debug", full)
        _log("ecg_processor_py=louder", full)


def test_the_package_runs_from_its_sources(tmp_path):
    """`PYTHONPATH=…/python`, with the extension or without it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    code = "import ecg_processor_py as e; print(e.__file__); e.ECGAnalyzerFFI()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith(str(ROOT / "python"))


def _rust_sources(crate):
    return {path: path.read_text() for path in (ROOT / crate).rglob("*.rs")}


def test_unsafe_blocks_are_as_many_as_the_readme_says():
    readme = (ROOT / "README.md").read_text()
    assert "#![forbid(unsafe_code)]" in (ROOT / "ecg-core/src/lib.rs").read_text()
    stated = re.search(r"`unsafe` blocks: none in `ecg-core`.*?, (\w+) in `ecg-py`", readme, re.S)
    code = "\n".join(_rust_sources("ecg-py/src").values())
    count = len(re.findall(r"\bunsafe\b(?!_)", re.sub(r"//.*", "", code)))
    assert {"none": 0, "one": 1, "two": 2}[stated.group(1)] == count
    assert code.count("// SAFETY:") == count


def test_a_panic_unwinds():
    """`panic = "abort"` would end the process instead of raising NativeError."""
    manifest = (ROOT / "Cargo.toml").read_text()
    assert 'panic = "unwind"' in manifest
    assert re.search(r'rust-version = "1\.\d+"', manifest)


def test_the_licence_is_there():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_the_error_of_a_missing_extension_names_a_command_that_exists():
    from ecg_processor_py.backend import HOW_TO_BUILD

    command = re.search(r"`rust_native/(scripts/\S+) (--build --install-wheel)`", HOW_TO_BUILD)
    assert (ROOT / command.group(1)).is_file()


def test_a_result_prints_and_dumps():
    result = ecg.ECGAnalyzerFFI().analyze(np.zeros(5000))
    assert "heart_rate=nan" in str(result)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["heart_rate"] is None
