"""Segments with their labels: simulated ones without end, and those of real recordings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.model.labels import LABELS
from serve_app.preprocessing import MODEL_FS_HZ, SEGMENT_S, prepare
from serve_app.recording import Recording
from serve_app.simulation import draw_scenario, simulate

from .databases import Labelled

__all__ = ["SEGMENTS", "Examples", "real_examples", "simulated_examples"]

SEGMENTS: Final = 2  # of a recording, 10 s
_RATES_HZ: Final = (500.0, 500.0, 500.0, 400.0, 250.0, 1000.0)


@dataclass(frozen=True)
class Examples:
    """Recordings cut into segments as the model is served them.

    Attributes:
        segments: ``(recordings, 2, 12, 2500)`` float16: three digits do for training.
        truth: ``(recordings, 2, 17)`` float32; NaN where nothing is known.
    """

    segments: npt.NDArray[np.float16]
    truth: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def joined_truth(self) -> npt.NDArray[np.float32]:
        """``(recordings, 17)``: there if it is there in any segment."""
        return np.asarray(self.truth.max(axis=1))


def simulated_examples(count: int, seed: int) -> Examples:
    """Simulated recordings of random scenarios.

    Args:
        count: How many.
        seed: Of the first; each has its own, so that any one can be simulated again.
    """
    segments = np.empty((count, SEGMENTS, 12, int(SEGMENT_S * MODEL_FS_HZ)), np.float16)
    truth = np.empty((count, SEGMENTS, len(LABELS)), np.float32)
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        simulated = simulate(
            draw_scenario(rng),
            seed=int(rng.integers(2**62)),
            fs_hz=float(rng.choice(_RATES_HZ)),
            duration_s=SEGMENTS * SEGMENT_S,
        )
        segments[i] = prepare(simulated.recording).segments
        for part in range(SEGMENTS):
            start_s = part * SEGMENT_S
            truth[i, part] = simulated.labels_between(start_s, start_s + SEGMENT_S)
    return Examples(segments, truth)


def real_examples(labelled: Sequence[Labelled], shift_s: float = 0.0) -> Examples:
    """Real recordings; one that is too short for two segments is repeated.

    Args:
        labelled: The recordings; each label is said of the whole of it.
        shift_s: Seconds left out at the begin, where as much is to spare.
    """
    return Examples(
        np.stack([_two_segments(each.recording, shift_s) for each in labelled]),
        np.stack([np.tile(each.truth, (SEGMENTS, 1)) for each in labelled]),
    )


def _two_segments(recording: Recording, shift_s: float) -> npt.NDArray[np.float16]:
    spare_s = max(0.0, recording.duration_s - SEGMENT_S)
    first = int(min(shift_s, spare_s) * recording.fs_hz)
    found = prepare(replace(recording, signal_mv=recording.signal_mv[:, first:])).segments
    return np.asarray(np.resize(found, (SEGMENTS, *found.shape[1:])), dtype=np.float16)
