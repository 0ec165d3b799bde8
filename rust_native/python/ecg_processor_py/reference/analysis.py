"""One recording: curves, beats, quality, and what follows from the RR intervals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..kernel import RawAnalysis, RawAnomaly, RawQuality, Signal
from ..types import ECGAnalysisConfig
from .candidates import Voices
from .curves import Curves
from .hrv import normal_intervals, of_normal
from .limits import checked, require_duration, require_plausible
from .quality import Scene, judge
from .rhythm import find_anomalies
from .rpeaks import LEAST_S, Beats
from .shapes import unlike_the_usual

# Below this probability of the beats no anomaly is told.
RHYTHM_CONFIDENCE = 0.7
# A gap this long may be a lead that fell off.
LONG_GAP_S = 2.0
# Part of a gap in which every lead stands still if nothing is connected.
STILL = 0.9


def analyze(x: Signal, config: ECGAnalysisConfig) -> RawAnalysis:
    """Analyse `(leads, samples)` in mV; nothing is told that its best lead does not carry."""
    fs_hz = float(config.sampling_rate)
    require_duration(x.shape[1], fs_hz, LEAST_S)
    require_plausible(checked(x), fs_hz)
    curves = Curves.of(x, fs_hz)
    voices = Voices.of(curves)
    beats = Beats.find(x.shape[1], curves, voices)
    quality = judge(x, fs_hz, Scene(curves, voices, beats), float(config.noise_threshold))
    best = max(score for score, _ in quality[1])
    if len(beats.peaks) == 0 or best < config.min_signal_quality:
        return _silent(quality)
    rr_ms = np.diff(beats.peaks) * (1000.0 / fs_hz)
    unlike = np.array(unlike_the_usual(curves, voices, beats.places), dtype=bool)
    hrv_told = config.enable_hrv and len(rr_ms) > 0
    limits = (float(config.min_heart_rate), float(config.max_heart_rate))
    rhythm_told = config.enable_anomaly_detection and beats.confidence >= RHYTHM_CONFIDENCE
    return {
        "heart_rate": 60_000.0 / float(rr_ms.mean()) if len(rr_ms) else math.nan,
        "rr_ms": rr_ms,
        "r_peaks": beats.peaks,
        "hrv": of_normal(rr_ms, normal_intervals(rr_ms, unlike)) if hrv_told else None,
        "anomalies": _anomalies(x, fs_hz, beats.peaks, unlike, limits) if rhythm_told else [],
        "quality": quality,
    }


def _silent(quality: RawQuality) -> RawAnalysis:
    """Nothing but the quality can be told."""
    return {
        "heart_rate": math.nan,
        "rr_ms": np.empty(0),
        "r_peaks": np.empty(0, dtype=np.int64),
        "hrv": None,
        "anomalies": [],
        "quality": quality,
    }


def _anomalies(
    x: Signal,
    fs_hz: float,
    peaks: NDArray[np.int64],
    unlike: NDArray[np.bool_],
    limits: tuple[float, float],
) -> list[RawAnomaly]:
    spans = _measurable(x, peaks, fs_hz)
    return find_anomalies(peaks / fs_hz, x.shape[1] / fs_hz, unlike, spans, *limits)


def _measurable(x: Signal, peaks: NDArray[np.int64], fs_hz: float) -> list[tuple[float, float]]:
    """Spans between the long gaps in which every lead stands still, s."""
    spans, start_s, before = [], 0.0, 0
    for end in [*peaks.tolist(), x.shape[1]]:
        if end - before > LONG_GAP_S * fs_hz and _stands_still(x[:, before:end]):
            spans.append((start_s, before / fs_hz))
            start_s = end / fs_hz
        before = end
    return [*spans, (start_s, x.shape[1] / fs_hz)]


def _stands_still(part: Signal) -> bool:
    held = (part[:, 1:] == part[:, :-1]).sum(axis=1)
    return bool((held >= STILL * part.shape[1]).all())
