"""Limb leads that a file leaves out because two others determine them."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["derive_limb_leads"]

# Shares of I and II: Einthoven's law, and Goldberger's leads written out in it.
_SHARES: Final = {
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}


def derive_limb_leads(
    signal: npt.NDArray[np.floating[Any]], leads: tuple[str, ...]
) -> tuple[npt.NDArray[np.floating[Any]], tuple[str, ...]]:
    """Add III, aVR, aVL and aVF where they are missing and I and II are there.

    III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2 (exact, whatever the
    electrodes' contact).

    Args:
        signal: ``(leads, samples)``, any unit.
        leads: A name for each row, in the standard spelling.

    Returns:
        Signal and names with the derived rows at the end, of the same dtype; both as they came
        where nothing can or need be added.
    """
    missing = [name for name in _SHARES if name not in leads]
    if not missing or not {"I", "II"} <= set(leads):
        return signal, leads
    limbs = signal[[leads.index("I"), leads.index("II")]]
    derived = np.array([_SHARES[name] for name in missing], signal.dtype) @ limbs
    return np.concatenate([signal, derived]), (*leads, *missing)
