"""Gaussian waves of the heart's dipole, and how a train of them becomes a signal.

McSharry, Clifford, Tarassenko, Smith, "A dynamical model for generating synthetic
electrocardiogram signals", IEEE Trans Biomed Eng 2003; 50: 289-294, puts Gaussian waves on the
phase of the heart's cycle. Sameni and others (2007, see ``leads``) give each wave a vector, so that
one dipole makes all leads. Here a wave's place is kept as a time from the R peak, which is its
phase times RR / 2 pi; the repolarisation is moved with RR as the QT interval moves.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Waves", "join_waves", "render", "waves"]

Floats = npt.NDArray[np.float64]

_REACH = 4.5  # widths; what lies beyond is below 0.1 uV


@dataclass(frozen=True)
class Waves:
    """Gaussian waves around one moment.

    Attributes:
        at_s: ``(waves,)`` centres, seconds after that moment.
        width_s: ``(waves,)`` standard deviations, seconds.
        vector_mv: ``(waves, 3)`` peak dipoles, in Frank's axes.
    """

    at_s: Floats
    width_s: Floats
    vector_mv: Floats

    def scaled(self, factor: float | Floats) -> "Waves":
        """The same at another amplitude; ``(3,)`` scales each axis."""
        return Waves(self.at_s, self.width_s, self.vector_mv * factor)

    def stretched(self, factor: float, about_s: float = 0.0) -> "Waves":
        """The same, slower by a factor about a moment."""
        return Waves(
            about_s + (self.at_s - about_s) * factor, self.width_s * factor, self.vector_mv
        )

    def shifted(self, by_s: float) -> "Waves":
        """The same, later."""
        return Waves(self.at_s + by_s, self.width_s, self.vector_mv)

    def turned(self, rotation: Floats) -> "Waves":
        """The same from a turned heart; ``rotation`` is ``(3, 3)``."""
        return Waves(self.at_s, self.width_s, self.vector_mv @ rotation.T)


def waves(*rows: tuple[float, float, tuple[float, float, float]]) -> Waves:
    """Waves from rows of (milliseconds, width in milliseconds, vector in mV)."""
    return Waves(
        np.array([row[0] for row in rows]) / 1000.0,
        np.array([row[1] for row in rows]) / 1000.0,
        np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 3),
    )


def join_waves(*parts: Waves) -> Waves:
    """All waves of several, around the same moment."""
    return Waves(
        np.concatenate([part.at_s for part in parts]),
        np.concatenate([part.width_s for part in parts]),
        np.concatenate([part.vector_mv for part in parts]),
    )


def render(events: Iterable[tuple[float, Waves]], samples: int, fs_hz: float) -> Floats:
    """The dipole of waves around many moments.

    Args:
        events: (seconds, waves); what lies outside the signal is cut.
        samples: Length of the signal.
        fs_hz: Its sampling rate.

    Returns:
        ``(3, samples)`` millivolts.
    """
    dipole = np.zeros((3, samples))
    for moment_s, shape in events:
        if not len(shape.at_s):
            continue
        centres = moment_s + shape.at_s
        first = int(max(0.0, np.floor((centres - _REACH * shape.width_s).min() * fs_hz)))
        last = int(min(samples, np.ceil((centres + _REACH * shape.width_s).max() * fs_hz) + 1))
        if first >= last:
            continue
        t = np.arange(first, last) / fs_hz
        bells = np.exp(-0.5 * ((t - centres[:, None]) / shape.width_s[:, None]) ** 2)
        dipole[:, first:last] += shape.vector_mv.T @ bells
    return dipole
