"""Functions on arrays that give arrays: checked here, computed by the backend in use.

Signals are `(samples,)` or `(leads, samples)`, float32 or float64 (anything else numeric is copied
to float64), in mV where amplitude matters. Results keep the shape and the dtype unless said
otherwise. Functions with `out` write there and give it back: a C-contiguous array of the result's
shape and dtype that shares no memory with `x`. All of them raise `InvalidSignalError` for samples
they cannot use (NaN and infinities among them) and `ConfigError` for parameters out of bounds or an
`out` that does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks, outputs
from .backend import choose
from .errors import ConfigError, InvalidSignalError
from .kernel import Signal
from .reference.limits import require_duration
from .reference.preparation import ECG_FM_HZ, ECG_FM_SAMPLES, ECG_FM_SECONDS

__all__ = [
    "bandpass",
    "notch",
    "prepare_ecg_fm",
    "remove_baseline",
    "resample",
    "segment",
    "standardize",
]


def resample(
    x: ArrayLike,
    fs_in: float,
    fs_out: float,
    *,
    method: Literal["linear", "polyphase"] = "linear",
    out: Signal | None = None,
    use_ffi: bool | None = None,
) -> Signal:
    """Read a signal at another rate: `int(n * fs_out / fs_in)` samples.

    "linear" is ECG-FM's own resampling, in float64: the first and the last input sample are the
    first and the last output sample, no anti-alias filter. "polyphase", for signal analysis, is a
    sinc of ten zero crossings to each side under a Kaiser window (beta 5), the design of SciPy's
    `resample_poly`; sample k is at k / fs_out, and the ends are extended by their image in a point.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        fs_in: present rate, Hz.
        fs_out: wanted rate, Hz; for "polyphase" in a ratio of integers up to 20000 to `fs_in`.
        method: "linear" or "polyphase".
        out: C-contiguous array of the result's shape and dtype to write to and give back.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    if method not in ("linear", "polyphase"):
        raise ConfigError(f"method must be 'linear' or 'polyphase', not {method!r}")
    signal, _ = checks.as_signal(x)
    rates = checks.sampling_rate(fs_in, "fs_in"), checks.sampling_rate(fs_out, "fs_out")
    n_out = int(signal.shape[1] * rates[1] / rates[0])
    if signal.shape[1] < 2 or n_out < 2:
        raise InvalidSignalError(
            f"{signal.shape[1]} samples at {rates[0]:g} Hz are too few to resample to "
            f"{rates[1]:g} Hz"
        )
    checks.require_room(signal.size * rates[1] / rates[0], signal, "resampling")
    target = outputs.target(out, (*np.shape(x)[:-1], n_out), signal.dtype, signal)
    choose(use_ffi)[0].resample(signal, *rates, method == "polyphase", target)
    return target


def standardize(x: ArrayLike, *, out: Signal | None = None, use_ffi: bool | None = None) -> Signal:
    """Give each lead zero mean and unit population deviation; a constant lead becomes zeros.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        out: C-contiguous array of the result's shape and dtype to write to and give back.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    signal, _ = checks.as_signal(x)
    target = outputs.target(out, np.shape(x), signal.dtype, signal)
    choose(use_ffi)[0].standardize(signal, target)
    return target


def segment(
    x: ArrayLike,
    fs_hz: float,
    seconds: float,
    stride: float | None = None,
    *,
    out: Signal | None = None,
    use_ffi: bool | None = None,
) -> Signal:
    """Cut a signal into windows of equal length; a remainder is dropped.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        fs_hz: samples per second.
        seconds: length of a window.
        stride: seconds from one start to the next; None: windows do not overlap.
        out: C-contiguous array of the result's shape and dtype to write to and give back.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Returns:
        `(segments, leads, n)` with n = round(seconds * fs_hz); no segment if the signal is shorter.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz)
    window = _samples(checks.number(seconds, "seconds", 0.0, 1e9) * rate, "seconds")
    hop = window
    if stride is not None:
        hop = _samples(checks.number(stride, "stride", 0.0, 1e9) * rate, "stride")
    leads, samples = signal.shape
    count = 0 if samples < window else (samples - window) // hop + 1
    checks.require_room(count * leads * window, signal, f"{count} segments")
    target = outputs.target(out, (count, leads, window), signal.dtype, signal)
    choose(use_ffi)[0].segment(signal, window, hop, target)
    return target


def prepare_ecg_fm(
    x: ArrayLike,
    fs_hz: float,
    lead_names: Sequence[str],
    *,
    missing_leads: Literal["refuse", "zero"] = "refuse",
    out: NDArray[np.float32] | None = None,
    use_ffi: bool | None = None,
) -> NDArray[np.float32]:
    """Make the input of ECG-FM: order the leads, resample to 500 Hz, standardise, cut into 5 s.

    Equal to the preprocessing of the published model; units cancel out. What is left after the last
    whole 5 s is dropped.

    Args:
        x: `(leads, samples)`.
        fs_hz: samples per second.
        lead_names: a name for each row; case does not matter, other leads than the 12 are ignored.
        missing_leads: "refuse", or "zero" to fill the missing ones of the 12 with zeros.
        out: C-contiguous array of the result's shape and dtype to write to and give back.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Returns:
        float32 `(segments, 12, 2500)`, leads I, II, III, aVR, aVL, aVF, V1 to V6.

    Raises:
        InvalidSignalError: a lead is missing, or the recording is shorter than 5 s.
    """
    if missing_leads not in ("refuse", "zero"):
        raise ConfigError(f"missing_leads must be 'refuse' or 'zero', not {missing_leads!r}")
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz)
    order = checks.order_of_leads(lead_names, len(signal), zero_missing=missing_leads == "zero")
    require_duration(signal.shape[1], rate, ECG_FM_SECONDS)
    segments = int(signal.shape[1] * ECG_FM_HZ / rate) // ECG_FM_SAMPLES
    target = outputs.target(out, (segments, 12, ECG_FM_SAMPLES), np.dtype(np.float32), signal)
    choose(use_ffi)[0].prepare_ecg_fm(signal, rate, order, target)
    return target


