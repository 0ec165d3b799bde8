"""Turn what a caller hands over into what a kernel takes, or refuse it in words that help."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, InvalidSignalError
from .kernel import Signal

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
# With more rows than this, and more rows than columns, the rows are the samples.
MOST_LEADS = 100
# Beyond what any heart does: the unit is another one.
LEAST_RR_MS, MOST_RR_S = 30.0, 60.0
STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
# What `float` would take, and nobody means as a number.
NO_NUMBERS = (bool, np.bool_, str, bytes, bytearray, complex, np.complexfloating, np.ndarray)
# Of the whole machine; without sysconf (Windows) an address space's worth.
MEMORY_BYTES = (
    os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**47
)
# What any acquisition device may use; analysis itself needs 100 to 2000 Hz.
ANY_RATE_HZ = (10.0, 20_000.0)
ANALYSIS_RATE_HZ = (100.0, 2000.0)


def as_signal(signal: Any, what: str = "signal") -> tuple[Signal, int]:
    """Give `signal` as C-contiguous float32 or float64 `(leads, samples)`, and the bytes copied.

    A contiguous float32 or float64 array is used where it lies (0 bytes copied).

    Raises:
        InvalidSignalError: not numeric, empty, masked, or neither one- nor two-dimensional.
    """
    if type(signal) is np.ndarray and _is_ready(signal):
        return signal if signal.ndim == 2 else signal[np.newaxis], 0
    array = _as_array(signal, what)
    if array.dtype.kind not in "fiu":
        raise InvalidSignalError(
            f"{what} must hold real numbers in mV, not {array.dtype}: convert it to float64"
        )
    if array.ndim not in (1, 2):
        raise InvalidSignalError(
            f"{what} must be (samples,) or (leads, samples), not of shape {array.shape}"
        )
    if array.size == 0:
        raise InvalidSignalError(f"{what} is empty: shape {array.shape}")
    if array.ndim == 2 and MOST_LEADS < len(array) > array.shape[1]:
        raise InvalidSignalError(
            f"{what} of shape {array.shape} looks like (samples, leads): transpose it to "
            "(leads, samples)"
        )
    ready, copied = _as_contiguous_float(array)
    return ready if ready.ndim == 2 else ready[np.newaxis], copied


def _is_ready(array: NDArray[Any]) -> bool:
    """Tell the common case quickly: other instances of the two types go the long way."""
    dtype, flags = array.dtype, array.flags
    return (
        (dtype is FLOAT64 or dtype is FLOAT32)
        and flags.c_contiguous
        and flags.aligned
        and 0 < array.ndim < 3
        and array.size > 0
        and (array.ndim == 1 or len(array) <= MOST_LEADS)
    )


def float_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give the type in which samples are worked on: float32 stays, the rest is float64."""
    return FLOAT32 if dtype == FLOAT32 else FLOAT64


def _as_array(signal: Any, what: str) -> NDArray[Any]:
    if isinstance(signal, np.ma.MaskedArray) and np.ma.is_masked(signal):
        raise InvalidSignalError(f"{what} has masked samples: fill short gaps with fill_gaps first")
    try:
        return np.asarray(signal)
    except MemoryError:
        raise
    except Exception as error:
        # An object may raise anything when asked for its array.
        raise InvalidSignalError(f"{what} is not an array of numbers: {error}") from error


def _as_contiguous_float(array: NDArray[Any]) -> tuple[Signal, int]:
    dtype, flags = array.dtype, array.flags
    # Equal in native byte order only.
    keep = dtype in (FLOAT64, FLOAT32)
    if keep and flags.c_contiguous and flags.aligned:
        return array, 0
    copy = np.array(array, dtype=dtype if keep else FLOAT64, order="C", copy=True)
    return copy, copy.nbytes


def as_rr(rr_ms: Any) -> NDArray[np.float64]:
    """Give RR intervals as one-dimensional float64.

    Raises:
        InvalidSignalError: not one-dimensional, a value is not a positive finite number, or half of
            them are shorter than any heart's, as seconds are.
    """
    array = _as_array(rr_ms, "rr_ms")
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise InvalidSignalError(
            f"rr_ms must be a one-dimensional array of intervals in ms, not {array.dtype} of "
            f"shape {array.shape}"
        )
    rr: NDArray[np.float64] = np.ascontiguousarray(array, dtype=np.float64)
    if not bool(np.all(np.isfinite(rr) & (rr > 0))):
        raise InvalidSignalError("rr_ms must hold positive finite intervals: drop the others")
    if rr.size and float(np.median(rr)) < LEAST_RR_MS:
        raise InvalidSignalError(
            f"half of rr_ms is below {LEAST_RR_MS:g} ms: intervals in seconds must be multiplied "
            "by 1000"
        )
    return rr


def as_peaks(r_peaks: Any, samples: int) -> NDArray[np.int64]:
    """Give sample indices, as an analysis tells them.

    Raises:
        InvalidSignalError: not whole numbers in rising order within the signal.
    """
    array = np.asarray(r_peaks)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InvalidSignalError("r_peaks must be a list of sample indices")
    peaks = array.astype(np.int64)
    if peaks.size and (peaks[0] < 0 or peaks[-1] >= samples or (np.diff(peaks) <= 0).any()):
        raise InvalidSignalError(f"r_peaks must rise, within the {samples} samples of the signal")
    return peaks


