"""Results as documents of other kinds."""

from collections.abc import Mapping
from typing import Final

from serve_app.recording import Recording
from serve_app.results import Result

__all__ = ["MEDIA_TYPES", "render"]

MEDIA_TYPES: Final[Mapping[str, str]] = {"text/csv": "csv"}


def render(result: Result, recording: Recording, media_type: str) -> bytes:  # noqa: ARG001
    """The predictions as a table."""
    rows = [f"{each.label},{each.probability},{each.positive}" for each in result.predictions]
    return "\n".join(["label,probability,positive", *rows, ""]).encode()
