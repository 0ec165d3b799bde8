"""R peaks, after Pan and Tompkins (1985), without a learning phase.

The slope energy of the QRS band is compared with the level of its own surroundings on both sides,
so that the first and the last beat of a short strip are treated like the others. Several leads add
up their energies, each weighed by how far its beats stand out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernel import Signal
from .bands import Bands, averaged, count, split, width
from .limits import checked, require_duration

LEAST_S = 1.0
SLOPE_S = 0.008
ENERGY_S = 0.120
SEPARATION_S = 0.200
REFINE_S = 0.060
BLOCK_S = 2.0
BLOCKS = 5
THRESHOLD = 0.3
FLOOR = 0.02
FLOOR_MV = 1e-6
CAP = 2.0
MIRROR = 0.999
T_WAVE_S = 0.360
T_WAVE_RATIO = 0.5
SEARCH_BACK = 0.5
LONG_RR = 1.5
RR_NEIGHBOURS = 8
BEFORE_NEXT_S = 0.250


def detect_r_peaks(x: Signal, fs_hz: float) -> NDArray[np.int64]:
    """R peaks of `(leads, samples)` as ascending sample indices."""
    require_duration(x.shape[1], fs_hz, LEAST_S)
    return find_peaks(split(checked(x), fs_hz))


def find_peaks(bands: Bands) -> NDArray[np.int64]:
    """R peaks from the bands of a recording."""
    energy, envelope = _combined(bands)
    for mirrored in (slice(bands.pad), slice(bands.pad + bands.samples, None)):
        # A beat near an end would otherwise tie with its own mirror image.
        energy[mirrored] *= MIRROR
        envelope[mirrored] *= MIRROR
    beats = _beats(energy, bands.fs_hz)
    return _refined(beats, envelope, bands)


def _slope_energy(bands: Bands) -> NDArray[np.float64]:
    lag = count(SLOPE_S, bands.fs_hz)
    slope = np.zeros_like(bands.qrs)
    slope[:, lag:-lag] = bands.qrs[:, 2 * lag :] - bands.qrs[:, : -2 * lag]
    # Rounding in a running sum may leave a mean of squares just below zero.
    mean_square = averaged(slope * slope, width(ENERGY_S, bands.fs_hz))
    return np.sqrt(np.maximum(mean_square, 0.0))


def _combined(bands: Bands) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy that beats are sought in, and the squared envelope whose extremum is the R peak."""
    energy = _slope_energy(bands)
    if len(energy) == 1:
        return energy[0], bands.qrs[0] ** 2
    total = np.zeros(energy.shape[1])
    envelope = np.zeros(energy.shape[1])
    weights = 0.0
    for lead, band in zip(energy, bands.qrs, strict=True):
        level = float(np.median(_block_maxima(lead, bands.fs_hz)))
        if level < FLOOR_MV:
            continue
        weight = max(0.0, 1.0 - float(lead.mean()) / level) ** 2
        total += weight * np.minimum(lead / level, CAP)
        envelope += weight * (band / level) ** 2
        weights += weight
    return (total / weights if weights > 0.0 else total), envelope


def _beats(energy: NDArray[np.float64], fs_hz: float) -> NDArray[np.int64]:
    maxima = _block_maxima(energy, fs_hz)
    half = count(SEPARATION_S, fs_hz)
    at = np.flatnonzero((energy == _sliding_max(energy, half)) & (energy > 0.0))
    height = energy[at]
    level = _local_level(maxima)[at * len(maxima) // len(energy)]
    high = np.sort(maxima)[min(len(maxima) - 1, 3 * len(maxima) // 4)]
    threshold = np.maximum(THRESHOLD * level, max(FLOOR * high, FLOOR_MV))
    taken = _without_t_waves(at, height, height > threshold, fs_hz)
    _search_back(at, height, height > SEARCH_BACK * threshold, taken, fs_hz)
    return at[taken]


def _block_maxima(energy: NDArray[np.float64], fs_hz: float) -> NDArray[np.float64]:
    blocks = max(1, len(energy) // count(BLOCK_S, fs_hz))
    starts = np.arange(blocks) * len(energy) // blocks
    return np.maximum.reduceat(energy, starts)


def _local_level(maxima: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the nearest blocks: neither a spike nor a pause moves it."""
    blocks = len(maxima)
    size = min(BLOCKS, blocks)
    medians = np.median(np.lib.stride_tricks.sliding_window_view(maxima, size), axis=1)
    return np.asarray(medians[np.clip(np.arange(blocks) - size // 2, 0, blocks - size)])


def _sliding_max(x: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Maximum over `half` samples on both sides, in linear time (van Herk, 1992)."""
    size, n = 2 * half + 1, len(x)
    padded = np.full(-(-(n + 2 * half) // size) * size, -np.inf)
    padded[half : half + n] = x
    blocks = padded.reshape(-1, size)
    ahead = np.maximum.accumulate(blocks, axis=1).ravel()
    behind = np.maximum.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].ravel()
    return np.maximum(behind[:n], ahead[size - 1 : size - 1 + n])


def _without_t_waves(
    at: NDArray[np.int64], height: NDArray[np.float64], taken: NDArray[np.bool_], fs_hz: float
) -> NDArray[np.bool_]:
    kept = np.zeros_like(taken)
    last = -1
    for i in np.flatnonzero(taken).tolist():
        close = last >= 0 and at[i] - at[last] < T_WAVE_S * fs_hz
        if close and height[i] < T_WAVE_RATIO * height[last]:
            continue
        kept[i] = True
        last = i
    return kept


def _search_back(
    at: NDArray[np.int64],
    height: NDArray[np.float64],
    possible: NDArray[np.bool_],
    taken: NDArray[np.bool_],
    fs_hz: float,
) -> None:
    """Take the highest candidate inside each interval that is long among its neighbours."""
    beats = np.flatnonzero(taken)
    for j in _long_intervals(np.diff(at[beats])).tolist():
        first, last = beats[j], beats[j + 1]
        inside = np.arange(first + 1, last)
        free = (at[inside] - at[first] > T_WAVE_S * fs_hz) & (
            at[last] - at[inside] > BEFORE_NEXT_S * fs_hz
        )
        inside = inside[possible[inside] & free]
        if len(inside):
            taken[inside[np.argmax(height[inside])]] = True


def _long_intervals(rr: NDArray[np.int64]) -> NDArray[np.int64]:
    """Intervals that exceed most of their neighbours by half."""
    shorter = np.zeros(len(rr), dtype=np.int64)
    seen = np.zeros(len(rr), dtype=np.int64)
    for shift in range(-RR_NEIGHBOURS, RR_NEIGHBOURS + 1):
        here = np.arange(max(0, -shift), min(len(rr), len(rr) - shift))
        shorter[here] += LONG_RR * rr[here + shift] < rr[here]
        seen[here] += 1
    return np.flatnonzero(2 * shorter > seen)


def _refined(
    beats: NDArray[np.int64], envelope: NDArray[np.float64], bands: Bands
) -> NDArray[np.int64]:
    reach = count(REFINE_S, bands.fs_hz)
    peaks = [
        start + int(np.argmax(envelope[start : beat + reach + 1]))
        for beat in beats.tolist()
        for start in [max(0, beat - reach)]
    ]
    found = np.unique(np.array(peaks, dtype=np.int64)) - bands.pad
    return found[(found >= 0) & (found < bands.samples)]
