"""Places where a beat may be, and how sure it is that one is there.

Two cheap detectors look at one band: the slope energy of Pan and Tompkins (1985) proposes its local
maxima; the matched filter's question, whether the same shape comes back (likeness), and the
envelope judge them. A logistic model weighs the measurements; its probability is also the quality
index, since the two detectors agree where it is near one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .curves import Curves, Floats32, block_maxima, count
from .order import running_median

BLOCK_S = 2.0
BLOCKS = 5
FLOOR = 0.1
FLOOR_MV = 1e-6
CAP = 2.0
APART_S = 0.140
LEAST = 0.1
# A median below this is that of a line, mV of slope energy (white noise of about 0.07 mV).
QUIET_MV = 0.015
# What the upper quartile is then taken for.
BUSY = 0.5
REFINE_S = 0.060
# Part of the highest squared band that makes an extremum the R peak if it comes first.
STRONG = 0.5
VOTERS = 4
# A lead with this part of the best one's weight shows where peaks are, as it was recorded: were
# leads weighed there, a peak would move from one extremum to another as the weights do.
CLEAR = 0.4

# Points of a beat's shape, and their distance.
POINTS = 16
POINT_S = 0.013
# Candidates on each side that a shape is held against, and how many of the best count.
COMPARED = 12
BEST = 3

NEIGHBOURS = 6
NEAR_S = 0.4
FAR_S = 1.2
VALLEY_S = 0.25
AROUND_S = 0.6

FEATURES = 11
# Log-odds for each unit of a measurement; fitted by logistic regression on public records.
WEIGHTS = (1.078, 0.56, 3.106, -0.775, -0.448, -0.192, -0.44, -3.808, -3.267, -5.97, -4.936)
# Log-odds of a candidate whose measurements are all zero.
BIAS = 2.726

# Lanes of the Rust core's sums, whose order decides the last bits of a lead's weight.
LANES = 8

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Voices:
    """How much each lead says, and at which level its beats are.

    Attributes:
        weights: Share in the vote of each lead; they add up to one, unless no lead says anything.
        levels: Usual height of the slope energy's maxima of each lead.
        voters: The leads whose shapes are compared, best first.
    """

    weights: list[float]
    levels: list[float]
    voters: list[int]

    @classmethod
    def of(cls, curves: Curves) -> Voices:
        """Weigh each lead by how far its beats stand out."""
        levels = [level_of(energy, curves.fs_hz) for energy in curves.energy]
        return cls.weighed(levels, [_average(energy) for energy in curves.energy])

    @classmethod
    def weighed(cls, levels: list[float], averages: list[float]) -> Voices:
        """Weigh leads by the usual height of their slope energy's maxima and by its mean."""
        if len(levels) == 1:
            weights = [float(levels[0] >= FLOOR_MV)]
        else:
            weights = [_weight(*pair) for pair in zip(averages, levels, strict=True)]
        total = _sum(weights)
        if total > 0.0:
            weights = [weight / total for weight in weights]
        loudest = sorted(range(len(weights)), key=lambda lead: -weights[lead])
        return cls(weights, levels, [lead for lead in loudest if weights[lead] > 0.0][:VOTERS])

    def alone(self, lead: int) -> Voices:
        """One lead by itself."""
        weights = [float(other == lead) for other in range(len(self.weights))]
        return Voices(weights, self.levels, [lead])

    @property
    def peak_leads(self) -> list[int]:
        """The leads whose bands show where in a beat its peak is, best first."""
        loudest = sorted(range(len(self.weights)), key=lambda lead: -self.weights[lead])
        heard = [lead for lead in loudest if self.weights[lead] > 0.0]
        return [lead for lead in heard if self.weights[lead] >= CLEAR * self.weights[heard[0]]]


