"""The analyzer around the analysis: counters, threads, batches, the event loop, copies."""

import asyncio
import copy
import pickle
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ecg_processor_py import (
    ConfigError,
    ECGAnalysisConfig,
    ECGAnalysisResult,
    ECGAnalyzerFFI,
    ECGError,
    InvalidSignalError,
    find_anomalies,
    hrv,
)


@pytest.fixture
def signals(clean_lead):
    rng = np.random.default_rng(0)
    tiled = np.tile(clean_lead, 2)
    return [tiled[: 2000 + 300 * i] + 0.01 * rng.standard_normal(2000 + 300 * i) for i in range(8)]


def _same(a: ECGAnalysisResult, b: ECGAnalysisResult) -> bool:
    ours, theirs = a.to_dict(), b.to_dict()
    return {**ours, "processing_time_ms": 0} == {**theirs, "processing_time_ms": 0}


def test_counters_are_exact_under_threads(analyzer, signals):
    expected = [analyzer.analyze(x) for x in signals]
    analyzer.reset_stats()
    jobs = [signals[i % len(signals)] for i in range(160)] + [np.full(600, np.nan)] * 16

    def one(x):
        try:
            return analyzer.analyze(x)
        except InvalidSignalError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, jobs))
    for i, result in enumerate(results[:160]):
        assert _same(result, expected[i % len(signals)])
    stats = analyzer.get_stats()
    assert (stats["total"], stats["errors"]) == (176, 16)
    assert stats["ffi_usage_rate"] == (1.0 if analyzer.backend == "rust" else 0.0)
    assert 0 < stats["p50_ms"] <= stats["p95_ms"] <= stats["p99_ms"]
    assert stats["mean_ms"] > 0


def test_counters_start_again(analyzer, signals):
    empty = analyzer.get_stats()
    analyzer.analyze(signals[0])
    assert analyzer.get_stats()["total"] == 1
    analyzer.reset_stats()
    assert analyzer.get_stats() == empty
    names = "total ffi_usage_rate errors mean_ms p50_ms p95_ms p99_ms bytes_copied"
    assert set(empty) >= set(names.split())


def test_contiguous_floats_are_not_copied_and_others_are_counted(analyzer, clean_lead):
    for x in (clean_lead, clean_lead.astype(np.float32), np.stack([clean_lead] * 3)):
        analyzer.analyze(x)
    assert analyzer.get_stats()["bytes_copied"] == 0
    n = len(clean_lead)
    for x, copied in [
        ((10 * clean_lead).astype(np.int16), 8 * n),
        (np.repeat(clean_lead, 2)[::2], 8 * n),
        (np.asfortranarray(np.stack([clean_lead] * 3)), 24 * n),
        (clean_lead.astype(">f8"), 8 * n),
        (clean_lead.astype(np.float16), 8 * n),
        (clean_lead.tolist(), 0),
    ]:
        analyzer.reset_stats()
        analyzer.analyze(x)
        assert analyzer.get_stats()["bytes_copied"] == copied


