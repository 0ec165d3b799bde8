"""Answers are waited for as long as somebody can give them."""

import asyncio
import time

import pytest

from deployments.reachability import Reachability
from serve_app.errors import ModelUnavailable


async def never():
    await asyncio.Event().wait()


def test_an_answer_in_time_asks_nobody():
    def nobody():
        raise AssertionError("Ray was asked")

    assert asyncio.run(Reachability(nobody).wait_for(asyncio.sleep(0, "answer"))) == "answer"


def test_a_slow_answer_of_a_replica_that_runs_is_waited_for():
    reachability = Reachability(lambda: 1, grace_s=0.0, overdue_s=0.05)
    assert asyncio.run(reachability.wait_for(asyncio.sleep(0.3, "late"))) == "late"


def test_replicas_that_stay_away_end_the_waiting_and_later_ones_wait_no_more():
    async def ask_twice():
        reachability = Reachability(lambda: 0, grace_s=0.5, overdue_s=0.05)
        for limit_s in (2.0, 0.2):
            started_s = time.perf_counter()
            with pytest.raises(ModelUnavailable, match="No replica"):
                await reachability.wait_for(never())
            assert time.perf_counter() - started_s < limit_s

    asyncio.run(ask_twice())


def test_replicas_that_come_back_are_noticed():
    running = [0, 1]

    async def ask():
        reachability = Reachability(lambda: running.pop(0), grace_s=60, overdue_s=0.05)
        assert await reachability.wait_for(asyncio.sleep(1.2, "back")) == "back"
        assert running == []
        return await reachability.wait_for(asyncio.sleep(0, "at once"))

    assert asyncio.run(ask()) == "at once"


def test_who_leaves_takes_the_question_along():
    cancelled = []

    async def answer():
        try:
            await never()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def leave():
        async with asyncio.timeout(0.05):
            await Reachability(lambda: 1).wait_for(answer())

    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    assert cancelled == [True]
