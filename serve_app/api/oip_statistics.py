"""How often this replica asked each model by the Open Inference Protocol, and how long it took."""

import time
from dataclasses import dataclass
from typing import Any

from serve_app.api.oip_tensors import InferAnswer

__all__ = ["ModelStatistics", "Statistics"]


@dataclass
class ModelStatistics:
    """Of one revision of a model; nanoseconds are sums.

    Attributes:
        requests: Answered.
        rows: Recordings, or segments that were sent as such.
        success_ns: Within this replica, from the whole request to the whole answer.
        queue_ns: Until the model began.
        infer_ns: The model's own.
        last_ms: When the last one was answered, milliseconds of the epoch.
    """

    requests: int = 0
    rows: int = 0
    success_ns: int = 0
    queue_ns: int = 0
    infer_ns: int = 0
    last_ms: int = 0

    def described(self, name: str, version: str) -> dict[str, Any]:
        """As the protocol's extension has it; what is not measured is left out."""
        durations = {
            "success": self.success_ns,
            "queue": self.queue_ns,
            "compute_infer": self.infer_ns,
        }
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_ms,
            "inference_count": self.rows,
            "execution_count": self.requests,
            "inference_stats": {
                stage: {"count": self.requests, "ns": ns} for stage, ns in durations.items()
            },
            "batch_stats": [],
        }


class Statistics:
    """Of all models; used from one event loop."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], ModelStatistics] = {}

    def count(self, answer: InferAnswer, started_s: float) -> None:
        """Count one answer, on which work began at ``started_s`` of ``time.perf_counter``."""
        kept = self._of.setdefault((answer.model, answer.version), ModelStatistics())
        kept.requests += 1
        kept.rows += answer.rows
        kept.success_ns += int((time.perf_counter() - started_s) * 1e9)
        kept.queue_ns += int(answer.queue_ms * 1e6)
        kept.infer_ns += int(answer.inference_ms * 1e6)
        kept.last_ms = int(time.time() * 1e3)

    def of(self, name: str, version: str) -> dict[str, Any]:
        """Of one model, zeros where it was not asked yet."""
        return self._of.get((name, version), ModelStatistics()).described(name, version)
