"""How many replicas, decided from the work that waits."""

from typing import Final

from ray.serve.config import AutoscalingConfig

from serve_app.settings import Settings

__all__ = ["model_scaling", "preprocessor_scaling"]

# Up in seconds, down in minutes: a model replica costs seconds to start.
_PACE: Final = {
    "metrics_interval_s": 1.0,
    "look_back_period_s": 3.0,
    "upscale_delay_s": 1.0,
    "aggregation_function": "max",
}
# Batches are full when a little more than one of them is under way or waiting.
_BATCHES_PER_REPLICA: Final = 1.5
_SEGMENTS_PER_REQUEST: Final = 2


def model_scaling(settings: Settings) -> AutoscalingConfig:
    """For the model: a replica is busy with 1.5 batches of 10 s recordings."""
    requests_per_batch = max(1.0, settings.max_batch_segments / _SEGMENTS_PER_REQUEST)
    return AutoscalingConfig(
        min_replicas=settings.model_min_replicas,
        max_replicas=settings.model_max_replicas,
        target_ongoing_requests=_BATCHES_PER_REPLICA * requests_per_batch,
        downscale_delay_s=settings.downscale_delay_s,
        **_PACE,
    )


def preprocessor_scaling(settings: Settings) -> AutoscalingConfig:
    """For the ingress: half of what a replica takes on at once is its comfortable load."""
    return AutoscalingConfig(
        min_replicas=settings.preprocessor_min_replicas,
        max_replicas=settings.preprocessor_max_replicas,
        target_ongoing_requests=max(1.0, settings.max_ongoing_requests / 2),
        downscale_delay_s=settings.downscale_delay_s,
        **_PACE,
    )
