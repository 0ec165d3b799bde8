"""Signal-to-noise ratio: what repeats from beat to beat against what does not.

Ensemble averaging, as for averaged electrocardiograms (Sörnmo and Laguna, Bioelectrical Signal
Processing, 2005, section 4.3). Each beat is first fitted by the mean beat at any scale, by its
derivative (a peak found a little early or late) and by a line (wander), so that breathing is not
taken for noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..kernel import Signal
from .limits import checked, require_duration

LEAST_S = 1.0
BEFORE_S, AFTER_S = 0.25, 0.45
# Of the median RR interval: so much of a beat lies before its R peak, and after it.
BEFORE_RR, AFTER_RR = 0.4, 0.6
FEWEST_BEATS, MOST_BEATS = 3, 64
# Beats with more noise than this many times the median one are of another shape.
OUTLYING = 2.0
# What a beat is fitted by: its mean, the mean beat, the derivative of that, and a line.
FITTED = 4

Row = NDArray[np.float64]


def snr_db(x: Signal, fs_hz: float, peaks: Sequence[int]) -> list[float]:
    """Ratio of powers in dB, for each lead; NaN with fewer than three whole beats."""
    require_duration(x.shape[1], fs_hz, LEAST_S)
    wide = checked(x)
    if len(peaks) < 2:
        return [float("nan")] * len(wide)
    rr = float(np.median(np.maximum(np.diff(peaks), 0)))
    before = int(min(BEFORE_S * fs_hz, BEFORE_RR * rr) + 0.5)
    samples = before + int(min(AFTER_S * fs_hz, AFTER_RR * rr) + 0.5)
    last = x.shape[1] - samples
    starts = [peak - before for peak in peaks if 0 <= peak - before <= last]
    if len(starts) < FEWEST_BEATS or samples <= FITTED:
        return [float("nan")] * len(wide)
    count = min(len(starts), MOST_BEATS)
    kept = np.array([starts[k * len(starts) // count] for k in range(count)])
    windows = wide[:, kept[:, None] + np.arange(samples)]
    return [_ratio_db(row - row.mean(axis=1, keepdims=True), rr) for row in windows]


def _ratio_db(beats: Row, rr: float) -> float:
    first = _residuals(beats, beats.mean(axis=0))
    alike = first <= OUTLYING * np.median(first)
    count = int(alike.sum())
    beat = beats[alike].mean(axis=0)
    # The mean beat holds its share of each beat's noise.
    noise = float(np.median(_residuals(beats, beat))) / (1.0 - 1.0 / count)
    signal = (float((beat**2).mean()) - noise / count) * len(beat) / rr
    return 10.0 * float(np.log10(signal / noise)) if signal > 0.0 and noise > 0.0 else float("nan")


def _residuals(beats: Row, beat: Row) -> Row:
    """Power of what the fit leaves of each beat."""
    padded = np.concatenate([beat[:1], beat, beat[-1:]])
    slope = (padded[2:] - padded[:-2]) / 2.0
    line = np.arange(len(beat), dtype=np.float64) - (len(beat) - 1) / 2.0
    fit = _orthonormal([beat, slope - slope.mean(), line])
    left = (beats**2).sum(axis=1) - ((beats @ fit.T) ** 2).sum(axis=1)
    return np.asarray(np.maximum(left, 0.0) / (len(beat) - FITTED), dtype=np.float64)


def _orthonormal(vectors: list[Row]) -> Row:
    """Gram and Schmidt; what depends on those before it is left out."""
    basis: list[Row] = []
    for vector in vectors:
        before, rest = float(vector @ vector), vector
        for one in basis:
            rest = rest - float(rest @ one) * one
        norm = float(rest @ rest)
        if norm > 1e-12 * before and norm > 0.0:
            basis.append(rest / np.sqrt(norm))
    return np.array(basis).reshape(len(basis), len(vectors[0]))
