"""LabelledSet -> the joined scores of its recordings, by the way they are served.

Decoded, prepared and scored as a request is; segments of several recordings share a batch. Scores
are kept, signals are not: a set may be larger than the memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serve_app.decoding import Hints, Limits, decode_path
from serve_app.decoding.upload import DEFAULT_LIMITS, NO_HINTS
from serve_app.engine.protocol import Engine
from serve_app.errors import EcgServeError, NotFound
from serve_app.model.labels import join_segments
from serve_app.preprocessing import MissingLeads, check, prepare

__all__ = ["Failure", "Reading", "Scored", "score_recordings"]

Segments = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """How recordings are read.

    Args:
        hints: What their formats may not say.
        missing_leads: As for a request.
        limits: Of their size.
        batch_segments: Segments that are scored at a time, of as many recordings as it takes.
    """

    hints: Hints = NO_HINTS
    missing_leads: MissingLeads = "refuse"
    limits: Limits = DEFAULT_LIMITS
    batch_segments: int = 32


@dataclass(frozen=True)
class Scored:
    """One recording's joined scores, (labels,) float32, and its place in the set."""

    index: int
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Failure:
    """One recording that could not be scored."""

    index: int
    error: EcgServeError


def score_recordings(
    paths: Iterable[Path], engine: Engine, reading: Reading
) -> Iterator[Scored | Failure]:
    """Score recordings one after the other; what cannot be read is told in its place.

    Args:
        paths: Of the recordings; without a suffix, of a WFDB record.
        engine: Loaded.
        reading: How they are read.

    Yields:
        One item a recording, failures ahead of the batch they would have been in.
    """
    waiting: list[tuple[int, Segments]] = []
    for index, path in enumerate(paths):
        try:
            waiting.append((index, _segments(path, reading)))
        except EcgServeError as error:
            yield Failure(index, error)
        if sum(len(segments) for _, segments in waiting) >= reading.batch_segments:
            yield from _score(waiting, engine)
            waiting.clear()
    if waiting:
        yield from _score(waiting, engine)


def _segments(path: Path, reading: Reading) -> Segments:
    try:
        recording = decode_path(_with_header(path), reading.hints, reading.limits)
    except OSError as error:
        raise NotFound(
            f"The file cannot be read: {error.strerror}.", hint="Check the path."
        ) from error
    check(recording)
    return prepare(recording, reading.missing_leads).segments


def _with_header(path: Path) -> Path:
    """Tables of public data name WFDB records without the suffix of their header."""
    header = path.with_name(f"{path.name}.hea")
    return header if not path.is_file() and header.is_file() else path


def _score(waiting: list[tuple[int, Segments]], engine: Engine) -> Iterator[Scored]:
    scores = engine.predict(np.concatenate([segments for _, segments in waiting]))
    first = 0
    for index, segments in waiting:
        last = first + len(segments)
        own = scores.probabilities[first:last]
        yield Scored(index, join_segments(own, engine.info.labels))
        first = last
