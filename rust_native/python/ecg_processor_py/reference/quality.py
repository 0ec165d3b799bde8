"""Signal quality: how sure the beats of a lead are, how much noise lies on them, plain faults.

The probability of the beats joins the agreement of two detectors (bSQI; Li, Mark and Clifford,
2008) and the correlation of the beats with one another (Orphanidou et al., 2015): these separate
noisy from clean recordings far better than moments of the amplitudes do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernel import RawQuality, Signal
from .candidates import Pair, Voices
from .candidates import judge as judge_places
from .curves import Curves, Floats32, count
from .limits import checked, require_duration
from .rpeaks import LEAST_S, Beats, mean_probability

FLAT_MV = 0.005
RAILED_MV = 1.0
HELD_S = 0.5
HELD_FLAT = 0.9
HELD_PART = 0.1
CLIPPED_S = 0.008
CLIPPED_PART = 0.002
UNSURE = 0.5
QRS_S = 0.06
NOISE_S = 0.128
WANDER_S = 0.6
# Standard deviation of a normal variable whose mean magnitude is one.
MEAN_TO_DEVIATION = 1.2533
# Noise, in thresholds, and wander, in QRS amplitudes, that halve the score.
NOISE_HALVES = 5.0
WANDER_HALVES = 2.0
WANDER = 0.5
CLIPPED_FACTOR = 0.7
LANES = 8


@dataclass(frozen=True)
class Scene:
    """What is known of a recording when its leads are judged."""

    curves: Curves
    voices: Voices
    beats: Beats


def signal_quality(x: Signal, fs_hz: float, noise_threshold: float) -> RawQuality:
    """Score and issues of `(leads, samples)`."""
    require_duration(x.shape[1], fs_hz, LEAST_S)
    checked(x)
    curves = Curves.of(x, fs_hz)
    voices = Voices.of(curves)
    scene = Scene(curves, voices, Beats.find(x.shape[1], curves, voices))
    return judge(x, fs_hz, scene, noise_threshold)


def judge(x: Signal, fs_hz: float, scene: Scene, noise_threshold: float) -> RawQuality:
    """Quality of each lead, given the beats of the recording."""
    leads = [_lead(row, fs_hz, scene, i, noise_threshold) for i, row in enumerate(x)]
    return sum(score for score, _ in leads) / len(leads), leads


def _lead(
    row: Signal, fs_hz: float, scene: Scene, lead: int, noise_threshold: float
) -> tuple[float, list[str]]:
    held, clipped = _held_and_clipped(row, fs_hz)
    if float(row.max()) - float(row.min()) < FLAT_MV or held >= HELD_FLAT:
        railed = abs(row[0]) >= RAILED_MV
        return 0.0, ["flat", "disconnected"] if railed else ["flat"]
    noise, wander = _disturbance(scene, lead)
    confidence = _confidence_of_lead(scene, lead)
    noisy = 1.0 + (noise / (NOISE_HALVES * noise_threshold)) ** 2
    score = confidence / noisy / (1.0 + (wander / WANDER_HALVES) ** 2)
    issues = []
    if clipped:
        issues.append("clipped")
        score *= CLIPPED_FACTOR
    if noise > noise_threshold or confidence < UNSURE:
        issues.append("noise")
    if wander > WANDER:
        issues.append("baseline")
    if held >= HELD_PART:
        issues.append("disconnected")
        score *= 1.0 - held
    return float(score), issues


def _confidence_of_lead(scene: Scene, lead: int) -> float:
    """Mean probability that the recording's beats are beats, in one lead."""
    curves, voices, beats = scene.curves, scene.voices, scene.beats
    if curves.leads == 1:
        return beats.confidence
    pair = Pair.of_lead(curves, voices, lead)
    at = pair.nearest_maxima(beats.places, curves.fs_hz)
    odds = judge_places(curves, voices.alone(lead), pair, at, beats.places)
    return mean_probability(odds)


def _held_and_clipped(row: Signal, fs_hz: float) -> tuple[float, bool]:
    """Part of the lead that stands still for long, and whether its extremes are cut off."""
    edges = np.flatnonzero(row[1:] != row[:-1]) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [len(row)]]))
    held = lengths[lengths >= count(HELD_S, fs_hz)].sum() / len(row)
    value = row[starts]
    cut = lengths[
        (lengths >= max(3, count(CLIPPED_S, fs_hz))) & ((value == row.max()) | (value == row.min()))
    ]
    return float(held), bool(len(cut) >= 2 and cut.sum() >= CLIPPED_PART * len(row))


def _disturbance(scene: Scene, lead: int) -> tuple[float, float]:
    """Noise above 25 Hz and baseline wander, as ratios to the QRS amplitude."""
    curves, beats = scene.curves, scene.beats
    amplitude = _qrs_amplitude(curves.smooth[lead], beats.places, curves.fs_hz)
    # NaN where there is no beat.
    if not amplitude > 0.0:
        return float("inf"), 0.0
    noise = block_means(np.abs(curves.rest[lead]), NOISE_S, curves.fs_hz)
    slow = block_means(curves.smooth[lead], WANDER_S, curves.fs_hz)
    return (
        MEAN_TO_DEVIATION * float(np.median(noise)) / amplitude,
        float(np.std(slow)) / amplitude,
    )


def _qrs_amplitude(smooth: Floats32, places: NDArray[np.int64], fs_hz: float) -> float:
    """Median over the beats of their peak-to-peak amplitude, mV; NaN for none."""
    if len(places) == 0:
        return float("nan")
    reach = count(QRS_S, fs_hz)
    inside = np.clip(places[:, None] + np.arange(-reach, reach + 1), 0, len(smooth) - 1)
    near = smooth[inside]
    return float(np.median((near.max(axis=1) - near.min(axis=1)).astype(np.float64)))


def block_means(curve: Floats32, seconds: float, fs_hz: float) -> NDArray[np.float64]:
    """Means over blocks of about `seconds`, summed as the Rust core does."""
    size = min(count(seconds, fs_hz), len(curve))
    blocks = curve[: len(curve) // size * size].reshape(-1, size)
    whole = size // LANES * LANES
    sums = np.zeros((len(blocks), LANES), dtype=np.float32)
    for start in range(0, whole, LANES):
        sums += blocks[:, start : start + LANES]
    sums[:, : size - whole] += blocks[:, whole:]
    for half in (4, 2, 1):
        sums = sums[:, :half] + sums[:, half : 2 * half]
    return np.asarray(sums[:, 0].astype(np.float64) / size)
