"""CPU time of one thread, in rounds through every case, so that noise falls on all alike."""

import time
from collections.abc import Callable, Mapping

import numpy as np

Call = Callable[[], object]
# A sample is the mean of as many calls as fill this after one that does not count: every case is
# measured in its own steady state, not in what the case before left in the caches.
SAMPLE_S = 10e-3


def interleaved_ms(calls: Mapping[str, Call], rounds: int) -> dict[str, np.ndarray]:
    """Give `rounds` steady times of each call in ms."""
    repeats = {name: _repeats(call) for name, call in calls.items()}
    times = {name: np.empty(rounds) for name in calls}
    for i in range(rounds):
        for name, call in calls.items():
            times[name][i] = _steady_ms(call, repeats[name])
    return times


def cold_ms(calls: Mapping[str, Call], rounds: int) -> dict[str, np.ndarray]:
    """Give `rounds` times of each call in ms, each the first one after all the others' calls."""
    times = {name: np.empty(rounds) for name in calls}
    for i in range(rounds):
        for name, call in calls.items():
            times[name][i] = _mean_ms(call, 1)
    return times


def _repeats(call: Call) -> int:
    spent_ms = min(_steady_ms(call, 1) for _ in range(3))
    return max(1, int(SAMPLE_S * 1e3 / max(spent_ms, 1e-4)))


def _steady_ms(call: Call, repeats: int) -> float:
    call()
    return _mean_ms(call, repeats)


def _mean_ms(call: Call, repeats: int) -> float:
    started = time.thread_time_ns()
    for _ in range(repeats):
        call()
    return (time.thread_time_ns() - started) / repeats / 1e6


def line(name: str, times_ms: np.ndarray, against: np.ndarray | None = None) -> str:
    """Median and spread, and the ratio of medians to another case's."""
    low, median, high = np.percentile(times_ms, [5, 50, 95])
    ratio = "" if against is None else f"   {median / np.median(against):8.2f} x"
    return f"{name:<44} p50 {median:9.3f} ms   p5 {low:9.3f}   p95 {high:9.3f}{ratio}"


def cold_line(times_ms: Mapping[str, np.ndarray]) -> str:
    """Medians of calls that found the caches full of the others' data, as a server's may."""
    medians = (f"{name} {np.median(values):.3f}" for name, values in times_ms.items())
    return f"cold, the first call after the others', p50 ms: {'; '.join(medians)}"
