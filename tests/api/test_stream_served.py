"""WS /v1/stream by the client of this package, over real servers."""

import asyncio
import contextlib
import json
import threading
import time

import numpy as np
import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.server import free_port
from serve_app.api import create_app
from serve_app.client import ServerProblem
from serve_app.client.live import stream
from serve_app.decoding import decode_path
from serve_app.errors import Unavailable
from serve_app.recording import STANDARD_LEADS
from serve_app.settings import load_settings

PATH = "/v1/stream"


def start(fs_hz, leads):
    return {"type": "start", "fs_hz": fs_hz, "leads": list(leads), "predictions": False}


@contextlib.contextmanager
def served(app):
    """A real HTTP server around the application, without Ray."""
    port = free_port()
    config = uvicorn.Config(app, port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.slow
def test_who_reads_nothing_is_closed(pipeline, sinus_mv):
    settings = load_settings(client_timeout_s=1.0, stream_max_speed=1e6, max_streams=1)
    lead = sinus_mv[1, ::5].astype("<f4")  # 10 s at 100 Hz

    async def ask(url):
        async with stream(url, fs_hz=100, leads=["II"], predictions=False) as opened:
            await opened.end()
            return [event.type async for event in opened]

    async def flood(url):
        """Sends without reading until that is too slow, and still keeps its connection."""
        address = f"{url.replace('http', 'ws')}{PATH}"
        async with connect(address, compression=None, max_queue=1, close_timeout=0.1) as socket:
            await socket.send(json.dumps(start(100, ["II"])))
            with contextlib.suppress(TimeoutError, ConnectionClosed):
                while True:
                    async with asyncio.timeout(5.0):
                        await socket.send(np.tile(lead, 50).tobytes())
            return await ask(url)

    with served(create_app(pipeline, settings)) as url:
        assert asyncio.run(flood(url)) == ["summary"]


async def replay(url, signal, fs_hz, leads, **options):
    """Send a recording in chunks of 40 ms; each event, and when it came, from the first sample."""
    size = round(0.04 * fs_hz)
    async with stream(url, fs_hz=fs_hz, leads=leads, **options) as opened:
        began_s = time.monotonic()

        async def send():
            for at in range(0, signal.shape[1], size):
                due_s = began_s + (at + size) / fs_hz
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                await opened.send(signal[:, at : at + size])
            await opened.end()

        sending = asyncio.create_task(send())
        came = [(time.monotonic() - began_s, event) async for event in opened]
        await sending
    return came


@pytest.mark.ray
def test_paced_replays(server, data_dir, sinus_mv):
    """Two leads of MIT-BIH 100 and twelve leads, side by side, in real time."""
    whole = decode_path(data_dir / "beats/mitdb/100.hea")

    async def both():
        return await asyncio.gather(
            replay(
                *(server, whole.signal_mv[:, : 11 * 360], 360.0, whole.leads), missing_leads="zero"
            ),
            replay(server, np.tile(sinus_mv, (1, 2))[:, : 11 * 500], 500.0, STANDARD_LEADS),
        )

    for came in asyncio.run(both()):
        delays_s = [at - event.time_s for at, event in came if event.type == "beat"]
        assert len(delays_s) > 9
        # The detector takes 0.38 s, a chunk 0.04 s; the rest is the way, on a machine that is busy.
        assert np.median(delays_s) < 0.6
        results = [event for _, event in came if event.type == "result"]
        assert [each.end_s for each in results] == [5.0, 10.0]
        assert all(len(each.result.predictions) == 17 for each in results)
        assert came[-1][1].type == "summary"


@pytest.mark.ray
def test_problems_come_to_the_client(server):
    async def refused():
        async with stream(server, fs_hz=500, leads=["II"]):
            pass

    with pytest.raises(ServerProblem) as told:
        asyncio.run(refused())
    assert told.value.problem["code"] == "invalid_signal"

    async def nobody():
        async with stream("http://127.0.0.1:9", fs_hz=500, leads=["II"]):
            pass

    with pytest.raises(Unavailable):
        asyncio.run(nobody())


@pytest.mark.ray
def test_the_server_stops_reading_who_sends_too_fast(server):
    """At 20 times real time after the first 10 s: what does not fit into buffers is not taken."""

    async def flood():
        address = f"{server.replace('http', 'ws')}{PATH}"
        chunk = np.zeros((21_000, 12), "<f4").tobytes()  # 42 s, nearly a mebibyte
        async with connect(address, compression=None, close_timeout=0.1) as socket:
            await socket.send(json.dumps(start(500, STANDARD_LEADS)))
            sent = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3.0):
                    while True:
                        await socket.send(chunk)
                        sent += 1
            return sent

    # Two are analysed in that time, eight wait in the replica, the rest is in sockets and HAProxy.
    assert asyncio.run(flood()) < 60
