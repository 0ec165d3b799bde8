"""Beats whose shape is not the usual one."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from .candidates import Voices, read_shapes
from .curves import Curves

# Beats that share one usual shape: the heart's axis moves with posture and breath.
TOGETHER = 64
LEAST = 4
ALIKE = 0.75


def unlike_the_usual(curves: Curves, voices: Voices, places: NDArray[np.int64]) -> list[bool]:
    """Mark the beats that correlate by less than 0.75 with the average of the beats around them.

    The average is taken twice, the second time without the marked ones. Where more than half would
    be marked, there is no usual shape and none is.
    """
    shapes = read_shapes(curves, voices, places).astype(np.float64)
    if not voices.voters or len(places) < LEAST:
        return [False] * len(places)
    groups = -(-len(places) // TOGETHER)
    edges = np.arange(groups + 1) * len(places) // groups
    pairs = itertools.pairwise(edges)
    marks = np.concatenate([_marked(shapes[start:end]) for start, end in pairs])
    return [bool(mark) for mark in marks]


def _marked(shapes: NDArray[np.float64]) -> NDArray[np.bool_]:
    marks = np.zeros(len(shapes), dtype=bool)
    for _ in range(2):
        usual = np.add.accumulate(np.vstack([np.zeros(shapes.shape[1]), shapes[~marks]]))[-1]
        marks = shapes @ usual < ALIKE * np.sqrt(usual @ usual)
    return marks if 2 * marks.sum() <= len(marks) else np.zeros(len(marks), dtype=bool)
