"""The limb leads that many formats leave out, since two of the six say all.

By Einthoven's law and Goldberger's definition they are linear in leads I and II.
"""

from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["derive_limb_leads"]

Float = TypeVar("Float", bound=np.floating[Any])

# Lead = (of I) * I + (of II) * II.
_WEIGHTS: Final = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}


def derive_limb_leads(
    signal: npt.NDArray[Float], leads: tuple[str, ...]
) -> tuple[npt.NDArray[Float], tuple[str, ...]]:
    """Append III, aVR, aVL and aVF, as far as they are missing, where I and II are there.

    Args:
        signal: ``(leads, samples)``, floating point, in any unit that the leads share; NaN where a
            sample is missing, which a derived lead then misses, too.
        leads: The standard name of each row.

    Returns:
        Signal and names, extended, the derived leads last; as they came where nothing is to add.
    """
    missing = [name for name in _WEIGHTS if name not in leads]
    if not missing or "I" not in leads or "II" not in leads:
        return signal, leads
    limb_leads = signal[[leads.index("I"), leads.index("II")]]
    # A sum of products, not a matrix product: that rounds differently from machine to machine.
    weights = np.array([_WEIGHTS[name] for name in missing], signal.dtype)
    derived = weights[:, :1] * limb_leads[0] + weights[:, 1:] * limb_leads[1]
    return np.concatenate([signal, derived]), (*leads, *missing)
