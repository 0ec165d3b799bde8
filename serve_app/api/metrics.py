"""Prometheus series of this ingress replica."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from serve_app.engine.entries import RegistryCounts
from serve_app.explanations import Explanation
from serve_app.reporting import Scored
from serve_app.results import Embedding, Result

__all__ = ["Metrics"]

_OF_MODELS: Final = {
    "loaded": "Models in memory, over all model replicas that run.",
    "loads": "Models brought into memory since these replicas started.",
    "failures": "Loads that failed since these replicas started.",
    "evictions": "Models dropped for others since these replicas started.",
}
_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Counts and times; labels are routes, statuses and formats, never anything of a recording."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "ecg_http_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self._duration = Histogram(
            "ecg_http_request_duration_seconds",
            "From the first byte in to the last byte out.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stage = Histogram(
            "ecg_stage_duration_seconds",
            "Where a recording's time goes.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._recordings = Counter(
            "ecg_recordings", "Recordings answered.", ["format"], registry=self._registry
        )
        self._degraded = Counter(
            "ecg_degraded",
            "Recordings answered without what was asked for.",
            ["how"],
            registry=self._registry,
        )
        self.streams = Gauge("ecg_streams", "Live streams that are open.", registry=self._registry)
        # Gauges, since they are told by others and fall when one of those is lost.
        self._models = {
            name: Gauge(f"ecg_models_{name}", text, registry=self._registry)
            for name, text in _OF_MODELS.items()
        }

    def observe_request(self, route: str, status: int, duration_s: float) -> None:
        """Count and time one request."""
        self._requests.labels(route, status).inc()
        self._duration.labels(route).observe(duration_s)

    def observe_result(self, result: Result | Embedding | Explanation | Scored) -> None:
        """Count one recording and time its stages."""
        self._recordings.labels(result.recording.format).inc()
        if isinstance(result, Result) and result.degraded:
            self._degraded.labels(result.degraded).inc()
        for stage, duration_ms in result.timing_ms:
            self._stage.labels(stage).observe(duration_ms / 1e3)

    def observe_format(self, format_: str) -> None:
        """Count one recording that is answered in lines."""
        self._recordings.labels(format_).inc()

    def observe_models(self, counts: RegistryCounts) -> None:
        """What the model replicas tell of themselves."""
        for name, gauge in self._models.items():
            gauge.set(getattr(counts, name))

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
