"""One decoded recording, whatever file it came from."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.errors import InvalidSignal

__all__ = ["STANDARD_LEADS", "Recording", "lead_list", "make_recording", "standard_lead_name"]

STANDARD_LEADS: Final = (
    *("I", "II", "III", "aVR", "aVL", "aVF"),
    *("V1", "V2", "V3", "V4", "V5", "V6"),
)
_BY_FOLDED_NAME: Final = {
    **{name.casefold(): name for name in STANDARD_LEADS},
    "di": "I",
    "dii": "II",
    "diii": "III",  # as written in Spanish and Portuguese
}
_PREFIXES: Final = ("lead ", "lead_", "lead-", "lead", "ecg ", "ecg_", "mdc_ecg_lead_", "ekg ")


@dataclass(frozen=True)
class Recording:
    """A recording as the rest of the product sees it.

    Attributes:
        signal_mv: ``(leads, samples)`` float32, C-contiguous, read-only, millivolts.
        fs_hz: Samples a second.
        leads: A name for each row; the standard leads first, in the standard order.
        format: What it was decoded from, such as ``"wfdb"``.
        sha256: Of the bytes as they were sent.
        units_assumed: True where nothing said the units, so millivolts were taken.
    """

    signal_mv: npt.NDArray[np.float32]
    fs_hz: float
    leads: tuple[str, ...]
    format: str
    sha256: str
    units_assumed: bool = False

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.signal_mv.shape[1] / self.fs_hz)

    @property
    def missing_leads(self) -> tuple[str, ...]:
        """The standard leads that the recording does not have."""
        return tuple(name for name in STANDARD_LEADS if name not in self.leads)


def standard_lead_name(name: str) -> str:
    """The standard spelling of a lead's name (``"avr"``, ``"Lead aVR"`` -> ``"aVR"``).

    A name that is no standard lead (``"MLII"``, ``"V3R"``) is kept, stripped.
    """
    folded = name.strip().casefold()
    for prefix in _PREFIXES:
        stripped = folded.removeprefix(prefix)
        if stripped != folded and stripped in _BY_FOLDED_NAME:
            return _BY_FOLDED_NAME[stripped]
    return _BY_FOLDED_NAME.get(folded, name.strip())


def lead_list(leads: Iterable[str]) -> str:
    """Names for a message: "I, II", and those in quotes that would read as several."""
    return ", ".join(
        json.dumps(lead, ensure_ascii=False) if re.search(r'[\s,"]', lead) else lead
        for lead in leads
    )


def make_recording(
    signal_mv: npt.ArrayLike,
    *,
    fs_hz: float,
    leads: tuple[str, ...] | list[str],
    format: str,  # noqa: A002 - the field's own word, and the Result's
    sha256: str,
    units_assumed: bool = False,
) -> Recording:
    """A Recording in standard form: names, order, dtype; its array is made read-only.

    Args:
        signal_mv: ``(leads, samples)``, millivolts, any real dtype.
        fs_hz: Samples a second, > 0.
        leads: A name for each row, in any known spelling.
        format: Name of the source format.
        sha256: Hex digest of the bytes as they were sent.
        units_assumed: Whether millivolts were taken for want of a unit.

    Raises:
        InvalidSignal: No samples, names that do not fit the rows, a lead named twice, or a
            sampling rate that is not a positive number.
    """
    signal = np.asarray(signal_mv)
    if signal.ndim != 2 or signal.size == 0:
        raise InvalidSignal("The recording holds no samples.")
    if len(leads) != signal.shape[0]:
        raise InvalidSignal(
            f"{signal.shape[0]} signals but {len(leads)} lead names.",
            hint="Name every lead once, in the order of the signals.",
        )
    if not (np.isfinite(fs_hz) and fs_hz > 0):
        raise InvalidSignal(
            f"A sampling rate of {fs_hz} Hz is impossible.", hint="Give fs_hz in samples a second."
        )
    names = _distinct_names([standard_lead_name(name) for name in leads])
    order = _standard_order(names)
    ordered = np.ascontiguousarray(signal.astype(np.float32, copy=False)[order])
    ordered.flags.writeable = False
    return Recording(
        signal_mv=ordered,
        fs_hz=float(fs_hz),
        leads=tuple(names[i] for i in order),
        format=format,
        sha256=sha256,
        units_assumed=units_assumed,
    )


def _distinct_names(names: list[str]) -> list[str]:
    """Number what is repeated ("ECG", "ECG 2"); a standard lead twice is an error, not a guess."""
    repeated = sorted({name for name in names if name in STANDARD_LEADS and names.count(name) > 1})
    if repeated:
        raise InvalidSignal(
            f"Leads named more than once: {', '.join(repeated)}.", hint="Name every lead once."
        )
    distinct: list[str] = []
    for i, name in enumerate(names):
        nth = names[: i + 1].count(name)
        distinct.append(name if nth == 1 else f"{name} {nth}")
    return distinct


def _standard_order(names: list[str]) -> list[int]:
    standard = [names.index(lead) for lead in STANDARD_LEADS if lead in names]
    return standard + [i for i, name in enumerate(names) if name not in STANDARD_LEADS]
