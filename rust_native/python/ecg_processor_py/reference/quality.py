"""Signal quality: how alike the beats of a lead are, how much noise lies on them, plain faults.

Agreement with the average beat separates noisy from clean recordings far better than moments of the
amplitudes do (Orphanidou et al., 2015).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernel import RawQuality, Signal
from .bands import Bands, averaged, count, split, width
from .limits import checked, require_duration
from .rpeaks import LEAST_S, detect_r_peaks

BASELINE_S = (0.6, 0.3)
BEFORE_S = 0.15
AFTER_S = 0.25
FLAT_MV = 0.005
RAILED_MV = 1.0
HELD_S = 0.5
HELD_FLAT = 0.9
HELD_PART = 0.1
CLIPPED_S = 0.008
CLIPPED_PART = 0.002
UNLIKE = 0.5
LONE_BEAT = 0.5
WANDER = 0.5
CLIPPED_FACTOR = 0.7


def signal_quality(x: Signal, fs_hz: float, noise_threshold: float) -> RawQuality:
    """Score and issues of `(leads, samples)`."""
    require_duration(x.shape[1], fs_hz, LEAST_S)
    wide = checked(x)
    bands = split(wide, fs_hz)
    return judge(wide, bands, detect_r_peaks(x, fs_hz), noise_threshold)


def judge(
    wide: NDArray[np.float64], bands: Bands, peaks: NDArray[np.int64], noise_threshold: float
) -> RawQuality:
    """Quality of each lead, given the beats of the recording."""
    leads = [_lead(wide[i], bands, i, peaks, noise_threshold) for i in range(len(wide))]
    return float(np.mean([score for score, _ in leads])), leads


def _lead(
    x: NDArray[np.float64], bands: Bands, i: int, peaks: NDArray[np.int64], noise_threshold: float
) -> tuple[float, list[str]]:
    held, clipped = _held_and_clipped(x, bands.fs_hz)
    if x.max() - x.min() < FLAT_MV or held >= HELD_FLAT:
        railed = abs(x[0]) >= RAILED_MV
        return 0.0, ["flat", "disconnected"] if railed else ["flat"]
    likeness, noise, wander = _beat_statistics(bands, i, peaks)
    score = likeness / (1.0 + (noise / (5.0 * noise_threshold)) ** 2) / (1.0 + (wander / 2.0) ** 2)
    issues = []
    if clipped:
        issues.append("clipped")
        score *= CLIPPED_FACTOR
    if noise > noise_threshold or likeness < UNLIKE:
        issues.append("noise")
    if wander > WANDER:
        issues.append("baseline")
    if held >= HELD_PART:
        issues.append("disconnected")
        score *= 1.0 - held
    return float(score), issues


def _held_and_clipped(x: NDArray[np.float64], fs_hz: float) -> tuple[float, bool]:
    """Part of the lead that stands still for long, and whether its extremes are cut off."""
    edges = np.flatnonzero(np.diff(x)) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [len(x)]]))
    held = lengths[lengths >= count(HELD_S, fs_hz)].sum() / len(x)
    value = x[starts]
    cut = lengths[
        (lengths >= max(3, count(CLIPPED_S, fs_hz))) & ((value == x.max()) | (value == x.min()))
    ]
    return float(held), bool(len(cut) >= 2 and cut.sum() >= CLIPPED_PART * len(x))


def _beat_statistics(bands: Bands, i: int, peaks: NDArray[np.int64]) -> tuple[float, float, float]:
    """Likeness of the beats, then noise and baseline wander as ratios to the QRS amplitude."""
    inside = slice(bands.pad, bands.pad + bands.samples)
    baseline = bands.raw[i : i + 1]
    for seconds in BASELINE_S:
        baseline = averaged(baseline, width(seconds, bands.fs_hz))
    clean = bands.smooth[i] - baseline[0]
    before, after = count(BEFORE_S, bands.fs_hz), count(AFTER_S, bands.fs_hz)
    window = np.arange(-before, after)
    beats = clean[(peaks + bands.pad)[:, None] + window]
    if len(beats) == 0:
        return 0.0, float("inf"), 0.0
    amplitude = float(np.median(beats.max(axis=1) - beats.min(axis=1)))
    if amplitude <= 0.0:
        return 0.0, float("inf"), 0.0
    residual = (bands.raw[i] - bands.smooth[i])[inside]
    noise = 1.4826 * float(np.median(np.abs(residual))) / amplitude
    wander = float(np.std(baseline[0][inside])) / amplitude
    return _likeness(beats), noise, wander


def _likeness(beats: NDArray[np.float64]) -> float:
    """Correlation of each beat with the average of the others: mean and median, averaged."""
    if len(beats) < 2:
        return LONE_BEAT
    centred = beats - beats.mean(axis=1, keepdims=True)
    others = centred.sum(axis=0) - centred
    norm = np.sqrt((centred**2).sum(axis=1) * (others**2).sum(axis=1))
    product = (centred * others).sum(axis=1)
    r = np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0.0)
    return max(0.0, 0.5 * (float(r.mean()) + float(np.median(r))))
