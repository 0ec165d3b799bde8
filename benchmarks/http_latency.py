"""/v1/predict, one client, a 240 KB body (12 x 5000 float32), the demo model."""

import asyncio
import io
import time
from functools import partial

import httpx2
import numpy as np

from benchmarks.reporting import print_header, row
from benchmarks.server import running_server
from serve_app.decoding import Hints, Upload
from serve_app.engine.loading import load_engine
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.settings import load_settings

WARM, TIMES = 100, 1000
LIMIT_MS = 15.0
HEADERS = {"Content-Type": "application/x-npy"}


def body() -> bytes:
    """10 s of 12 leads at 500 Hz with beats in them, as npy."""
    seconds = np.arange(5000) / 500
    beat = np.exp(-0.5 * (((seconds % 0.8) - 0.4) / 0.012) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.01, (12, 5000))
    file = io.BytesIO()
    np.save(file, (np.linspace(0.4, 1.5, 12)[:, None] * beat + noise).astype(np.float32))
    return file.getvalue()


def over_http(url: str, path: str, sent: bytes) -> tuple[list[float], dict]:
    with httpx2.Client(base_url=url, headers=HEADERS) as client:
        times_ms = []
        for i in range(WARM + TIMES):
            started_s = time.perf_counter()
            response = client.post(path, params={"fs_hz": 500}, content=sent)
            if i >= WARM:
                times_ms.append((time.perf_counter() - started_s) * 1e3)
            assert response.status_code == 200, response.text
    return times_ms, response.json()


def in_process(sent: bytes) -> tuple[list[float], dict]:
    settings = load_settings()
    pipeline = Pipeline(settings, InProcessModel(partial(load_engine, settings)))
    upload, hints = Upload((("", sent),), HEADERS["Content-Type"]), Hints(fs_hz=500)
    times_ms = []
    with asyncio.Runner() as runner:
        for i in range(WARM + TIMES):
            started_s = time.perf_counter()
            result = runner.run(pipeline.predict(upload, hints=hints))
            if i >= WARM:
                times_ms.append((time.perf_counter() - started_s) * 1e3)
    return times_ms, result.to_dict()


def main() -> None:
    sent = body()
    print_header(f"One client, {len(sent) / 1000:.0f} KB body, demo model")
    direct_ms, direct = in_process(sent)
    medians = {"plain calls": float(np.median(direct_ms))}
    print(row("plain calls, no HTTP, no Ray (peer)", direct_ms))
    for profile in ("graph", "mono"):
        with running_server("--profile", profile) as (url, _, _):
            times_ms, answer = over_http(url, "/v1/predict", sent)
            livez_ms, _ = over_http_get(url)
        assert np.allclose(
            [each["probability"] for each in answer["predictions"]],
            [each["probability"] for each in direct["predictions"]],
            atol=1e-5,
        )
        medians[profile] = float(np.median(times_ms))
        print(row(f"{profile}: POST /v1/predict", times_ms))
        print(row(f"{profile}: GET /livez (the hop alone)", livez_ms))
        print(f"{profile}: last timing_ms {answer['timing_ms']}")
    for profile in ("graph", "mono"):
        print(f"ratio {profile} / plain calls: {medians[profile] / medians['plain calls']:.2f}")
    assert medians["graph"] <= LIMIT_MS, f"over {LIMIT_MS} ms"


def over_http_get(url: str) -> tuple[list[float], dict]:
    with httpx2.Client(base_url=url) as client:
        times_ms = []
        for i in range(WARM + TIMES):
            started_s = time.perf_counter()
            response = client.get("/livez")
            if i >= WARM:
                times_ms.append((time.perf_counter() - started_s) * 1e3)
    return times_ms, response.json()


if __name__ == "__main__":
    main()
