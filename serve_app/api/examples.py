"""Small synthetic recordings for the API's description; a test sends each to its endpoint."""

from typing import Any, Final

import numpy as np

__all__ = ["ANALYZE_CSV", "ANALYZE_EXAMPLE", "PREDICT_EXAMPLE"]

_FS_HZ: Final = 100
# (centre after the beat's start, width, amplitude): P, Q, R, S, T of a plain sinus beat.
_WAVES_S_S_MV: Final = (
    (0.20, 0.025, 0.12),
    (0.365, 0.010, -0.10),
    (0.40, 0.012, 1.00),
    (0.435, 0.010, -0.20),
    (0.65, 0.045, 0.30),
)


def _sinus_rhythm(duration_s: float, heart_rate_bpm: float, gain: float) -> list[float]:
    phase_s = (np.arange(int(duration_s * _FS_HZ)) / _FS_HZ) % (60.0 / heart_rate_bpm)
    signal_mv = sum(
        amplitude * np.exp(-0.5 * ((phase_s - centre) / width) ** 2)
        for centre, width, amplitude in _WAVES_S_S_MV
    )
    return [round(float(gain * value), 2) for value in np.asarray(signal_mv)]


def _recording(**gains: float) -> dict[str, Any]:
    leads = {name: _sinus_rhythm(5.0, 72.0, gain) for name, gain in gains.items()}
    return {"fs_hz": _FS_HZ, "units": "mV", "leads": leads}


ANALYZE_EXAMPLE: Final = _recording(II=1.0)
ANALYZE_CSV: Final = "time_s,II\n" + "".join(
    f"{i / _FS_HZ},{value}\n" for i, value in enumerate(ANALYZE_EXAMPLE["leads"]["II"])
)
_AXIS_60_DEGREES: Final = {"I": 0.5, "II": 1.0, "III": 0.5, "aVR": -0.75, "aVL": 0.0, "aVF": 0.75}
_PRECORDIAL: Final = {"V1": -0.4, "V2": 0.3, "V3": 0.8, "V4": 1.2, "V5": 1.1, "V6": 0.8}
PREDICT_EXAMPLE: Final = _recording(**_AXIS_60_DEGREES, **_PRECORDIAL)
