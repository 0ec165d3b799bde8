"""A full-size ECG-FM (seeded weights) on one 10 s recording, as a call and over HTTP.

Over HTTP the precision is `auto`: bf16 where the processor multiplies it.
"""

import os
import tempfile
import time
from functools import partial

import httpx2
import numpy as np
from ecg_processor_py import prepare_ecg_fm
from ecg_processor_py.checks import STANDARD_LEADS

from benchmarks.http_latency import HEADERS, body
from benchmarks.reporting import print_header, row
from benchmarks.server import running_server
from benchmarks.speed_inputs import recording_500_hz
from serve_app.engine.comparison import interleaved_s, largest_errors, plain_logits
from serve_app.engine.torch_engine import TorchEngine
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.demo import full_size_config, seeded_model, state_sha256
from serve_app.model.modeling_ecg_fm import EcgFmForSequenceClassification

TIMES, THREADS = 15, 2
LIMIT_MS = 2000.0
MOST_ERROR = 0.01


def main() -> None:
    print_header(f"Full-size ECG-FM, {THREADS} threads, one 10 s recording (2 segments)")
    loaded = full_size_model()
    parameters = sum(tensor.numel() for tensor in loaded.model.parameters())
    engine = TorchEngine(loaded, threads=THREADS)
    halved = TorchEngine(loaded, threads=THREADS, precision="bf16")
    segments = recorded_segments()
    plain = partial(plain_logits, loaded)
    exact = plain(segments)
    difference, _ = largest_errors(engine.predict(segments), exact)
    assert difference < 1e-4, difference
    _, error = largest_errors(halved.predict(segments), exact)
    assert error <= MOST_ERROR, error

    calls = (engine.predict, halved.predict, plain)
    ours_ms, halved_ms, peer_ms = 1e3 * interleaved_s(calls, segments, TIMES)
    print(f"{parameters / 1e6:.2f} M parameters")
    print(f"fp32: max |difference of logits| {difference:.1e}")
    print(f"bf16: max |difference of probabilities| {error:.4f}")
    print(row("engine, fp32", ours_ms))
    print(row("engine, bf16", halved_ms))
    print(row("plain torch forward of the same weights (peer)", peer_ms))
    served_ms = over_http_ms(loaded)
    print(row("POST /v1/predict, 240 KB body", served_ms))
    for name, times_ms in (("fp32", ours_ms), ("bf16", halved_ms), ("served", served_ms)):
        print(f"ratio {name} / plain: {np.median(times_ms) / np.median(peer_ms):.2f}")
    assert np.median(served_ms) < LIMIT_MS, f"over {LIMIT_MS} ms"


def recorded_segments() -> np.ndarray:
    """Give `(2, 12, 2500)` float32 of the recording that ships inside pydicom."""
    return prepare_ecg_fm(recording_500_hz(), 500.0, STANDARD_LEADS)


def over_http_ms(loaded: LoadedModel) -> list[float]:
    """The same model saved, and served by `ecg-serve up --model`."""
    sent = body()
    with tempfile.TemporaryDirectory() as folder:
        EcgFmForSequenceClassification.from_network(loaded.model).save_pretrained(folder)
        os.environ["ECG_MODEL_CPUS"] = str(THREADS)
        with (
            running_server("--model", folder) as (url, _, _),
            httpx2.Client(base_url=url, headers=HEADERS, timeout=60) as client,
        ):
            times_ms = []
            for _ in range(TIMES):
                started_s = time.perf_counter()
                response = client.post("/v1/predict", params={"fs_hz": 500}, content=sent)
                times_ms.append((time.perf_counter() - started_s) * 1e3)
                assert response.status_code == 200, response.text
    return times_ms


def full_size_model() -> LoadedModel:
    model = seeded_model(full_size_config(), seed=0)
    sha256 = state_sha256(model)
    return LoadedModel("full-size", sha256[:12], sha256, "seeded", True, model)


if __name__ == "__main__":
    main()
