"""The model replica's batching against plain `@serve.batch`, on a real Ray under Poisson load.

An engine that takes 50 ms a batch of up to 8, whatever is in it: 160 requests a second at most.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from benchmarks.reporting import print_header
from deployments.local import set_flags
from serve_app.engine.protocol import Scores
from serve_app.engine.registry import ModelRegistry

BATCH, BATCH_S = 8, 0.05
RATES_HZ, SECONDS = (60, 120, 150), 15.0


class FixedTimeEngine:
    """Takes as long for one segment as for a full batch, as an accelerator nearly does."""

    info = SimpleNamespace(name="fixed", sha256="")

    def warm(self) -> None:
        """Nothing to warm."""

    def predict(self, segments: np.ndarray) -> Scores:
        time.sleep(BATCH_S)
        zeros = np.zeros((len(segments), 17), np.float32)
        return Scores(zeros, zeros, np.full((len(segments), 1), len(segments), np.float32))


@dataclass(frozen=True)
class Load:
    """What one run of arrivals came to."""

    served_hz: float
    p50_ms: float
    p99_ms: float
    mean_batch: float


def deployments():
    from ray import serve

    from deployments.ecg_fm import EcgFm, LocalModel

    class PlainBatch:
        """`@serve.batch` with a 10 ms wait whose handler awaits a thread."""

        def __init__(self) -> None:
            self._engine = FixedTimeEngine()

        async def predict(self, segments):
            return await self._collect(segments)

        @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.01)
        async def _collect(self, requests):
            merged = np.concatenate(requests)
            scores = await asyncio.to_thread(self._engine.predict, merged)
            return [scores[i : i + 1] for i in range(len(requests))]

    options = {"max_ongoing_requests": 1000, "ray_actor_options": {"num_cpus": 0.5}}
    return {
        "plain @serve.batch, 10 ms (peer)": serve.deployment(PlainBatch, **options).bind(),
        "EcgFm: @serve.batch and gate": serve.deployment(EcgFm, **options).bind(
            lambda: LocalModel(ModelRegistry.of_engine(FixedTimeEngine), BATCH), BATCH
        ),
    }


async def handle_of(name: str):
    from ray import serve

    return serve.get_app_handle(name)


async def poisson_load(handle, rate_hz: float) -> Load:
    segment = np.zeros((1, 12, 2500), np.float32)
    rng = np.random.default_rng(7)
    arrivals_s = np.cumsum(rng.exponential(1 / rate_hz, int(rate_hz * SECONDS)))
    latencies_ms, batches = [], []

    async def one(at_s: float) -> None:
        await asyncio.sleep(max(0.0, started_s + at_s - time.perf_counter()))
        sent_s = time.perf_counter()
        answer = await handle.predict.remote(segment)
        latencies_ms.append((time.perf_counter() - sent_s) * 1e3)
        scores = getattr(answer, "scores", answer)
        batches.append(float(scores.embeddings[0, 0]))

    started_s = time.perf_counter()
    await asyncio.gather(*(one(at_s) for at_s in arrivals_s))
    spent_s = time.perf_counter() - started_s
    p50_ms, p99_ms = np.percentile(latencies_ms, [50, 99])
    # Each request names its batch's size; the mean over batches weighs by 1 / size.
    return Load(len(batches) / spent_s, p50_ms, p99_ms, len(batches) / sum(1 / b for b in batches))


def main() -> None:
    set_flags()
    import ray
    from ray import serve

    print_header(
        f"Poisson arrivals for {SECONDS:.0f} s; {BATCH_S * 1e3:.0f} ms a batch of <= {BATCH}"
    )
    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)
    ray.init(address="local", include_dashboard=False, log_to_driver=False, num_cpus=2)
    p50s_ms = {}
    loop = asyncio.Runner()  # one for all: a throughput-optimised handle belongs to its loop
    for name, application in deployments().items():
        serve.run(application, name="batching", route_prefix=None)
        handle = loop.run(handle_of("batching"))
        loop.run(poisson_load(handle, 20))  # warm
        for rate_hz in RATES_HZ:
            load = loop.run(poisson_load(handle, rate_hz))
            p50s_ms[name, rate_hz] = load.p50_ms
            print(
                f"{name:<34} {rate_hz:>4}/s  served {load.served_hz:5.0f}/s  "
                f"p50 {load.p50_ms:7.0f} ms  p99 {load.p99_ms:7.0f} ms  "
                f"mean batch {load.mean_batch:.1f}",
                flush=True,
            )
        serve.delete("batching")
    peer, ours = dict.fromkeys(name for name, _ in p50s_ms)
    for rate_hz in RATES_HZ:
        ratio = p50s_ms[peer, rate_hz] / p50s_ms[ours, rate_hz]
        print(f"ratio of p50 at {rate_hz}/s, peer / ours: {ratio:.1f}")
    ray.shutdown()


if __name__ == "__main__":
    main()
