"""What a decoder found in a file, and the Recording made of it and of the hints."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.derived_leads import derive_limb_leads
from serve_app.decoding.units import Unit, to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import InvalidParameter, InvalidSignal, MissingParameter
from serve_app.recording import STANDARD_LEADS, Recording, make_recording, standard_lead_name

__all__ = ["MAX_LEADS", "Decoded", "missing_parameter", "to_recording"]

MAX_LEADS: Final = 256
_FS_TOLERANCE: Final = 1e-3
_INDEPENDENT: Final = frozenset(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))
_MIN_FS_HZ, _MAX_FS_HZ = 1.0, 100_000.0
_MAX_NAME_LENGTH: Final = 40
_EXAMPLES: Final = {"fs_hz": "fs_hz=500", "units": "units=mV", "leads": "leads=I,II,V1"}


@dataclass(frozen=True)
class Decoded:
    """A file's content, before hints are applied.

    Attributes:
        signal: ``(leads, samples)``, any real dtype; what is missing or not finite stays so.
            Millivolts where `units` is not empty, as stored otherwise.
        fs_hz: Samples a second; None where the file does not say.
        leads: A name for each row; None where the file does not say.
        units: What the file says its samples are in, before they were made millivolts.
        format: Name of the format.
    """

    signal: npt.NDArray[Any]
    fs_hz: float | None
    leads: tuple[str, ...] | None
    units: frozenset[Unit]
    format: str


def to_recording(decoded: Decoded, hints: Hints, limits: Limits, sha256: str) -> Recording:
    """The Recording that file and hints make together.

    Raises:
        MissingParameter: Neither says the sampling rate, or the leads; all that miss are named.
        InvalidParameter: They contradict each other.
        InvalidSignal: No samples, or leads or a sampling rate that cannot be.
        PayloadTooLarge: More samples than `limits` allow.
    """
    limits.check_samples(decoded.signal.size)
    if decoded.signal.shape[0] > MAX_LEADS:
        raise InvalidSignal(f"{decoded.signal.shape[0]} leads; at most {MAX_LEADS} are taken.")
    fs_hz, leads = _sampling_rate(decoded, hints), _lead_names(decoded, hints)
    if fs_hz is None or leads is None:
        needed = {"fs_hz": fs_hz, "leads": leads}
        raise missing_parameter(decoded.format, *[k for k, v in needed.items() if v is None])
    signal, leads = _with_limb_leads(_millivolts(decoded, hints), leads)
    return make_recording(
        signal,
        fs_hz=fs_hz,
        leads=leads,
        format=decoded.format,
        sha256=sha256,
        units_assumed=not decoded.units and hints.units is None,
    )


def _with_limb_leads(
    signal: npt.NDArray[Any], leads: tuple[str, ...]
) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """All twelve leads, where a file holds the eight that determine them, in whatever format."""
    names = tuple(standard_lead_name(name) for name in leads)
    if not set(names) >= _INDEPENDENT:
        return signal, leads
    return derive_limb_leads(signal.astype(np.float32, copy=False), names)


def missing_parameter(format_name: str, *names: str) -> MissingParameter:
    """The error for what a file of this format does not say."""
    query = "&".join(_EXAMPLES[name] for name in names)
    return MissingParameter(
        f"This {format_name} recording does not say {' and '.join(names)}.",
        hint=f"Add what fits the recording, for example ?{query}.",
        extra={"parameters": list(names)},
    )


def _sampling_rate(decoded: Decoded, hints: Hints) -> float | None:
    said, hint = decoded.fs_hz, hints.fs_hz
    if hint is not None and not (math.isfinite(hint) and hint > 0):
        raise InvalidParameter("fs_hz must be a positive number of samples a second.")
    if said is None:
        said, hint = hint, None
    if said is None:
        return None
    if not _MIN_FS_HZ <= said <= _MAX_FS_HZ:
        raise InvalidSignal(
            f"A sampling rate of {said:g} Hz is impossible for an electrocardiogram."
        )
    if hint is not None and abs(hint - said) > _FS_TOLERANCE * said:
        raise InvalidParameter(
            f"fs_hz={hint:g} contradicts the recording, which says {said:g} Hz.",
            hint="Leave fs_hz out: the format says it.",
        )
    return said


def _millivolts(decoded: Decoded, hints: Hints) -> npt.NDArray[Any]:
    if decoded.units:
        if hints.units is not None and hints.units not in decoded.units:
            raise InvalidParameter(
                f"units={hints.units} contradicts the recording, "
                f"which says {', '.join(sorted(decoded.units))}.",
                hint="Leave units out: the format says them.",
            )
        return decoded.signal
    if hints.units in {None, "mV"}:
        return decoded.signal
    return to_mv(decoded.signal.astype(np.float64), "uV")


def _lead_names(decoded: Decoded, hints: Hints) -> tuple[str, ...] | None:
    rows = decoded.signal.shape[0]
    if not hints.leads:
        if decoded.leads is None:
            return STANDARD_LEADS if rows == len(STANDARD_LEADS) else None
        return tuple(_clean(name, i) for i, name in enumerate(decoded.leads))
    if len(hints.leads) != rows:
        raise InvalidParameter(
            f"leads names {len(hints.leads)} leads, the recording holds {rows} signals.",
            hint="Name every signal once, in the order of the file.",
        )
    if decoded.leads is not None:
        _check_agreement(decoded.leads, hints.leads)
    return tuple(_clean(name, i) for i, name in enumerate(hints.leads))


def _check_agreement(said: tuple[str, ...], hint: tuple[str, ...]) -> None:
    """A hint may name what the file calls "ECG", not turn lead II into lead I."""
    for file_name, hint_name in zip(said, hint, strict=True):
        standard = standard_lead_name(file_name)
        if standard in STANDARD_LEADS and standard != standard_lead_name(hint_name):
            raise InvalidParameter(
                f"leads contradicts the recording, where that signal is {standard}.",
                hint="Leave leads out: the format names them.",
            )


def _clean(name: str, index: int) -> str:
    """A lead's name fit for results and logs: printable and short."""
    printable = "".join(c for c in name if c.isprintable()).strip()
    return printable[:_MAX_NAME_LENGTH] or f"lead {index + 1}"
