"""From the R peak to the beat's message: recordings replayed in real time over a real server.

$ python -m benchmarks.live_streams
"""

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.databases import DATA
from benchmarks.reporting import print_header
from benchmarks.server import running_server
from serve_app.client.live import stream
from serve_app.decoding import decode_path
from serve_app.recording import Recording

SECONDS = 30.0
CHUNK_S = 0.04


def main() -> None:
    print_header("Delay of beats and results of live streams, profile graph, demo model")
    print(f"{SECONDS:g} s in chunks of {CHUNK_S * 1000:g} ms, paced; a result each 5 s of signal")
    print(f"{'':<28}{'beats':>7}{'beat delay s p50':>18}{'p95':>7}{'result s p50':>14}{'p95':>7}")
    two = decode_path(DATA / "beats/mitdb/100.hea")
    twelve = decode_path(sorted((DATA / "twelve_lead/ptbxl").rglob("*_hr.hea"))[0])
    with running_server() as (url, _, _):
        for name, recording, streams in (
            ("MIT-BIH 100, 1 stream", two, 1),
            ("PTB-XL, 1 stream", twelve, 1),
            ("PTB-XL, 16 streams", twelve, 16),
        ):
            print(row(name, asyncio.run(replays(url, recording, streams))), flush=True)


async def replays(url: str, recording: Recording, streams: int) -> list[tuple[str, float]]:
    """Kind and delay of each event, over all streams."""
    samples = round(SECONDS * recording.fs_hz)
    tiles = -(-samples // recording.signal_mv.shape[1])
    signal = np.tile(recording.signal_mv, (1, tiles))[:, :samples]
    told = await asyncio.gather(
        *(replay(url, signal, recording.fs_hz, recording.leads) for _ in range(streams))
    )
    return [event for events in told for event in events]


async def replay(
    url: str, signal: np.ndarray, fs_hz: float, leads: Sequence[str]
) -> list[tuple[str, float]]:
    size = round(CHUNK_S * fs_hz)
    delays = []
    async with stream(url, fs_hz=fs_hz, leads=leads, missing_leads="zero") as live:
        began_s = time.perf_counter()

        async def send() -> None:
            for at in range(0, signal.shape[1], size):
                due_s = began_s + (at + size) / fs_hz
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                await live.send(signal[:, at : at + size])
            await live.end()

        sending = asyncio.create_task(send())
        async for event in live:
            at_s = {"beat": "time_s", "result": "end_s"}.get(event.type)
            if at_s:
                delay_s = time.perf_counter() - began_s - getattr(event, at_s)
                delays.append((event.type, delay_s))
        await sending
    return delays


def row(name: str, delays: list[tuple[str, float]]) -> str:
    beats, results = (
        np.array([delay for kind, delay in delays if kind == wanted])
        for wanted in ("beat", "result")
    )
    (beat_50, beat_95), (result_50, result_95) = (
        np.percentile(values, [50, 95]) for values in (beats, results)
    )
    return (
        f"{name:<28}{len(beats):7d}{beat_50:18.3f}{beat_95:7.3f}{result_50:14.3f}{result_95:7.3f}"
    )


if __name__ == "__main__":
    main()