def usual_height(maxima: Floats) -> float:
    """The median, which a loud artefact does not move.

    Half the upper quartile where the median is that of a line: a heart that stands still for most
    of a recording must not make it the measure of its beats.
    """
    median = float(np.median(maxima))
    if median >= QUIET_MV:
        return median
    return max(median, BUSY * float(np.sort(maxima)[3 * len(maxima) // 4]))


def level_of(curve: Floats32, fs_hz: float) -> float:
    """Usual height of a curve's maxima."""
    return usual_height(block_maxima(curve, BLOCK_S, fs_hz))


def _weight(average: float, level: float) -> float:
    if level < FLOOR_MV:
        return 0.0
    stands_out = max(0.0, 1.0 - average / level)
    return stands_out * stands_out


def _average(x: Floats32) -> float:
    whole = len(x) // LANES * LANES
    lanes = x[:whole].reshape(-1, LANES).astype(np.float64).sum(axis=0)
    return (_sum(lanes) + _sum(x[whole:].astype(np.float64))) / len(x)


def _sum(values: list[float] | Floats) -> float:
    """Sum from first to last, in that order."""
    return float(np.add.accumulate(values)[-1]) if len(values) else 0.0


@dataclass(frozen=True)
class Pair:
    """Slope energy and envelope that beats are sought in: of one lead, or the vote of several.

    Attributes:
        energy: Slope energy, `(samples,)`.
        envelope: Envelope, `(samples,)`.
        ratio: Usual height of the energy's maxima over that of the envelope's.
    """

    energy: Floats32
    envelope: Floats32
    ratio: float

    @classmethod
    def of_lead(cls, curves: Curves, voices: Voices, lead: int) -> Pair:
        """Those of one lead."""
        level = max(voices.levels[lead], FLOOR_MV)
        return cls(
            curves.energy[lead], curves.envelope[lead], level / _envelope_level(curves, lead)
        )

    @classmethod
    def of_vote(cls, curves: Curves, voices: Voices) -> Pair:
        """The vote of the leads."""
        energy = np.zeros(curves.samples, dtype=np.float32)
        envelope = np.zeros(curves.samples, dtype=np.float32)
        for lead, weight in enumerate(voices.weights):
            if weight > 0.0:
                energy += _vote(curves.energy[lead], weight, voices.levels[lead])
                envelope += _vote(curves.envelope[lead], weight, _envelope_level(curves, lead))
        return cls(energy, envelope, 1.0)

    def nearest_maxima(self, places: Places, fs_hz: float) -> Places:
        """Where the slope energy is highest near each place."""
        reach = count(REFINE_S, fs_hz)
        return np.asarray(places - reach + np.argmax(_near(self.energy, places, reach), axis=1))


def _envelope_level(curves: Curves, lead: int) -> float:
    return max(FLOOR_MV, level_of(curves.envelope[lead], curves.fs_hz))


def _vote(curve: Floats32, weight: float, level: float) -> Floats32:
    """A lead's curve, at most twice its usual height: one lead's artefact must not outvote all."""
    height = np.minimum(curve * np.float32(1.0 / level), np.float32(CAP))
    return np.asarray(np.float32(weight) * height)


@dataclass(frozen=True)
class Candidates:
    """Places where a beat may be, ascending.

    Attributes:
        at: Where the vote of the slope energies has its maximum.
        peak: Where the QRS band has its extremum nearby.
        odds: Log-odds that it is a beat.
    """

    at: Places
    peak: Places
    odds: Floats

    @classmethod
    def of(cls, curves: Curves, voices: Voices) -> Candidates:
        """Propose and judge."""
        alone = curves.leads == 1
        pair = Pair.of_lead(curves, voices, 0) if alone else Pair.of_vote(curves, voices)
        at = _local_maxima(pair.energy, curves.fs_hz)
        peak = extremum(curves, voices, at)
        return cls(at, peak, judge(curves, voices, pair, at, peak))


def judge(curves: Curves, voices: Voices, pair: Pair, at: Places, peak: Places) -> Floats:
    """Log-odds of places in the curves of some leads."""
    features = measure(curves, voices, pair, at, peak)
    return np.asarray(BIAS + (features * np.array(WEIGHTS)).sum(axis=1))


def measure(curves: Curves, voices: Voices, pair: Pair, at: Places, peak: Places) -> Floats:
    """The measurements `(places, 11)` of each place, in the order of `WEIGHTS`."""
    fs_hz, n = curves.fs_hz, curves.samples
    height = np.fmax(pair.energy[at].astype(np.float64), 1e-12)
    envelope = _around(np.fmax, pair.envelope, at, count(REFINE_S, fs_hz))
    valley = count(VALLEY_S, fs_hz)
    before = _reduced(np.fmin, pair.energy, np.maximum(at - valley, 0), at + 1)
    after = _reduced(np.fmin, pair.energy, at, np.minimum(at + valley, n))
    features = np.empty((len(at), FEATURES))
    features[:, 0] = _log(height / _levels(pair.energy, at, fs_hz), -3.0, 1.5)
    features[:, 1] = _log(envelope / _levels(pair.envelope, at, fs_hz), -3.0, 1.5)
    features[:, 2] = _likeness(curves, voices, peak)
    features[:, 3:7] = _log(_others(pair.energy, at, fs_hz) / height[:, None], -2.0, 2.0)
    features[:, 7] = np.fmin(before / height, 1.0)
    features[:, 8] = np.fmin(after / height, 1.0)
    features[:, 9] = np.fmin(_mean_around(pair.energy, at, count(AROUND_S, fs_hz)) / height, 1.0)
    features[:, 10] = _log(envelope / height * pair.ratio, -2.0, 2.0)
    return features


def _log(ratio: Floats, low: float, high: float) -> Floats:
    return np.asarray(np.clip(np.log(np.fmax(ratio, 1e-3)), low, high))


def _reduced(operation: np.ufunc, x: Floats32 | Floats, start: Places, end: Places) -> Floats:
    """`operation` over `x[start:end]` of each pair."""
    pairs = np.stack([start, end], axis=1).ravel()
    # One sample more, since an end may lie behind the last.
    return np.asarray(operation.reduceat(np.append(x, x[-1:]), pairs)[::2], dtype=np.float64)


def _around(operation: np.ufunc, x: Floats32 | Floats, at: Places, reach: int) -> Floats:
    start, end = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(x))
    return _reduced(operation, x, start, end)


def _mean_around(x: Floats32, at: Places, reach: int) -> Floats:
    size = np.minimum(at + reach + 1, len(x)) - np.maximum(at - reach, 0)
    return np.asarray(_around(np.add, x.astype(np.float64), at, reach) / size)


def _levels(curve: Floats32, at: Places, fs_hz: float) -> Floats:
    """Usual height of a curve's maxima at each place."""
    maxima = block_maxima(curve, BLOCK_S, fs_hz)
    blocks = len(maxima)
    floor = FLOOR * usual_height(maxima)
    medians = running_median(maxima, BLOCKS)
    return np.asarray(np.maximum(medians[at * blocks // len(curve)], max(floor, 1e-9)))


def _others(energy: Floats32, at: Places, fs_hz: float) -> Floats:
    """Heights of the highest places shortly before, shortly after, long before and long after."""
    n = len(at)
    own = np.arange(n)[:, None]
    other = np.maximum(own - NEIGHBOURS, 0) + np.arange(2 * NEIGHBOURS + 1)
    known = (other < n) & (other != own)
    other = np.minimum(other, n - 1)
    away_s = (at[other] - at[:, None]) / fs_hz
    height = np.where(known & (np.abs(away_s) < FAR_S), energy[at][other], np.float32(0.0))
    later, long = away_s >= 0.0, np.abs(away_s) > NEAR_S
    places = (~later & ~long, later & ~long, ~later & long, later & long)
    highest = [np.fmax.reduce(np.where(place, height, 0.0), axis=1) for place in places]
    return np.stack(highest, axis=1).astype(np.float64)


def _local_maxima(curve: Floats32, fs_hz: float) -> Places:
    """Maxima of a curve that no higher one is near to."""
    rises = np.append(True, curve[1:] > curve[:-1])
    falls = np.append(curve[:-1] >= curve[1:], True)
    least = np.float32(LEAST * level_of(curve, fs_hz))
    at = np.flatnonzero(rises & falls & (curve > least))
    height, kept = curve[at], np.ones(len(at), dtype=np.bool_)
    apart = count(APART_S, fs_hz)
    for shift in range(1, len(at)):
        close = at[shift:] - at[:-shift] <= apart
        if not close.any():
            break
        first_wins = height[:-shift] >= height[shift:]
        kept[shift:] &= ~(close & first_wins)
        kept[:-shift] &= ~close | first_wins
    return at[kept]


def extremum(curves: Curves, voices: Voices, at: Places) -> Places:
    """Where the voters' QRS bands have their highest extremum, near maxima of the slope energy."""
    reach = count(REFINE_S, curves.fs_hz)
    heights = _near(height(curves, voices, len(voices.voters)), at, reach)
    return np.asarray(at - reach + np.argmax(heights, axis=1))


def r_peak(curves: Curves, voices: Voices, at: Places) -> Places:
    """The R peaks: the first extremum of the QRS bands about as strong as the highest one."""
    reach = count(REFINE_S, curves.fs_hz)
    # Of every lead: the best four may change from one stretch to the next, and the peak with them.
    heights = _near(height(curves, voices), at, reach)
    strong = np.float32(STRONG) * heights.max(axis=1, keepdims=True)
    # Beyond its surroundings there is nothing higher.
    framed = np.pad(heights, ((0, 0), (1, 1)), constant_values=-np.inf)
    is_top = (heights >= strong) & (heights >= framed[:, :-2]) & (heights > framed[:, 2:])
    return np.asarray(at - reach + np.argmax(is_top, axis=1))


def _near(x: Floats32, at: Places, reach: int) -> Floats32:
    """The values `(places, 2 * reach + 1)` around each place, minus infinity beyond the ends."""
    beyond = np.full(reach, -np.inf, dtype=np.float32)
    extended = np.concatenate([beyond, x, beyond])
    return np.lib.stride_tricks.sliding_window_view(extended, 2 * reach + 1)[at]


def height(curves: Curves, voices: Voices, best: int | None = None) -> Floats32:
    """Squared length of the vector of QRS bands of the clear leads, or the best, `(samples,)`."""
    total = np.zeros(curves.samples, dtype=np.float32)
    for lead in voices.peak_leads[:best]:
        qrs = curves.qrs[lead]
        total += qrs * qrs
    return total


def _likeness(curves: Curves, voices: Voices, peak: Places) -> Floats:
    """How well each shape agrees with the three most similar ones nearby, -1 to 1."""
    n = len(peak)
    alike = np.full((n, 2 * COMPARED), -np.inf, dtype=np.float32)
    shapes = _shapes(curves, voices, peak)
    for offset in range(1, min(COMPARED + 1, n) if voices.voters else 1):
        both = _dots(shapes[:, :, :-offset], shapes[:, :, offset:])
        alike[:-offset, offset - 1] = both
        alike[offset:, COMPARED + offset - 1] = both
    alike[np.isnan(alike)] = -np.inf
    best = np.sort(alike, axis=1)[:, : -BEST - 1 : -1].astype(np.float64)
    known = np.isfinite(best).sum(axis=1)
    best[np.arange(BEST) >= known[:, None]] = 0.0
    # A lone candidate can neither be confirmed nor refuted.
    return np.where(known > 0, best.sum(axis=1) / np.maximum(known, 1), 0.5)


def read_shapes(curves: Curves, voices: Voices, peak: Places) -> Floats32:
    """Shapes `(peaks, voters * points)` of beats: dot products of two are weighed votes."""
    shapes = _shapes(curves, voices, peak)
    return shapes.reshape(len(voices.voters) * POINTS, len(peak)).T


def _shapes(curves: Curves, voices: Voices, peak: Places) -> Floats32:
    """Shapes `(voters, points, peaks)`, by linear interpolation."""
    share = _sum([voices.weights[lead] for lead in voices.voters])
    shapes = np.zeros((len(voices.voters), POINTS, len(peak)), dtype=np.float32)
    position = (np.arange(POINTS) - (POINTS - 1) / 2.0) * POINT_S * curves.fs_hz
    offset = np.floor(position).astype(np.int64)[:, None]
    part = (position[:, None] - offset).astype(np.float32)
    left = np.clip(peak + offset, 0, curves.samples - 2)
    for i, lead in enumerate(voices.voters):
        qrs = curves.qrs[lead]
        shape = qrs[left] + (qrs[left + 1] - qrs[left]) * part
        length = np.add.accumulate(shape * shape, axis=0)[-1]
        weight = np.float32(voices.weights[lead] / share)
        # A lead all but still has lengths so small that one over them is infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            squared = np.divide(weight, length, out=np.zeros_like(length), where=length > 0.0)
            shapes[i] = shape * np.sqrt(squared)
    return shapes


def _dots(a: Floats32, b: Floats32) -> Floats32:
    """Dot products over voters and points, one after the other."""
    products = (a * b).reshape(-1, a.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.add.accumulate(products, axis=0)[-1])
