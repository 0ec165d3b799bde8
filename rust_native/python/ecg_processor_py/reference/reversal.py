"""Exchanged electrodes, told from the average beat of a 12-lead recording.

Chest leads say where the limb leads must point (after Kors and van Herpen, Am. J. Cardiol. 88
(2001) 396), and P, QRS and T have usual axes in the frontal plane (after Hedén et al., Am. J.
Cardiol. 75 (1995) 929). Each way to exchange electrodes is undone in turn; a conditional logistic
model, fitted on PTB-XL, CPSC and Chapman-Shaoxing records, says how usual each result is. Along the
chest, leads change little by little: an exchange makes that rough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernel import RawReversal, Signal
from .filters import bandpass
from .rpeaks import detect_r_peaks

BEFORE_S = 0.25
AFTER_S = 0.45
FEWEST_BEATS = 3
MOST_BEATS = 64
# Low and high cut-off in Hz, order.
BAND = (0.5, 40.0, 2)
# What an Einthoven or Goldberger sum may leave: as part of the largest lead, and mV.
RESIDUAL_PART = 0.2
RESIDUAL_MV = 0.02
# Swing of the lead between two legs, as part of the largest limb lead.
LEGS_PART = 0.05
# Log-odds against an exchange of limb and of chest electrodes, before any lead is seen.
LIMB_PRIOR = 3.0
CHEST_PRIOR = 5.0
ROTATED_PRIOR = 1.0
TOLD = 0.5
# Limb leads that agree less with the chest leads than this tell nothing.
LEAST_AGREEMENT = 0.3

P_S, LEVEL_S, QRS_S = (-0.22, -0.07), (-0.09, -0.06), (-0.06, 0.06)
T_S, QRS_T_S = (0.12, 0.42), (-0.06, 0.42)
# Areas below these tell little of an axis, mV·s.
FAINT = (0.001, 0.002, 0.004)
# Weights of cosine and sine of the axes of P, twice that of P, QRS and T; of the agreement.
WEIGHTS = np.array([0.65, 0.32, -0.58, 0.17, 0.18, -0.24, 0.81, 0.84, 4.29])
# I and II from V1 to V6.
FROM_CHEST = np.array(
    [
        [-0.528, 0.209, 0.107, -0.139, -0.043, 0.459],
        [-0.014, -0.096, 0.114, 0.158, -0.037, 0.480],
    ]
)
# Weights of the two measures of roughness along the chest.
ROUGHNESS = np.array([-3.87, -2.17])

# Which electrode is where RA, LA and LL should be.
LIMB = (
    ("none", (0, 1, 2)),
    ("RA/LA", (1, 0, 2)),
    ("RA/LL", (2, 1, 0)),
    ("LA/LL", (0, 2, 1)),
    ("RA/LA/LL", (1, 2, 0)),
    ("RA/LA/LL", (2, 0, 1)),
)
CHEST = (
    ("none", 0, 0),
    ("V1/V2", 0, 1),
    ("V2/V3", 1, 2),
    ("V3/V4", 2, 3),
    ("V4/V5", 3, 4),
    ("V5/V6", 4, 5),
    ("V1/V3", 0, 2),
    ("V2/V4", 1, 3),
    ("V3/V5", 2, 4),
    ("V4/V6", 3, 5),
)
NAN = float("nan")

Row = NDArray[np.float64]
Rows = list[Row | None]


def check_lead_reversal(x: Signal, fs_hz: float, order: Sequence[int | None]) -> list[RawReversal]:
    """Findings as kind, confidence, what was seen, and the same once the exchange is undone."""
    peaks = detect_r_peaks(x, fs_hz)
    wide = x.astype(np.float64)
    bands = np.empty_like(wide)
    bandpass(wide, fs_hz, *BAND, None, 30.0, bands)
    rows = [None if row is None else bands[row] for row in order]
    found = list(_contradictions(rows))
    beat = _beat(rows, fs_hz, peaks, wide.shape[1])
    if beat is None:
        return found
    legs = None if found else _leg_exchange(beat)
    limb = legs or _limb_exchange(beat)
    return [*found, *(one for one in (limb, _chest_exchange(beat)) if one is not None)]


def _contradictions(rows: Rows) -> Iterator[RawReversal]:
    """I + III = II, and aVR + aVL + aVF = 0."""
    for kind, leads, sign in (("einthoven", (0, 2, 1), -1.0), ("goldberger", (3, 4, 5), 1.0)):
        a, b, c = (rows[lead] for lead in leads)
        if a is None or b is None or c is None:
            continue
        left, largest = _rms(a + b + sign * c), max(_rms(a), _rms(b), _rms(c))
        if left >= RESIDUAL_MV and left >= RESIDUAL_PART * largest:
            yield kind, min(1.0, TOLD + 0.5 * left / largest), [left, largest], [NAN, NAN]


def _rms(row: Row) -> float:
    return math.sqrt(float((row * row).mean()))


@dataclass(frozen=True)
class _Beat:
    """The median beat of each lead, around the R peak, above the level before the QRS complex."""

    leads: Rows
    before: int
    fs_hz: float

    def span(self, seconds: tuple[float, float]) -> slice:
        first, last = (max(0, self.before + _rounded(s * self.fs_hz)) for s in seconds)
        return slice(first, last)

    def independent(self) -> NDArray[np.float64] | None:
        """I, II and V1 to V6, `(8, samples)`."""
        rows = [row for row in (*self.leads[:2], *self.leads[6:]) if row is not None]
        return np.stack(rows) if len(rows) == 8 else None


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)


def _beat(rows: Rows, fs_hz: float, peaks: NDArray[np.int64], samples: int) -> _Beat | None:
    """None where fewer than three beats are seen whole."""
    before, after = _rounded(BEFORE_S * fs_hz), _rounded(AFTER_S * fs_hz)
    whole = peaks[(peaks >= before) & (peaks + after <= samples)]
    if len(whole) < FEWEST_BEATS or all(row is None for row in rows):
        return None
    count = min(len(whole), MOST_BEATS)
    starts = whole[np.arange(count) * len(whole) // count] - before
    at = starts[:, None] + np.arange(before + after)
    level = _Beat([], before, fs_hz).span(LEVEL_S)
    medians = [None if row is None else np.median(row[at], axis=0) for row in rows]
    leads: Rows = [None if row is None else row - row[level].mean() for row in medians]
    return _Beat(leads, before, fs_hz)


def _leg_exchange(beat: _Beat) -> RawReversal | None:
    """Lead II lies between two legs, or III does: it is all but flat."""
    first, second, third = beat.leads[:3]
    if first is None or second is None:
        return None
    largest = float(max(np.ptp(first), np.ptp(second)))
    for kind, row in (("RA/RL", second), ("LA/RL", third)):
        if row is not None and np.ptp(row) < LEGS_PART * largest:
            flat = float(np.ptp(row))
            return kind, 1.0 - 0.5 * flat / (LEGS_PART * largest), [flat, largest], [NAN, NAN]
    return None


def _limb_exchange(beat: _Beat) -> RawReversal | None:
    rows = beat.independent()
    if rows is None:
        return None
    seen = [_limb_view(beat, rows, electrodes) for _, electrodes in LIMB]
    odds = np.array([float(features @ WEIGHTS) for features, _ in seen])
    odds[0] += LIMB_PRIOR
    odds[4:] -= ROTATED_PRIOR
    best, confidence = _likeliest(odds)
    (now, now_deg), (then, then_deg) = seen[0], seen[best]
    if confidence < TOLD or then[8] < LEAST_AGREEMENT:
        return None
    recorded, undone = [now_deg, float(now[8])], [then_deg, float(then[8])]
    return LIMB[best][0], confidence, recorded, undone


def _limb_view(beat: _Beat, rows: Row, electrodes: tuple[int, int, int]) -> tuple[Row, float]:
    """Features, and the QRS axis in degrees, with the electrodes taken in this order."""
    features: list[float] = []
    axis_deg = 0.0
    for wave, seconds, faint in zip("PQT", (P_S, QRS_S, T_S), FAINT, strict=True):
        part = rows[:2, beat.span(seconds)]
        areas = (_area_above_slope(part) if wave == "P" else part.sum(axis=1)) / beat.fs_hz
        x, y = (float(v) for v in _frontal(_exchanged(areas, electrodes)))
        size = math.hypot(x, y)
        cosine, sine, weight = x / (size + 1e-12), y / (size + 1e-12), size / (size + faint)
        features += [weight * cosine, weight * sine]
        if wave == "P":
            features += [weight * (cosine**2 - sine**2), weight * 2.0 * cosine * sine]
        elif wave == "Q":
            axis_deg = math.degrees(math.atan2(y, x))
    part = rows[:, beat.span(QRS_T_S)]
    limbs, chest = _frontal(_exchanged(part[:2], electrodes)), _frontal(FROM_CHEST @ part[2:])
    size = math.sqrt(float((limbs**2).sum() * (chest**2).sum()) + 1e-12)
    features.append(float((limbs * chest).sum()) / size)
    return np.array(features), axis_deg


def _area_above_slope(part: Row) -> Row:
    """Sums of the samples above the straight line through both ends."""
    n = part.shape[1]
    end = min(n, max(1, n // 8))
    ends = part[:, :end].sum(axis=1) + part[:, n - end :].sum(axis=1)
    area: Row = part.sum(axis=1) - 0.5 * n * ends / end
    return area


def _exchanged(limbs: Row, electrodes: tuple[int, int, int]) -> Row:
    """I and II with the electrodes taken in another order."""
    i, ii = limbs
    # Against Wilson's terminal.
    potentials = (-(i + ii) / 3.0, (2.0 * i - ii) / 3.0, (2.0 * ii - i) / 3.0)
    ra, la, ll = (potentials[electrode] for electrode in electrodes)
    return np.stack([la - ra, ll - ra])


def _frontal(limbs: Row) -> Row:
    """Rightwards and downwards in the frontal plane, from I and II."""
    i, ii = limbs
    return np.stack([i, (2.0 * ii - i) / math.sqrt(3.0)])


def _chest_exchange(beat: _Beat) -> RawReversal | None:
    rows = beat.independent()
    if rows is None:
        return None
    chest, seen = rows[2:, beat.span(QRS_S)], []
    for _, a, b in CHEST:
        order = chest.copy()
        order[[a, b]] = chest[[b, a]]
        seen.append(_roughness(order))
    odds = np.log(np.array(seen)) @ ROUGHNESS
    odds[0] += CHEST_PRIOR
    best, confidence = _likeliest(odds)
    return (CHEST[best][0], confidence, seen[0], seen[best]) if confidence >= TOLD else None


def _roughness(leads: Row) -> list[float]:
    """How abruptly neighbours change: bends between the shapes, and between the leads."""
    shapes = leads / np.sqrt((leads**2).sum(axis=1, keepdims=True) + 1e-12)
    bend = (np.diff(leads, 2, axis=0) ** 2).sum(axis=1)
    return [
        1e-9 + float((np.diff(shapes, 2, axis=0) ** 2).sum()),
        1e-9 + float(np.sqrt(bend).sum()),
    ]


def _likeliest(odds: Row) -> tuple[int, float]:
    """The likeliest exchange, and the probability of any."""
    weights = np.exp(odds - odds.max())
    return 1 + int(np.argmax(odds[1:])), float(weights[1:].sum() / weights.sum())