def test_rust_reads_the_samples_where_they_lie():
    x = np.random.default_rng(0).standard_normal((4, 500_000))
    x.flags.writeable = False
    analyzer = ECGAnalyzerFFI(use_ffi=True)
    analyzer.analyze(x)
    tracemalloc.start()
    try:
        analyzer.analyze(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 20


def test_the_input_is_left_as_it_is(analyzer, clean_lead):
    before = clean_lead.copy()
    analyzer.analyze(clean_lead)
    np.testing.assert_array_equal(clean_lead, before)


def test_a_batch_keeps_its_order(analyzer, signals):
    one_by_one = [analyzer.analyze(x) for x in signals]
    batch = analyzer.analyze_batch(signals, ECGAnalysisConfig())
    assert all(_same(a, b) for a, b in zip(batch, one_by_one, strict=True))
    assert analyzer.analyze_batch([]) == []
    assert len(analyzer.analyze_batch(signals[:1])) == 1


def test_one_bad_signal_loses_no_other(analyzer, signals):
    mixed = [signals[0], np.full(3000, np.nan), signals[1], np.zeros(3)]
    results = analyzer.analyze_batch(mixed, on_error="return")
    kinds = [isinstance(result, ECGAnalysisResult) for result in results]
    assert kinds == [True, False, True, False]
    assert all(isinstance(results[i], InvalidSignalError) for i in (1, 3))
    with pytest.raises(InvalidSignalError, match="not finite") as caught:
        analyzer.analyze_batch(mixed)
    assert caught.value.batch_index == 1
    assert _same(caught.value.batch_results[2], results[2])
    assert analyzer.get_stats()["total"] == 8


def test_bad_options_are_refused(analyzer, signals):
    with pytest.raises(ConfigError, match="on_error"):
        analyzer.analyze_batch(signals, on_error="ignore")
    with pytest.raises(ConfigError, match="config"):
        analyzer.analyze(signals[0], {"sampling_rate": 500})
    with pytest.raises(ConfigError, match="use_ffi"):
        ECGAnalyzerFFI(use_ffi="rust")


def test_the_event_loop_goes_on(analyzer):
    x = np.random.default_rng(0).standard_normal((2, 1_000_000))

    async def main():
        ticks = 0
        task = asyncio.create_task(analyzer.analyze_async(x))
        while not task.done():
            await asyncio.sleep(0.002)
            ticks += 1
        return ticks, await task

    ticks, result = asyncio.run(main())
    assert ticks > 5
    assert result.processing_backend == analyzer.backend


def test_async_errors_arrive(analyzer):
    with pytest.raises(ECGError):
        asyncio.run(analyzer.analyze_async(np.zeros(3)))


def test_one_analyzer_from_many_threads_at_once(analyzer, signals):
    start = threading.Barrier(6)
    seen = []

    def work():
        start.wait()
        seen.extend(analyzer.analyze(signals[0]).heart_rate for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 120
    assert len(set(seen)) == 1


def test_an_analyzer_is_pickled_and_copied_without_its_counters(clean_lead, use_ffi):
    analyzer = ECGAnalyzerFFI(use_ffi)
    expected = analyzer.analyze(clean_lead)
    for other in (pickle.loads(pickle.dumps(analyzer)), copy.deepcopy(analyzer)):
        assert (other.backend, other.get_stats()["total"]) == (analyzer.backend, 0)
        np.testing.assert_array_equal(other.analyze(clean_lead).qrs_peaks, expected.qrs_peaks)


def test_results_compare_and_hash_by_identity(clean_lead, use_ffi):
    analyzer = ECGAnalyzerFFI(use_ffi)
    first, second = analyzer.analyze(clean_lead), analyzer.analyze(clean_lead)
    assert first != second
    assert len({first, second}) == 2


@pytest.mark.parametrize("signals", [np.zeros(5000), "record", {"I": np.zeros(5000)}])
def test_a_single_recording_is_no_batch(signals, use_ffi):
    with pytest.raises(InvalidSignalError, match="into a list"):
        ECGAnalyzerFFI(use_ffi).analyze_batch(signals)


def test_intervals_and_times_in_other_units_are_refused(use_ffi):
    with pytest.raises(InvalidSignalError, match="seconds must be multiplied"):
        hrv([0.8, 0.81, 0.79] * 20, use_ffi=use_ffi)
    with pytest.raises(InvalidSignalError, match="divide sample indices"):
        find_anomalies(np.arange(200, 5000, 400), use_ffi=use_ffi)
    with pytest.raises(ConfigError, match="must be below max_heart_rate"):
        find_anomalies([0.5, 1.5], min_heart_rate=210, max_heart_rate=100, use_ffi=use_ffi)
    for bad in ([3], [(8.0, 2.0)], [(0.0, 4.0), (3.0, 5.0)]):
        with pytest.raises(InvalidSignalError, match="measurable must hold"):
            find_anomalies([0.5, 1.5], 9.0, measurable=bad, use_ffi=use_ffi)
