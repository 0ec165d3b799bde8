"""Live streams as the asynchronous client opens them, over loopback."""

import asyncio

import pytest

from benchmarks.server import free_port
from serve_app.api import create_app
from serve_app.client import AsyncClient, ServerProblem
from serve_app.client.live import stream
from serve_app.errors import InvalidParameter, Unavailable
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


@pytest.mark.parametrize("path", ["/v1/stream", "/elsewhere"])
def test_a_wrong_address_is_told_as_such(url, sinus_mv, path):
    with pytest.raises(ServerProblem, match=r"no stream at this address \(HTTP status 40") as told:
        asyncio.run(events_of(url + path, sinus_mv[:2]))
    assert told.value.http_status in (403, 404)
    assert "http://127.0.0.1:8000." in told.value.hint


def test_what_is_no_url_is_told():
    async def begin():
        async with stream("127.0.0.1:8000", fs_hz=500, leads=["I"]):
            pass

    with pytest.raises(InvalidParameter, match="URL"):
        asyncio.run(begin())


def test_a_gateway_without_a_server():
    """What a proxy says whose server is down."""

    async def app(scope, receive, send):
        await send({"type": "websocket.http.response.start", "status": 502, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})

    with live(app) as url, pytest.raises(Unavailable, match="HTTP status 502"):
        asyncio.run(events_of(url, []))


@pytest.mark.parametrize(
    ("start", "field"),
    [({"fs_hz": 50}, "fs_hz"), ({"leads": []}, "leads"), ({"units": "V"}, "units")],
)
def test_what_no_stream_begins_with_is_refused_before_it_is_sent(start, field):
    async def begin():
        url = f"http://127.0.0.1:{free_port()}"
        async with stream(url, **{"fs_hz": 500, "leads": ["I"]} | start):
            pass

    with pytest.raises(InvalidParameter, match=f": {field}: ") as told:
        asyncio.run(begin())
    assert told.value.extra["errors"][0]["field"] == field
