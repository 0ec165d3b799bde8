"""The gate merges what waits, keeps each caller's share apart, and isolates bad items."""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from deployments.batching import BatchGate
from serve_app.engine.protocol import Scores
from serve_app.errors import EcgServeError, InvalidSignal

LARGEST = 8


class HeldEngine:
    """Answers when released; a segment's score is its own first sample, negative ones fail."""

    info = SimpleNamespace(name="held")

    def __init__(self):
        self.batches = []
        self.free = threading.Event()

    def warm(self):
        self.free.set()

    def predict(self, segments):
        self.free.wait(5)
        self.batches.append(len(segments))
        own = segments[:, 0, :1]
        if (own < 0).any():
            raise InvalidSignal("negative")
        if (own > 1000).any():
            raise RuntimeError("secret /path")
        return Scores(np.repeat(own, 17, 1), np.repeat(own, 17, 1), own)


def segments(*values):
    return np.array(values, np.float32)[:, None, None] * np.ones((1, 12, 2500), np.float32)


async def submit_while_busy(engine, gate, requests):
    """Submit one request that holds the engine, the others behind it; then let go."""
    tasks = []
    for request in requests:
        tasks.append(asyncio.create_task(gate.submit(engine, request)))
        await asyncio.sleep(0.01)
    engine.free.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def run(requests, largest=LARGEST):
    engine = HeldEngine()
    gate = BatchGate(largest)
    return engine, asyncio.run(submit_while_busy(engine, gate, requests))


def test_what_waits_becomes_one_batch():
    engine, shares = run([segments(1), segments(2, 3), segments(4)])
    assert engine.batches == [1, 3]
    assert [share.scores.embeddings[:, 0].tolist() for share in shares] == [[1], [2, 3], [4]]
    assert [share.batch_segments for share in shares] == [1, 3, 3]


def test_batches_never_exceed_the_largest():
    engine, shares = run([segments(*([i + 1] * 3)) for i in range(6)])
    assert max(engine.batches) <= LARGEST
    assert engine.batches == [3, 6, 6, 3]
    assert [share.scores.embeddings[0, 0] for share in shares] == [1, 2, 3, 4, 5, 6]


def test_one_bad_item_does_not_fail_its_batch():
    _, shares = run([segments(1), segments(2), segments(-1), segments(3)])
    assert [shares[i].scores.embeddings[0, 0] for i in (0, 1, 3)] == [1, 2, 3]
    assert isinstance(shares[2], InvalidSignal)


def test_an_unforeseen_error_is_told_without_its_text():
    _, (first, share) = run([segments(1), segments(2000)])
    assert first.scores.embeddings[0, 0] == 1
    assert type(share) is EcgServeError
    assert "secret" not in str(share)


def test_a_caller_that_left_costs_nothing():
    async def leave():
        engine = HeldEngine()
        gate = BatchGate(LARGEST)
        first = asyncio.create_task(gate.submit(engine, segments(1)))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(gate.submit(engine, segments(2)))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        engine.free.set()
        await first
        assert (await gate.submit(engine, segments(3))).scores.embeddings[0, 0] == 3
        assert engine.batches == [1, 1]
        assert gate.waiting_segments == 0

    asyncio.run(leave())


def test_times_are_told():
    _, shares = run([segments(1), segments(2)])
    assert shares[0].inference_ms > 0
    assert shares[1].queue_ms == pytest.approx(shares[0].inference_ms, abs=50)


def test_a_batch_is_of_one_engine_and_none_keeps_others_waiting():
    first, second = HeldEngine(), HeldEngine()
    gate = BatchGate(LARGEST)

    async def submit():
        # Whoever waits longest is next, and takes along those who wait for the same engine.
        order = [(first, 1), (first, 2), (second, 3), (first, 4), (second, 5)]
        tasks = []
        for engine, value in order:
            tasks.append(asyncio.create_task(gate.submit(engine, segments(value))))
            await asyncio.sleep(0.01)
        second.free.set()
        first.free.set()
        return await asyncio.gather(*tasks)

    shares = asyncio.run(submit())
    assert [share.scores.embeddings[0, 0] for share in shares] == [1, 2, 3, 4, 5]
    assert (first.batches, second.batches) == ([1, 2], [2])


def test_a_flood_for_one_engine_lets_another_s_caller_through():
    flooded, rare = HeldEngine(), HeldEngine()
    gate = BatchGate(2)
    done = []

    async def ask(engine, value):
        await gate.submit(engine, segments(value))
        done.append(value)

    async def submit():
        tasks = [asyncio.create_task(ask(flooded, 1)) for _ in range(3)]
        tasks.append(asyncio.create_task(ask(rare, 2)))
        tasks += [asyncio.create_task(ask(flooded, 3)) for _ in range(20)]
        await asyncio.sleep(0.01)
        flooded.warm()
        rare.warm()
        await asyncio.gather(*tasks)

    asyncio.run(submit())
    # After the three before it, and at most one that shared a batch with the last of those.
    assert done.index(2) <= 4
