"""Leads: from a cardiac dipole and from electrodes to the 12 standard leads.

Axes of the dipole are Frank's: x to the patient's left, y to the feet, z to the back.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["DOWER", "ELECTRODES", "body_field", "from_electrodes", "project", "twelve_leads"]

Floats = npt.NDArray[np.float64]

# Leads I, II, V1 to V6 from X, Y, Z: Dower, Machado, Osborne, "On deriving the electrocardiogram
# from vectorcardiographic leads", Clin Cardiol 1980; 3: 87-95.
DOWER: Final[Floats] = np.array(
    [
        (0.632, -0.235, 0.059),
        (0.235, 1.066, -0.132),
        (-0.515, 0.157, -0.917),
        (0.044, 0.164, -1.387),
        (0.882, 0.098, -1.277),
        (1.213, 0.127, -0.601),
        (1.125, 0.127, -0.086),
        (0.831, 0.076, 0.230),
    ]
)
ELECTRODES: Final = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")


def twelve_leads(eight: Floats) -> Floats:
    """The 12 standard leads from I, II, V1 to V6, by Einthoven's and Goldberger's definitions.

    Args:
        eight: ``(8, ...)``, in that order.

    Returns:
        ``(12, ...)`` in the standard order.
    """
    i, ii = eight[0], eight[1]
    iii = ii - i
    limb = np.stack([i, ii, iii, -(i + ii) / 2, (i - iii) / 2, (ii + iii) / 2])
    return np.concatenate([limb, eight[2:]])


def project(dipole_mv: Floats, field: Floats) -> Floats:
    """Leads that a dipole gives: ``(3, samples)`` and a lead field ``(8, 3)`` to ``(12, samples)``.

    The lifted form of Sameni, Clifford, Jutten, Shamsollahi, "Multichannel ECG and noise modeling",
    EURASIP J Adv Signal Process 2007: 043407.
    """
    return twelve_leads(field @ dipole_mv)


def body_field(rng: np.random.Generator, spread: float = 0.12) -> Floats:
    """A lead field of another body: Dower's, with chest electrodes moved and every entry varied.

    Args:
        rng: Drawn from.
        spread: Relative standard deviation; 0 gives Dower's own.

    Returns:
        ``(8, 3)``.
    """
    field = DOWER.copy()
    # An electrode that lies off its place sees a little of what its neighbour should see.
    shift = np.clip(rng.normal(0.0, 2.0 * spread, 6), -0.8, 0.8)
    chest = DOWER[2:]
    neighbour = np.where(shift[:, None] > 0, np.roll(chest, -1, axis=0), np.roll(chest, 1, axis=0))
    neighbour[0], neighbour[-1] = chest[1], chest[-2]
    field[2:] += np.abs(shift[:, None]) * (neighbour - chest)
    size = np.abs(field).max(axis=1, keepdims=True)
    return np.asarray(field + rng.normal(0.0, spread / 2, field.shape) * size)


def from_electrodes(potentials_mv: Floats) -> Floats:
    """Leads from potentials of the electrodes, ``(9, samples)`` as ELECTRODES to ``(12, samples)``.

    Chest leads are against Wilson's central terminal, the mean of RA, LA and LL.
    """
    ra, la, ll = potentials_mv[:3]
    chest = potentials_mv[3:] - (ra + la + ll) / 3
    return twelve_leads(np.concatenate([[la - ra, ll - ra], chest]))
