"""The media types that a Result can be had in, and how it is brought into each."""

import asyncio
import io
from typing import Final

import numpy as np

from serve_app import rendering
from serve_app.api.declarations import JSON, NPY
from serve_app.errors import ModelUnavailable
from serve_app.pipeline import Answered
from serve_app.results import Result

__all__ = ["OF_ANALYSES", "OF_PREDICTIONS", "represent"]

OF_ANALYSES: Final = (JSON, *rendering.MEDIA_TYPES)
# After JSON, so that `*/*` and `application/*` take JSON.
OF_PREDICTIONS: Final = (JSON, NPY, *rendering.MEDIA_TYPES)


async def represent(answered: Answered, media_type: str) -> bytes:
    """The result as bytes of ``media_type``, one of those above.

    Raises:
        ModelUnavailable: An array of probabilities is asked for, and no model gave any.
        EcgServeError: As ``rendering.render``.
    """
    if media_type == JSON:
        return answered.result.to_json()
    if media_type == NPY:
        return _probabilities(answered.result)
    return await asyncio.to_thread(
        rendering.render, answered.result, answered.recording, media_type
    )


def _probabilities(result: Result) -> bytes:
    """``(segments, labels)`` float32 in NumPy's file format."""
    if not result.segments:
        raise ModelUnavailable("The model does not answer, and there is no array without it.")
    file = io.BytesIO()
    rows = [segment.probabilities for segment in result.segments]
    np.save(file, np.array(rows, np.float32), allow_pickle=False)
    return file.getvalue()
