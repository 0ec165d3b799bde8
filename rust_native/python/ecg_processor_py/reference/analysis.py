"""One recording: bands, beats, quality, and what follows from the RR intervals."""

from __future__ import annotations

import math

import numpy as np

from ..kernel import RawAnalysis, Signal
from .bands import split
from .hrv import normal_intervals, of_normal
from .limits import checked, require_duration, require_plausible
from .quality import judge
from .rhythm import find_anomalies
from .rpeaks import LEAST_S, detect_r_peaks

RHYTHM_QUALITY = 0.7


def analyze(
    x: Signal,
    fs_hz: float,
    enable_hrv: bool,
    enable_anomaly_detection: bool,
    min_heart_rate: float,
    max_heart_rate: float,
    noise_threshold: float,
    min_signal_quality: float,
) -> RawAnalysis:
    """Analyse `(leads, samples)` in mV; nothing is told that the best lead does not carry."""
    require_duration(x.shape[1], fs_hz, LEAST_S)
    wide = checked(x)
    require_plausible(wide, fs_hz)
    bands = split(wide, fs_hz)
    peaks = detect_r_peaks(x, fs_hz)
    quality = judge(wide, bands, peaks, noise_threshold)
    best = max(score for score, _ in quality[1])
    rr_ms = np.diff(peaks) * (1000.0 / fs_hz)
    told = best >= min_signal_quality and len(rr_ms) > 0
    rhythm_told = told and best >= RHYTHM_QUALITY and enable_anomaly_detection
    return {
        "heart_rate": 60_000.0 / float(rr_ms.mean()) if told else math.nan,
        "rr_ms": rr_ms,
        "r_peaks": peaks,
        "hrv": of_normal(rr_ms, normal_intervals(rr_ms)) if told and enable_hrv else None,
        "anomalies": (
            find_anomalies(
                peaks / fs_hz, x.shape[1] / fs_hz, None, None, min_heart_rate, max_heart_rate
            )
            if rhythm_told
            else []
        ),
        "quality": quality,
    }
