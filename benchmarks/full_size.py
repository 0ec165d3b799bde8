"""A full-size ECG-FM (seeded weights) on 10 s recordings, as a call and over HTTP.

Over HTTP engine and precision are `auto`, and then int8; one recording, and 5 and 10 at once.
"""

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx2
import numpy as np
import torch
from ecg_processor_py import prepare_ecg_fm
from ecg_processor_py.checks import STANDARD_LEADS

from benchmarks.http_latency import HEADERS, body
from benchmarks.reporting import print_header, row
from benchmarks.server import running_server
from benchmarks.speed_inputs import recording_500_hz
from serve_app.engine.comparison import interleaved_s, plain_logits
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.demo import full_size_config, seeded_model, state_sha256
from serve_app.model.modeling_ecg_fm import EcgFmForSequenceClassification

TIMES, THREADS = 15, 2
# Seconds that one, five and ten recordings may take.
LIMITS_S = {1: 2.0, 5: 30.0, 10: 60.0}


def main() -> None:
    print_header(f"Full-size ECG-FM over HTTP, {THREADS} threads, recordings of 10 s (2 segments)")
    loaded = full_size_model()
    torch.set_num_threads(THREADS)
    plain = partial(plain_logits, loaded)
    (peer_ms,) = 1e3 * interleaved_s([plain], recorded_segments(), TIMES)
    print(row("plain torch fp32 forward of 2 segments (peer)", peer_ms))
    with tempfile.TemporaryDirectory() as folder:
        EcgFmForSequenceClassification.from_network(loaded.model).save_pretrained(folder)
        os.environ["ECG_MODEL_CPUS"] = str(THREADS)
        for precision in ("auto", "int8"):
            os.environ["ECG_PRECISION"] = precision
            report_served(folder, precision, float(np.median(peer_ms)))


def report_served(folder: str, precision: str, peer_ms: float) -> None:
    """The model served by `ecg-serve up --model`: one recording, then several at once."""
    sent = body()
    with (
        running_server("--model", folder) as (url, _, _),
        httpx2.Client(base_url=url, headers=HEADERS, timeout=60) as client,
    ):

        def ask(_: int) -> dict[str, str]:
            response = client.post("/v1/predict", params={"fs_hz": 500}, content=sent)
            assert response.status_code == 200, response.text
            model: dict[str, str] = response.json()["model"]
            return model

        answered = ask(0)
        print(f"precision {precision}: {answered['engine']} {answered['precision']}")
        for recordings, limit_s in LIMITS_S.items():
            times_ms = [_all_answered_ms(ask, recordings) for _ in range(TIMES)]
            print(row(f"  POST /v1/predict, {recordings} at once, all answered", times_ms))
            if recordings == 1:
                print(f"  ratio served / plain: {np.median(times_ms) / peer_ms:.2f}")
            assert np.median(times_ms) < 1e3 * limit_s, f"over {limit_s} s"


def _all_answered_ms(ask: Callable[[int], object], recordings: int) -> float:
    started_s = time.perf_counter()
    with ThreadPoolExecutor(recordings) as pool:
        list(pool.map(ask, range(recordings)))
    return (time.perf_counter() - started_s) * 1e3


def recorded_segments() -> np.ndarray:
    """Give `(2, 12, 2500)` float32 of the recording that ships inside pydicom."""
    return prepare_ecg_fm(recording_500_hz(), 500.0, STANDARD_LEADS)


def full_size_model() -> LoadedModel:
    model = seeded_model(full_size_config(), seed=0)
    sha256 = state_sha256(model)
    return LoadedModel("full-size", sha256[:12], sha256, "seeded", True, model)


if __name__ == "__main__":
    main()
