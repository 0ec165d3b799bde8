"""Live streams as the asynchronous client opens them, over loopback."""

import asyncio

import pytest

from benchmarks.server import free_port
from serve_app.api import create_app
from serve_app.client import AsyncClient, ServerProblem
from serve_app.errors import Unavailable
from tests.live_app import live


class Watched:
    """Remembers the headers that came."""

    def __init__(self, app):
        self.app, self.seen = app, []

    async def __call__(self, scope, receive, send):
        self.seen.append(dict(scope["headers"]))
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def watched(pipeline, settings):
    return Watched(create_app(pipeline, settings))


@pytest.fixture(scope="module")
def url(watched):
    with live(watched) as url:
        yield url


async def events_of(url, signal_mv, **start):
    async with (
        AsyncClient(url, headers={"X-Ward": "7"}) as client,
        client.stream(500, ["I", "II"], **start) as stream,
    ):
        await stream.send(signal_mv)
        await stream.end()
        return [event async for event in stream]


def test_samples_in_events_out(url, watched, sinus_mv):
    events = asyncio.run(events_of(url, sinus_mv[:2], missing_leads="zero"))
    assert {event.type for event in events} == {"beat", "result", "summary"}
    assert [event.type for event in events].count("result") == 2
    assert events[-1].duration_s == 10
    assert watched.seen[-1][b"x-ward"] == b"7"


def test_microvolts_without_a_model(url, sinus_mv):
    events = asyncio.run(events_of(url, sinus_mv[:2] * 1000, units="uV", predictions=False))
    results = [event.result for event in events if event.type == "result"]
    assert [result.predictions for result in results] == [[], []]
    assert results[-1].analysis.heart_rate_bpm > 40


def test_what_is_refused_is_told_as_by_every_call(url, sinus_mv):
    with pytest.raises(ServerProblem) as told:
        asyncio.run(events_of(url, sinus_mv[:2]))  # leads are missing
    assert told.value.problem["code"] == "invalid_signal"
    with pytest.raises(ServerProblem) as told:
        asyncio.run(events_of(url, sinus_mv[:2], missing_leads="zero", model="other"))
    assert told.value.problem["code"] == "model_not_found"


def test_nobody_there(sinus_mv):
    with pytest.raises(Unavailable, match="cannot be reached"):
        asyncio.run(events_of(f"http://127.0.0.1:{free_port()}", sinus_mv[:2]))
