"""The border to Rust: panics, the interpreter lock, the stub, odd arrays."""

import ast
import importlib
import inspect
import threading
import time
from pathlib import Path

import ecg_processor_py as ecg
import numpy as np
import pytest
from ecg_processor_py import ECGError, InvalidSignalError, NativeError

native = importlib.import_module("ecg_processor_py._native")


def test_a_panic_is_an_ordinary_exception_and_the_process_goes_on():
    with pytest.raises(NativeError, match="boom") as caught:
        native._panic_for_test("boom")
    assert isinstance(caught.value, ECGError)
    assert isinstance(caught.value, Exception)
    assert len(ecg.detect_r_peaks(np.zeros(5000), 500.0, use_ffi=True)) == 0


def test_panics_in_many_threads():
    caught = []

    def work():
        try:
            native._panic_for_test("boom")
        except NativeError as error:
            caught.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caught) == 4


@pytest.mark.parametrize(
    "call",
    [
        lambda x: native.detect_r_peaks(x, 500.0),
        lambda x: ecg.ECGAnalyzerFFI(use_ffi=True).analyze_batch([x] * 4),
    ],
    ids=["detect_r_peaks", "analyze_batch"],
)
def test_other_threads_go_on_during_a_long_call(call):
    x = np.random.default_rng(0).standard_normal((4, 250_000), dtype=np.float32)
    ticks, took_s = _ticks_during(call, x)
    # However fast the library gets: long enough to tell a tick each ms from none.
    while took_s < 0.05:
        x = np.concatenate([x, x], axis=1)
        ticks, took_s = _ticks_during(call, x)
    assert ticks > took_s / 0.01


def _ticks_during(call, x):
    """Count what another thread gets done, once each ms at best, and time the call."""
    ticks, done, started = [], threading.Event(), threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            started.set()
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    started.wait()
    start = time.perf_counter()
    call(x)
    end = time.perf_counter()
    done.set()
    thread.join()
    return sum(start < t < end for t in ticks), end - start


def test_the_core_checks_for_itself():
    with pytest.raises(InvalidSignalError, match="not finite"):
        native.standardize(np.full((1, 10), np.nan), np.empty((1, 10)))
    with pytest.raises(ecg.ConfigError, match="fs_hz"):
        native.detect_r_peaks(np.zeros((1, 5000)), float("nan"))
    with pytest.raises(ecg.ConfigError, match="noise_threshold"):
        native.signal_quality(np.ones((1, 5000)), 500.0, 0.0)
    with pytest.raises(ecg.ConfigError, match="hop"):
        native.segment(np.zeros((1, 10)), 5, 0, np.empty((0, 1, 5)))
    with pytest.raises(InvalidSignalError):
        native.standardize(np.zeros((0, 10)), np.empty((0, 10)))


@pytest.mark.parametrize(
    "x",
    [np.zeros(10), np.zeros((1, 10), dtype=np.int64), np.zeros((4, 10)).T, [[1.0]], None],
)
def test_arrays_that_python_should_have_settled_are_refused(x):
    with pytest.raises((TypeError, ValueError)):
        native.standardize(x, np.empty((1, 10)))


def test_the_stub_says_what_there_is():
    stub = Path(inspect.getfile(ecg)).with_name("_native.pyi").read_text(encoding="utf-8")
    stated = {
        node.name: [argument.arg for argument in node.args.args]
        for node in ast.parse(stub).body
        if isinstance(node, ast.FunctionDef)
    }
    there = {
        name: list(inspect.signature(getattr(native, name)).parameters)
        for name in dir(native)
        if inspect.isroutine(getattr(native, name)) and not name.startswith("__")
    }
    assert stated == there


def test_the_reference_takes_what_the_core_takes():
    from ecg_processor_py import reference

    for name in reference.__all__:
        ours = list(inspect.signature(getattr(reference, name)).parameters)
        assert ours == list(inspect.signature(getattr(native, name)).parameters), name