def as_times(peaks_s: Any) -> NDArray[np.float64]:
    """Give times of beats as one-dimensional float64.

    Raises:
        InvalidSignalError: not one-dimensional, not finite, below zero, not ascending, or further
            apart than any heart's, as sample indices are.
    """
    array = _as_array(peaks_s, "peaks_s")
    if array.ndim != 1 or (array.dtype.kind not in "fiu" and array.size):
        raise InvalidSignalError(
            f"peaks_s must be a one-dimensional array of seconds, not {array.dtype} of "
            f"shape {array.shape}"
        )
    times: NDArray[np.float64] = np.ascontiguousarray(array, dtype=np.float64)
    ascending = np.diff(times, prepend=-1.0) > 0.0
    if not bool(np.all(np.isfinite(times) & ascending)) or bool(np.any(times < 0.0)):
        raise InvalidSignalError("peaks_s must be finite, ascending and not below zero")
    if times.size > 1 and float(np.median(np.diff(times))) > MOST_RR_S:
        raise InvalidSignalError(
            f"beats more than {MOST_RR_S:g} s apart: divide sample indices by the sampling rate"
        )
    return times


def number(value: Any, name: str, low: float, high: float) -> float:
    """Give `value` as a float within [low, high].

    Raises:
        ConfigError: it is not a number, or outside.
    """
    if isinstance(value, NO_NUMBERS):
        raise ConfigError(f"{name} must be a number, not {value!r}")
    try:
        result = float(value)
    except Exception as error:
        raise ConfigError(f"{name} must be a number, not {value!r}") from error
    if not low <= result <= high:
        raise ConfigError(f"{name} must lie in [{low:g}, {high:g}], not {value!r}")
    return result


def integer(value: Any, name: str, low: int, high: int) -> int:
    """Give `value` as an int within [low, high].

    Raises:
        ConfigError: it is not a whole number, or outside.
    """
    try:
        result = operator.index(value)
    except TypeError as error:
        raise ConfigError(f"{name} must be a whole number, not {value!r}") from error
    if isinstance(value, bool) or not low <= result <= high:
        raise ConfigError(f"{name} must be a whole number in {low} to {high}, not {value!r}")
    return result


def sampling_rate(value: Any, name: str = "fs_hz", *, analysis: bool = False) -> float:
    """Give a sampling rate in Hz, within what is plausible (100 to 2000 for analysis).

    Raises:
        ConfigError: it is not a number, or outside.
    """
    return number(value, name, *(ANALYSIS_RATE_HZ if analysis else ANY_RATE_HZ))


def require_room(samples: float, like: Signal, what: str) -> None:
    """Refuse a result that no memory holds: in Rust a failed allocation would end the process.

    Raises:
        ConfigError: it is larger than the memory of this machine.
    """
    size = samples * like.itemsize
    if size > MEMORY_BYTES:
        raise ConfigError(f"{what} would take {size / 1e9:.0f} GB of memory")


def order_of_leads(
    lead_names: Sequence[str], leads: int, *, zero_missing: bool
) -> list[int | None]:
    """Row of each of the 12 standard leads, None for a missing one that is to be zeros.

    Raises:
        InvalidSignalError: names and rows differ in number, a lead is missing or named twice.
    """
    names = _folded_names(lead_names)
    if len(names) != leads:
        raise InvalidSignalError(
            f"{len(names)} lead names for {leads} rows: the signal must be (leads, samples), "
            "transpose it if it is (samples, leads)"
        )
    double = [lead for lead in STANDARD_LEADS if names.count(lead.lower()) > 1]
    if double:
        raise InvalidSignalError(f"leads named more than once: {', '.join(double)}")
    missing = [lead for lead in STANDARD_LEADS if lead.lower() not in names]
    if missing and (not zero_missing or len(missing) == len(STANDARD_LEADS)):
        standard = {lead.lower() for lead in STANDARD_LEADS}
        others = [str(name) for name in lead_names if _folded(name) not in standard]
        unknown = f" (not known: {', '.join(others)})" if others else ""
        raise InvalidSignalError(
            f"missing leads: {', '.join(missing)}{unknown}; the standard leads are "
            f"{', '.join(STANDARD_LEADS)}"
        )
    return [None if lead in missing else names.index(lead.lower()) for lead in STANDARD_LEADS]


def _folded_names(lead_names: Any) -> list[str]:
    if isinstance(lead_names, str):
        raise InvalidSignalError("lead_names must be a sequence of names, not one string")
    try:
        return [_folded(name) for name in lead_names]
    except TypeError as error:
        raise InvalidSignalError(f"lead_names must be a sequence of names: {error}") from error


def _folded(name: Any) -> str:
    if not isinstance(name, str):
        raise InvalidSignalError(f"lead names must be strings, not {name!r}")
    return name.strip().lower()
