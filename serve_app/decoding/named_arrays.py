"""Named arrays (of MATLAB, HDF5, npz): which one is the signal, and what others say of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.csv_dialect import named_column
from serve_app.decoding.decoded import Decoded, missing_parameter
from serve_app.decoding.npy_array import leads_first
from serve_app.decoding.units import Unit, electric_unit, to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import InvalidFormat, InvalidSignal
from serve_app.recording import STANDARD_LEADS, standard_lead_name

__all__ = ["MAX_TEXTS", "Container", "Stored", "decode_container", "is_rate_name", "is_text_name"]

MAX_TEXTS: Final = 256
# In the order of asking; PhysioNet's challenges write val, fairseq-signals feats.
_SIGNALS: Final = (
    *("val", "feats", "ecg", "signal", "signals", "signal_mv", "p_signal", "tracings", "tracing"),
    *("ecg_data", "data", "waveform", "waveforms", "x", "arr_0"),
)
# fairseq-signals: the rate that samples have, not the one they once had (org_sample_rate).
_RATES: Final = (
    *("fs_hz", "fs", "curr_sample_rate", "sampling_rate", "sample_rate", "sampling_frequency"),
    *("sample_frequency", "samplingrate", "samplerate", "sfreq", "srate", "freq", "frequency"),
)
_UNITS: Final = ("units", "unit")
_LEAD_NAMES: Final = (
    *("lead_names", "leads", "channel_names", "channels", "ch_names", "sig_name", "signal_names"),
)
_REAL: Final = "iuf"


@dataclass(frozen=True)
class Stored:
    """An array in a container, read when it is asked for.

    Attributes:
        shape: As the container declares it.
        dtype: Of what `read` gives.
        read: Reads it; the caller has checked the size.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], npt.NDArray[Any]]

    @property
    def size(self) -> int:
        """Its numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Container:
    """What a file of named arrays holds.

    Attributes:
        format: Name of the format.
        arrays: Of numbers; whatever else is left out, too.
        texts: What is written beside them, by names in small letters.
    """

    format: str
    arrays: Mapping[str, Stored]
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Convention:
    """What is true of a data set's files though they do not say it; a hint comes before it."""

    fs_hz: float | None = None
    units: Unit | None = None


_CPSC_2018: Final = _Convention(500.0, "mV")  # China Physiological Signal Challenge 2018
_CODE_15: Final = _Convention(400.0)  # Ribeiro et al. 2021, doi:10.5281/zenodo.4916206
_SPH: Final = _Convention(500.0, "mV")  # Liu et al. 2022, doi:10.1038/s41597-022-01403-5


def is_rate_name(name: str) -> bool:
    """Whether a number of that name, in small letters, is a sampling rate."""
    return name in _RATES


def is_text_name(name: str) -> bool:
    """Whether a text of that name, in small letters, is of use."""
    return name in _UNITS or name in _LEAD_NAMES


def decode_container(container: Container, hints: Hints, limits: Limits) -> Decoded:
    """Decode the array that is the signal, with the rate, unit and lead names that others give.

    It is the one with a customary name, or made of arrays that are named by lead, or the only one
    of two dimensions.

    Raises:
        InvalidFormat: No array, several that it could be, or several recordings in one array.
        InvalidSignal: Names that do not fit the leads, or leads of unequal length.
        MissingParameter: Integers and no unit.
        PayloadTooLarge: More samples than `limits` allow.
    """
    real = {name: array for name, array in container.arrays.items() if array.dtype.kind in _REAL}
    arrays = {name.casefold(): array for name, array in real.items()}
    if len(arrays) < len(real):
        raise InvalidFormat("The names of two arrays differ in capitals alone.")
    fs_hz = _sampling_rate(arrays)
    customary = any(name in arrays and arrays[name].size > 1 for name in _SIGNALS)
    by_lead = {} if customary else _named_by_lead(real)
    names = tuple(by_lead) or _first(container.texts, _LEAD_NAMES)
    convention = _convention(container, arrays)
    signal = _stacked(by_lead, limits) if by_lead else _signal(arrays, names or hints.leads, limits)
    if names is not None and len(names) != signal.shape[0]:
        raise InvalidSignal(f"{signal.shape[0]} signals but {len(names)} lead names.")
    if fs_hz is None and hints.fs_hz is None:
        fs_hz = convention.fs_hz
    units = _units(container.texts)
    if units is None and hints.units is None:
        units = convention.units
        if units is None and signal.dtype.kind in "iu":
            unsaid = ["units"] if fs_hz or hints.fs_hz else ["fs_hz", "units"]
            raise missing_parameter(container.format, *unsaid)
    if units is not None:
        signal = to_mv(signal.astype(np.float64), units)
    return Decoded(signal, fs_hz, names, frozenset([units] if units else []), container.format)


