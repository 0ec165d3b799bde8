"""What a signal or its beats say: checked here, computed by the backend in use.

Signals are as in `transforms`; so are the errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks
from .backend import choose
from .errors import ConfigError, InvalidSignalError
from .frozen import made
from .kernel import RawHRV, RawQuality
from .types import Anomaly, HRVMetrics, LeadQuality, SignalQuality

__all__ = ["detect_r_peaks", "find_anomalies", "hrv", "normal_intervals", "signal_quality"]


def detect_r_peaks(x: ArrayLike, fs_hz: float, *, use_ffi: bool | None = None) -> NDArray[np.int64]:
    """Find the R peaks.

    In a band of 5 to 25 Hz, the likeliest chain of maxima of the slope energy (Pan and Tompkins,
    1985), judged by their height, their surroundings and how alike their shapes are. Independent
    of amplitude, offset and polarity; several leads are judged together. There is no learning
    phase: the first and the last beat are found like any other.

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
    if not limits[0] < limits[1]:
        raise ConfigError(
            f"min_heart_rate {limits[0]:g} must be below max_heart_rate {limits[1]:g}"
        )
    spans = None if measurable is None else _spans(measurable)
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


def _spans(measurable: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    try:
        spans = [(float(start), float(end)) for start, end in measurable]
    except (TypeError, ValueError) as error:
        raise InvalidSignalError("measurable must hold pairs (start_s, end_s)") from error
    ends = [time for span in spans for time in span]
    if any(not earlier <= later for earlier, later in pairwise(ends)):
        raise InvalidSignalError("measurable must hold ascending spans (start_s, end_s)")
    return spans


def _marks(unlike: ArrayLike | None, beats: int) -> NDArray[np.bool_] | None:
    if unlike is None:
        return None
    marks = np.ascontiguousarray(unlike, dtype=bool)
    if marks.shape != (beats,):
        raise InvalidSignalError(f"unlike must have one mark for each of {beats} beats")
    return marks
