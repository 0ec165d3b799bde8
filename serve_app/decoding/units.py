"""Units of electric potential, and millivolts made of them."""

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Unit", "electric_unit", "to_mv"]

Unit = Literal["V", "mV", "uV", "nV"]

_UNITS: Final[dict[str, Unit]] = {
    **dict.fromkeys(("v", "volt", "volts"), "V"),
    **dict.fromkeys(("mv", "millivolt", "millivolts"), "mV"),
    # The micro sign and the Greek letter are two characters; case-folding makes them one.
    **dict.fromkeys(("uv", "\u03bcv", "microvolt", "microvolts"), "uV"),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts"), "nV"),
}
# Divided where the factor is a fraction: 1/1000 has no exact binary form, 1000 has.
_PER_MV: Final[dict[Unit, float]] = {"mV": 1.0, "uV": 1e3, "nV": 1e6}


def electric_unit(text: str) -> Unit | None:
    """The unit in its usual spelling; None for mmHg and all else that is no potential."""
    return _UNITS.get(text.strip().casefold())


def to_mv(values: npt.NDArray[np.floating], unit: Unit) -> npt.NDArray[np.floating]:
    """Values in `unit` as millivolts, of the same dtype."""
    if unit == "mV":
        return values
    return values * 1e3 if unit == "V" else values / _PER_MV[unit]