def _first(texts: Mapping[str, tuple[str, ...]], names: tuple[str, ...]) -> tuple[str, ...] | None:
    return next((texts[name] for name in names if texts.get(name)), None)


def _units(texts: Mapping[str, tuple[str, ...]]) -> Unit | None:
    said = _first(texts, _UNITS)
    return electric_unit(said[0]) if said and len(set(said)) == 1 else None


def _sampling_rate(arrays: Mapping[str, Stored]) -> float | None:
    name = next((name for name in _RATES if name in arrays and arrays[name].size == 1), None)
    return None if name is None else float(arrays[name].read().reshape(-1)[0])


def _named_by_lead(arrays: Mapping[str, Stored]) -> dict[str, Stored]:
    """Those named by a standard lead, and others of their length that may be leads (MLII)."""
    flat = {
        n: array for n, array in arrays.items() if array.size == max(array.shape, default=0) > 1
    }
    standard = {name for name in flat if standard_lead_name(name) in STANDARD_LEADS}
    sizes = {flat[name].size for name in standard}
    return {
        name: array
        for name, array in flat.items()
        if name in standard or (array.size in sizes and named_column(name, "").kind == "signal")
    }


def _stacked(by_lead: dict[str, Stored], limits: Limits) -> npt.NDArray[Any]:
    limits.check_samples(sum(array.size for array in by_lead.values()))
    if len({array.size for array in by_lead.values()}) > 1:
        raise InvalidSignal(
            "The leads differ in length.", hint="Store as many samples for every lead."
        )
    return np.stack([array.read().reshape(-1) for array in by_lead.values()])


def _signal(
    arrays: Mapping[str, Stored], leads: tuple[str, ...] | None, limits: Limits
) -> npt.NDArray[Any]:
    """``(leads, samples)``, as stored but for an array that was standardised."""
    name = _signal_name(arrays)
    stored = arrays[name]
    shape = stored.shape
    if len(shape) == 3 and shape[0] != 1:
        raise InvalidFormat(
            f"The file holds {shape[0]} recordings.", hint="Send one recording a file."
        )
    limits.check_samples(stored.size)
    array = stored.read()
    signal = leads_first(array[0] if array.ndim == 3 else array, leads)
    return _restored(signal, arrays) if name == "feats" else signal


def _signal_name(arrays: Mapping[str, Stored]) -> str:
    many = {name: array for name, array in arrays.items() if array.size > 1}
    for name in _SIGNALS:
        if name in many:
            return name
    tables = [name for name, array in many.items() if len(array.shape) == 2] or list(many)
    if len(tables) != 1:
        problem = "Several arrays could be the signal." if tables else "No array holds a signal."
        raise InvalidFormat(problem, hint="Call the array of samples signal, and its rate fs.")
    return tables[0]


def _restored(signal: npt.NDArray[Any], arrays: Mapping[str, Stored]) -> npt.NDArray[Any]:
    """Millivolts of what fairseq-signals standardised, where it left mean and deviation."""
    if not all(name in arrays and arrays[name].size == len(signal) for name in ("mean", "std")):
        return signal
    mean, std = (arrays[name].read().reshape(-1, 1).astype(np.float64) for name in ("mean", "std"))
    restored: npt.NDArray[np.float64] = signal * std + mean
    return restored


def _convention(container: Container, arrays: Mapping[str, Stored]) -> _Convention:
    names = {*arrays, *container.texts}
    if {"data", "sex", "age"} <= names:
        return _CPSC_2018
    if {"tracings", "exam_id"} <= names:
        return _CODE_15
    if container.format == "hdf5" and names == {"ecg"} and arrays["ecg"].dtype == np.float16:
        return _SPH
    return _Convention()
