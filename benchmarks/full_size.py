"""A full-size ECG-FM (seeded weights, fp32) on one 10 s recording: two segments, two threads."""

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.reporting import print_header, row
from serve_app.engine.torch_engine import TorchEngine
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.demo import full_size_config, seeded_model, state_sha256

TIMES, THREADS = 15, 2
LIMIT_MS = 2000.0


def main() -> None:
    print_header(f"Full-size ECG-FM, fp32, {THREADS} threads, one 10 s recording (2 segments)")
    loaded = full_size_model()
    parameters = sum(tensor.numel() for tensor in loaded.model.parameters())
    engine = TorchEngine(loaded, threads=THREADS)
    engine.warm()
    segments = np.random.default_rng(0).standard_normal((2, 12, 2500), np.float32)
    batch = torch.from_numpy(segments)
    with torch.inference_mode():
        reference = loaded.model(batch)[0].numpy()
    difference = float(np.abs(engine.predict(segments).logits - reference).max())
    assert difference < 1e-4, difference

    ours_ms, peer_ms = [], []
    with torch.inference_mode():
        for _ in range(TIMES):
            ours_ms.append(timed_ms(lambda: engine.predict(segments)))
            peer_ms.append(timed_ms(lambda: loaded.model(batch)))
    print(f"{parameters / 1e6:.2f} M parameters, max |difference of logits| {difference:.1e}")
    print(row("engine (weight norm folded)", ours_ms))
    print(row("plain torch forward of the same weights (peer)", peer_ms))
    print(f"ratio engine / plain: {np.median(ours_ms) / np.median(peer_ms):.2f}")
    assert np.median(ours_ms) < LIMIT_MS, f"over {LIMIT_MS} ms"


def timed_ms(call: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    call()
    return (time.perf_counter() - started_s) * 1e3


def full_size_model() -> LoadedModel:
    model = seeded_model(full_size_config(), seed=0)
    sha256 = state_sha256(model)
    return LoadedModel("full-size", sha256[:12], sha256, "seeded", True, model)


if __name__ == "__main__":
    main()
