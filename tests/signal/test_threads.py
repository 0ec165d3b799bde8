"""One analyzer and the same arrays from many threads: equal results, exact counters."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import ecg_processor_py as ecg
import numpy as np
import pytest

THREADS = 8
CONFIG = ecg.ECGAnalysisConfig(sampling_rate=360.0)


def _calls(analyzer, lead, use_ffi):
    """Named calls on shared arrays, each giving something that can be compared bit for bit."""
    pair = np.stack([lead, lead[::-1]])
    gappy = np.where(np.arange(len(lead)) % 700 < 5, np.nan, lead)
    options = {"use_ffi": use_ffi}
    return [
        lambda: _untimed(analyzer.analyze(lead, CONFIG)),
        lambda: _untimed(analyzer.analyze(pair, CONFIG)),
        lambda: [_untimed(r) for r in analyzer.analyze_batch([lead, pair], CONFIG)],
        lambda: ecg.detect_r_peaks(pair, 360.0, **options).tobytes(),
        lambda: ecg.bandpass(lead, 360.0, **options).tobytes(),
        lambda: ecg.remove_baseline(pair, 360.0, **options).tobytes(),
        lambda: ecg.resample(pair, 360.0, 500.0, **options).tobytes(),
        lambda: ecg.standardize(lead, **options).tobytes(),
        lambda: ecg.segment(pair, 360.0, 1.0, 0.5, **options).tobytes(),
        lambda: str(ecg.signal_quality(pair, 360.0, **options)),
        lambda: str(ecg.hrv([800.0, 810.0, 790.0, 805.0], **options)),
        lambda: str(ecg.fill_gaps(gappy, 360.0, **options)),
    ]


def _untimed(result):
    return str({**result.to_dict(), "processing_time_ms": 0})


def test_mixed_calls_equal_those_of_one_thread(analyzer, use_ffi, clean_lead):
    calls = _calls(analyzer, clean_lead, use_ffi)
    expected = [call() for call in calls]
    rounds = 12 if use_ffi else 2
    start = threading.Barrier(THREADS)

    def work(seed):
        order = np.random.default_rng(seed).permutation(np.tile(np.arange(len(calls)), rounds))
        start.wait()
        return all(calls[i]() == expected[i] for i in order)

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(THREADS)))


def test_no_call_is_lost_by_resets_in_between(analyzer, clean_lead):
    """What the resets give back and what is left add up to every call made."""
    short, bad = clean_lead[:720], np.full(720, np.nan)
    each = 60
    stop = threading.Event()
    taken = []

    def reset():
        while not stop.wait(0.0005):
            taken.append(analyzer.reset_stats())

    def work(_):
        for i in range(each):
            if i % 3 == 0:
                analyzer.analyze_batch([short, bad, short], CONFIG, on_error="return")
            else:
                analyzer.analyze(short, CONFIG)

    resetting = threading.Thread(target=reset)
    resetting.start()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    stop.set()
    resetting.join()
    taken.append(analyzer.reset_stats())
    batches = THREADS * each // 3
    assert len(taken) > 2
    assert sum(one["total"] for one in taken) == THREADS * (each - each // 3) + 3 * batches
    assert sum(one["errors"] for one in taken) == batches
    assert sum(one["calls"][analyzer.backend] for one in taken) == sum(o["total"] for o in taken)
    assert all(one["errors"] <= one["total"] for one in taken)
    assert analyzer.get_stats()["total"] == 0


@pytest.mark.slow
def test_counters_of_many_threads_are_exact(clean_lead):
    analyzer = ecg.ECGAnalyzerFFI(use_ffi=True)
    short = clean_lead[:720]

    def work(_):
        for _ in range(1000):
            analyzer.analyze(short, CONFIG)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    stats = analyzer.get_stats()
    assert (stats["total"], stats["errors"], stats["ffi_usage_rate"]) == (16_000, 0, 1.0)


def test_the_heart_of_the_event_loop_keeps_beating(analyzer):
    """While recordings are analysed, a task that wakes every 5 ms is never late by long."""
    x = np.random.default_rng(0).standard_normal((2, 3_000_000))

    async def main():
        loop = asyncio.get_running_loop()
        late, done = [], asyncio.Event()

        async def heartbeat():
            while not done.is_set():
                due = loop.time() + 0.005
                await asyncio.sleep(0.005)
                late.append(loop.time() - due)

        beating = asyncio.create_task(heartbeat())
        start = loop.time()
        await asyncio.gather(*[analyzer.analyze_async(x) for _ in range(4)])
        took = loop.time() - start
        done.set()
        await beating
        return late, took

    late, took = asyncio.run(main())
    # A loop that waited for them would have beaten once.
    assert len(late) > 5
    assert np.median(late) < took / 4
