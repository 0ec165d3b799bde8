"""Functions on arrays: checked here, computed by the backend in use.

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
from .frozen import made
from .kernel import RawHRV, RawQuality, Signal
from .reference.limits import require_duration
from .reference.preparation import ECG_FM_HZ, ECG_FM_SAMPLES, ECG_FM_SECONDS
from .types import Anomaly, HRVMetrics, LeadQuality, SignalQuality

__all__ = [
    "bandpass",
    "detect_r_peaks",
    "find_anomalies",
    "hrv",
    "normal_intervals",
    "notch",
    "prepare_ecg_fm",
    "remove_baseline",
    "resample",
    "segment",
    "signal_quality",
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
        out: where to write, see above.
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
        out: where to write, see above.
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
        out: where to write, see above.
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
        out: where to write, see above.
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
        out: where to write, see above.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz)
    low = checks.number(low_hz, "low_hz", 0.01, 1e4)
    high = checks.number(high_hz, "high_hz", 0.01, 1e4)
    if not low < high < 0.499 * rate:
        raise ConfigError(
            f"low_hz < high_hz < {0.499 * rate:g} (half the sampling rate) must hold, not "
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
        out: where to write, see above.
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
        out: where to write, see above.
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
    """Measure heart-rate variability, as `HRVMetrics` defines it.

    Args:
        rr_ms: normal-to-normal intervals in ms, `(intervals,)`; leave out those at ectopic beats
            (see `normal_intervals`).
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    return hrv_of(choose(use_ffi)[0].hrv(checks.as_rr(rr_ms)))


def normal_intervals(
    rr_ms: ArrayLike, *, unlike: ArrayLike | None = None, use_ffi: bool | None = None
) -> NDArray[np.bool_]:
    """Mark the intervals that run from one normal beat to the next.

    Left out are both intervals at a premature beat (see `find_anomalies`), what lies outside 300 to
    2000 ms, and what is further from the median of its 11 neighbours than 20 % of that median
    (Malik et al., 1989) and 5.2 quartile deviations of the 91 neighbours' distances (Lipponen and
    Tarvainen, 2019): respiratory arrhythmia and fibrillation are kept.

    Args:
        rr_ms: successive intervals in ms, `(intervals,)`.
        unlike: beats of another shape than the usual one, bool `(intervals + 1,)`.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Returns:
        bool `(intervals,)`.
    """
    rr = checks.as_rr(rr_ms)
    return choose(use_ffi)[0].normal_intervals(rr, _marks(unlike, len(rr) + 1))


def find_anomalies(
    peaks_s: ArrayLike,
    duration_s: float | None = None,
    *,
    unlike: ArrayLike | None = None,
    measurable: Sequence[tuple[float, float]] | None = None,
    min_heart_rate: float = 40.0,
    max_heart_rate: float = 200.0,
    use_ffi: bool | None = None,
) -> tuple[Anomaly, ...]:
    """Look for rhythm anomalies in beats that are known already; the kinds are in `Anomaly`.

    Args:
        peaks_s: R peaks in seconds from the start, ascending, `(beats,)`.
        duration_s: length of the recording; None: it ends with the last beat.
        unlike: beats of another shape than the usual one, bool `(beats,)`; these need not be
            followed by a pause to be premature.
        measurable: ascending spans `(start_s, end_s)` in which a beat would have been seen; pauses
            and asystole are told within them alone. None: everywhere if there is any beat.
        min_heart_rate: alarm limit, as in `ECGAnalysisConfig`.
        max_heart_rate: alarm limit, as in `ECGAnalysisConfig`.
        use_ffi: backend, as in `ECGAnalyzerFFI`.
    """
    peaks = checks.as_times(peaks_s)
    end = float(peaks[-1]) if len(peaks) else 0.0
    limits = (
        checks.number(min_heart_rate, "min_heart_rate", 10.0, 400.0),
        checks.number(max_heart_rate, "max_heart_rate", 10.0, 400.0),
    )
    spans = None if measurable is None else [(float(a), float(b)) for a, b in measurable]
    length = end if duration_s is None else checks.number(duration_s, "duration_s", end, 1e9)
    kernel = choose(use_ffi)[0]
    found = kernel.find_anomalies(peaks, length, _marks(unlike, len(peaks)), spans, *limits)
    return tuple(Anomaly(*anomaly) for anomaly in found)


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


def _marks(unlike: ArrayLike | None, beats: int) -> NDArray[np.bool_] | None:
    if unlike is None:
        return None
    marks = np.ascontiguousarray(unlike, dtype=bool)
    if marks.shape != (beats,):
        raise InvalidSignalError(f"unlike must have one mark for each of {beats} beats")
    return marks


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
            f"{name} must be below {0.499 * rate:g} (half the sampling rate), not {mains:g}"
        )
    return mains


def _quality(value: Any, name: str) -> float:
    return checks.number(value, name, 1.0, 200.0)