def bandpass(
    x: ArrayLike,
    fs_hz: float,
    low_hz: float = 0.5,
    high_hz: float = 40.0,
    *,
    order: int = 4,
    notch_hz: float | None = None,
    notch_q: float = 30.0,
    out: Signal | None = None,
    use_ffi: bool | None = None,
) -> Signal:
    """Keep a band: Butterworth high-pass and low-pass, forwards and backwards (zero phase).

    An offset is taken off first and the ends are extended by 2.5 s of their image in a point.
    float32 comes out within 0.5 uV of the same filter in float64, whatever the offset.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        fs_hz: samples per second.
        low_hz: high-pass cut-off (-6 dB, as it is applied twice).
        high_hz: low-pass cut-off, below half the sampling rate.
        order: of each of the two filters, 1 to 8; the attenuation is that of twice the order.
        notch_hz: mains frequency to take out in the same pass, as `notch` does.
        notch_q: see `notch`.
        out: C-contiguous array of the result's shape and dtype to write to and give back.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz)
    low = checks.number(low_hz, "low_hz", 0.01, 1e4)
    high = checks.number(high_hz, "high_hz", 0.01, 1e4)
    if not low < high < 0.499 * rate:
        raise ConfigError(
            f"low_hz < high_hz < {0.499 * rate:g} (under half the sampling rate) must hold, not "
            f"{low:g} and {high:g}"
        )
    whole_order = checks.integer(order, "order", 1, 8)
    mains, q = None, 30.0
    if notch_hz is not None:
        mains, q = _mains(notch_hz, "notch_hz", rate), _quality(notch_q, "notch_q")
    _require_two_samples(signal)
    target = outputs.target(out, np.shape(x), signal.dtype, signal)
    kernel = choose(use_ffi)[0]
    kernel.bandpass(signal, rate, low, high, whole_order, mains, q, target)
    return target


def notch(
    x: ArrayLike,
    fs_hz: float,
    mains_hz: float = 50.0,
    *,
    q: float = 30.0,
    out: Signal | None = None,
    use_ffi: bool | None = None,
) -> Signal:
    """Take out the mains: a second-order notch, forwards and backwards (zero phase).

    The ends are extended by 2.5 s of their image in a point. `bandpass` does the same on its way.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        fs_hz: samples per second.
        mains_hz: what to take out, below half the sampling rate.
        q: frequency over bandwidth (-3 dB, one way), 1 to 200.
        out: C-contiguous array of the result's shape and dtype to write to and give back.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz)
    mains, quality = _mains(mains_hz, "mains_hz", rate), _quality(q, "q")
    _require_two_samples(signal)
    target = outputs.target(out, np.shape(x), signal.dtype, signal)
    choose(use_ffi)[0].notch(signal, rate, mains, quality, target)
    return target


def remove_baseline(
    x: ArrayLike,
    fs_hz: float,
    cutoff_hz: float = 0.5,
    *,
    method: Literal["highpass", "median"] = "highpass",
    out: Signal | None = None,
    use_ffi: bool | None = None,
) -> Signal:
    """Take out the baseline.

    "highpass" is a zero-phase second-order Butterworth filter. "median" subtracts two running
    medians, over 200 ms (without QRS and P) and over 600 ms of that (without T), after de Chazal,
    O'Dwyer and Reilly, IEEE Trans. Biomed. Eng. 51 (2004) 1196; they are estimated on block
    averages at 125 Hz or more and interpolated.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        fs_hz: samples per second.
        cutoff_hz: what lies below goes; "highpass" only.
        method: "highpass" or "median".
        out: C-contiguous array of the result's shape and dtype to write to and give back.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    if method not in ("highpass", "median"):
        raise ConfigError(f"method must be 'highpass' or 'median', not {method!r}")
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz)
    cutoff = checks.number(cutoff_hz, "cutoff_hz", 0.01, rate / 4)
    _require_two_samples(signal)
    target = outputs.target(out, np.shape(x), signal.dtype, signal)
    kernel = choose(use_ffi)[0]
    kernel.remove_baseline(signal, rate, cutoff if method == "highpass" else None, target)
    return target


def _samples(value: float, name: str) -> int:
    samples = int(value + 0.5)
    if samples < 1:
        raise ConfigError(f"{name} is shorter than one sample")
    return samples


def _require_two_samples(signal: Signal) -> None:
    if signal.shape[1] < 2:
        raise InvalidSignalError("a filter needs at least two samples")


def _mains(value: Any, name: str, rate: float) -> float:
    mains = checks.number(value, name, 0.01, 1e4)
    if not mains < 0.499 * rate:
        raise ConfigError(
            f"{name} must be below {0.499 * rate:g} (under half the sampling rate), not {mains:g}"
        )
    return mains


def _quality(value: Any, name: str) -> float:
    return checks.number(value, name, 1.0, 200.0)
