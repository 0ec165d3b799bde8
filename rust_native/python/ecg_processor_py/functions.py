"""Functions on arrays: checked here, computed by the backend in use.

Signals are `(samples,)` or `(leads, samples)`, float32 or float64 (anything else numeric is copied
to float64), in mV where amplitude matters. Results keep the shape and the dtype unless said
otherwise. All of them raise `InvalidSignalError` for samples they cannot use (NaN and infinities
among them) and `ConfigError` for parameters out of bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks
from .backend import choose
from .errors import ConfigError, InvalidSignalError
from .frozen import made
from .kernel import RawHRV, RawQuality, Signal
from .types import HRVMetrics, LeadQuality, SignalQuality

__all__ = [
    "bandpass",
    "detect_r_peaks",
    "hrv",
    "prepare_ecg_fm",
    "remove_baseline",
    "resample",
    "segment",
    "signal_quality",
    "standardize",
]


def resample(x: ArrayLike, fs_in: float, fs_out: float, *, use_ffi: bool | None = None) -> Signal:
    """Read a signal at another rate by linear interpolation, in float64.

    This is ECG-FM's own resampling: `int(n * fs_out / fs_in)` samples, the first and the last input
    sample kept as the first and the last output sample, no anti-alias filter.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        fs_in: present rate, Hz.
        fs_out: wanted rate, Hz.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    signal, _ = checks.as_signal(x)
    rates = checks.sampling_rate(fs_in, "fs_in"), checks.sampling_rate(fs_out, "fs_out")
    checks.require_room(signal.size * rates[1] / rates[0], signal, "resampling")
    return _shaped(choose(use_ffi)[0].resample(signal, *rates), x)


def standardize(x: ArrayLike, *, use_ffi: bool | None = None) -> Signal:
    """Give each lead zero mean and unit population deviation; a constant lead becomes zeros.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    signal, _ = checks.as_signal(x)
    return _shaped(choose(use_ffi)[0].standardize(signal), x)


def segment(
    x: ArrayLike,
    fs_hz: float,
    seconds: float,
    stride: float | None = None,
    *,
    use_ffi: bool | None = None,
) -> Signal:
    """Cut a signal into windows of equal length; a remainder is dropped.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        fs_hz: samples per second.
        seconds: length of a window.
        stride: seconds from one start to the next; None: windows do not overlap.
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
    count = (signal.shape[1] - window) // hop + 1
    checks.require_room(count * len(signal) * window, signal, f"{count} segments")
    return choose(use_ffi)[0].segment(signal, window, hop)


def prepare_ecg_fm(
    x: ArrayLike,
    fs_hz: float,
    lead_names: Sequence[str],
    *,
    missing_leads: Literal["refuse", "zero"] = "refuse",
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
    return choose(use_ffi)[0].prepare_ecg_fm(signal, rate, order)


def bandpass(
    x: ArrayLike,
    fs_hz: float,
    low_hz: float = 0.5,
    high_hz: float = 40.0,
    *,
    order: int = 4,
    use_ffi: bool | None = None,
) -> Signal:
    """Keep a band: Butterworth high-pass and low-pass, forwards and backwards (zero phase).

    The median is subtracted first and the ends are extended by 2.5 s of mirrored signal.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        fs_hz: samples per second.
        low_hz: high-pass cut-off (-6 dB, as it is applied twice).
        high_hz: low-pass cut-off, below half the sampling rate.
        order: of each of the two filters, 1 to 8; the attenuation is that of twice the order.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz)
    low, high = (
        checks.number(low_hz, "low_hz", 0.01, 1e4),
        checks.number(high_hz, "high_hz", 0.01, 1e4),
    )
    if not low < high < rate / 2:
        raise ConfigError(
            f"low_hz < high_hz < {rate / 2:g} (half the sampling rate) must hold, not "
            f"{low:g} and {high:g}"
        )
    whole_order = checks.integer(order, "order", 1, 8)
    _require_two_samples(signal)
    return _shaped(choose(use_ffi)[0].bandpass(signal, rate, low, high, whole_order), x)


def remove_baseline(
    x: ArrayLike, fs_hz: float, cutoff_hz: float = 0.5, *, use_ffi: bool | None = None
) -> Signal:
    """Take out the baseline with a zero-phase second-order Butterworth high-pass.

    Args:
        x: `(samples,)` or `(leads, samples)`.
        fs_hz: samples per second.
        cutoff_hz: what lies below goes.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz)
    cutoff = checks.number(cutoff_hz, "cutoff_hz", 0.01, rate / 4)
    _require_two_samples(signal)
    return _shaped(choose(use_ffi)[0].remove_baseline(signal, rate, cutoff), x)


def detect_r_peaks(x: ArrayLike, fs_hz: float, *, use_ffi: bool | None = None) -> NDArray[np.int64]:
    """Find the R peaks, after Pan and Tompkins (1985) without a learning phase.

    Independent of amplitude, offset and polarity; several leads are judged together.

    Args:
        x: `(samples,)` or `(leads, samples)`, at least 1 s.
        fs_hz: samples per second, 100 to 2000.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Returns:
        int64 sample indices, ascending; empty for a flat signal. Noise yields peaks, too: see
        `signal_quality`.
    """
    signal, _ = checks.as_signal(x)
    return choose(use_ffi)[0].detect_r_peaks(signal, checks.sampling_rate(fs_hz, analysis=True))


def signal_quality(
    x: ArrayLike, fs_hz: float, *, noise_threshold: float = 0.1, use_ffi: bool | None = None
) -> SignalQuality:
    """Judge each lead from 0 (useless) to 1 (clean) and name what is wrong with it.

    Args:
        x: `(samples,)` or `(leads, samples)`, at least 1 s.
        fs_hz: samples per second, 100 to 2000.
        noise_threshold: as in `ECGAnalysisConfig`.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz, analysis=True)
    threshold = checks.number(noise_threshold, "noise_threshold", 1e-6, 1.0)
    return quality_of(choose(use_ffi)[0].signal_quality(signal, rate, threshold))


def hrv(rr_ms: ArrayLike, *, use_ffi: bool | None = None) -> HRVMetrics:
    """Measure heart-rate variability in the time domain.

    Args:
        rr_ms: normal-to-normal intervals in ms, `(intervals,)`; leave out those at ectopic beats.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    return hrv_of(choose(use_ffi)[0].hrv(checks.as_rr(rr_ms)))


def quality_of(raw: RawQuality) -> SignalQuality:
    """Turn a kernel's answer into `SignalQuality`."""
    score, leads = raw
    return SignalQuality(score, lead_qualities(leads))


def lead_qualities(leads: list[tuple[float, list[str]]]) -> tuple[LeadQuality, ...]:
    """Turn a kernel's answer about each lead into `LeadQuality`."""
    return tuple([made(LeadQuality, {"score": s, "issues": tuple(i)}) for s, i in leads])


def hrv_of(raw: RawHRV) -> HRVMetrics:
    """Turn a kernel's answer into `HRVMetrics`."""
    return made(HRVMetrics, raw)


def _shaped(result: Signal, like: Any) -> Signal:
    """Drop the lead axis again where the caller gave none."""
    return result[0] if np.ndim(like) == 1 else result


def _samples(value: float, name: str) -> int:
    samples = int(value + 0.5)
    if samples < 1:
        raise ConfigError(f"{name} is shorter than one sample")
    return samples


def _require_two_samples(signal: Signal) -> None:
    if signal.shape[1] < 2:
        raise InvalidSignalError("a filter needs at least two samples")
