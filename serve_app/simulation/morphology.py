"""Shapes of beats: what each way of conduction and each infarction does to the dipole.

Vectors follow the vectorcardiogram as textbooks draw it (Surawicz, Knilans, "Chou's
electrocardiography", 6th ed.; Sameni and others 2007): septal forces to the right and front, the
left ventricle to the left, the base last and to the back. All times are from the R peak.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from .scenario import Conduction, Scenario, Territory
from .waves import Waves, join_waves, waves

__all__ = ["Heart", "Ventricles", "draw_heart", "p_wave", "spike"]

Floats = npt.NDArray[np.float64]

# Beyond this many widths a Gaussian no longer shows: where a QRS is taken to begin and end.
_EDGE: Final = 2.2

_WIDE: Final = ("rbbb", "lbbb", "rbbb lafb", "rbbb lpfb")
# A share of the lengths below; so that a block's QRS stays above 120 ms, and others below.
_WIDTHS_WIDE: Final = (0.88, 1.08)
_WIDTHS_NARROW: Final = (0.74, 1.04)

_SEPTUM: Final = (-22.0, 8.0, (-0.14, 0.02, -0.24))
_NORMAL: Final = waves(
    _SEPTUM,
    (-2.0, 10.0, (0.95, 0.72, 0.10)),
    (14.0, 9.0, (0.35, 0.25, 0.45)),
    (30.0, 9.0, (-0.12, -0.15, 0.25)),
)
_LAFB: Final = waves(
    (-20.0, 8.0, (-0.15, 0.35, -0.14)),
    (0.0, 11.0, (0.75, -0.35, 0.12)),
    (18.0, 11.0, (0.40, -0.75, 0.35)),
    (36.0, 10.0, (-0.05, -0.30, 0.20)),
)
_LPFB: Final = waves(
    (-20.0, 8.0, (0.25, -0.30, -0.14)),
    (0.0, 11.0, (-0.25, 0.90, 0.05)),
    (18.0, 11.0, (-0.45, 0.80, 0.30)),
    (36.0, 10.0, (-0.10, 0.10, 0.25)),
)
_LBBB: Final = waves(
    (-38.0, 14.0, (0.30, 0.12, 0.22)),
    (-8.0, 20.0, (0.75, 0.35, 0.75)),
    (32.0, 22.0, (0.75, 0.20, 0.85)),
    (62.0, 14.0, (0.20, 0.00, 0.40)),
)
# The right ventricle, late and slow: to the right and front.
_LATE_RIGHT: Final = waves((48.0, 15.0, (-0.45, 0.02, -0.52)), (70.0, 16.0, (-0.27, -0.03, -0.34)))
_SMALL_LATE_RIGHT: Final = waves((40.0, 9.0, (-0.22, 0.00, -0.26)))
_QRS: Final[Mapping[Conduction, Waves]] = {
    "normal": _NORMAL,
    "rbbb": join_waves(_NORMAL, _LATE_RIGHT),
    "incomplete rbbb": join_waves(_NORMAL, _SMALL_LATE_RIGHT),
    "lbbb": _LBBB,
    "lafb": _LAFB,
    "lpfb": _LPFB,
    "rbbb lafb": join_waves(_LAFB, _LATE_RIGHT),
    "rbbb lpfb": join_waves(_LPFB, _LATE_RIGHT),
    "wpw": _NORMAL,
}
_T_NORMAL: Final = (0.25, 0.18, -0.13)
_T: Final[Mapping[Conduction, tuple[float, float, float]]] = {
    "normal": _T_NORMAL,
    "rbbb": (0.28, 0.18, 0.12),
    "incomplete rbbb": _T_NORMAL,
    "lbbb": (-0.24, -0.05, -0.42),
    "lafb": _T_NORMAL,
    "lpfb": _T_NORMAL,
    "rbbb lafb": (0.28, 0.18, 0.12),
    "rbbb lpfb": (0.28, 0.10, 0.12),
    "wpw": _T_NORMAL,
}
# Where each territory looks, from the middle of the heart.
_TERRITORIES: Final[Mapping[Territory, tuple[float, float, float]]] = {
    "anterior": (0.35, 0.05, -0.94),
    "septal": (-0.25, 0.05, -0.97),
    "lateral": (0.95, -0.25, 0.05),
    "inferior": (0.05, 0.99, 0.10),
    "posterior": (-0.05, 0.10, 0.99),
}


@dataclass(frozen=True)
class Ventricles:
    """One way in which the ventricles are excited.

    Attributes:
        qrs: Around the R peak.
        t: ST segment and T wave around the R peak, at an RR interval of a second.
    """

    qrs: Waves
    t: Waves

    @property
    def onset_s(self) -> float:
        """Begin of QRS, seconds from the R peak: negative."""
        return float((self.qrs.at_s - _EDGE * self.qrs.width_s).min())

    @property
    def offset_s(self) -> float:
        """End of QRS, seconds from the R peak."""
        return float((self.qrs.at_s + _EDGE * self.qrs.width_s).max())

    def beat(self, rr_s: float) -> Waves:
        """QRS and T after an RR interval: QT follows RR, QRS does not."""
        factor = float(np.clip(rr_s, 0.25, 1.6)) ** 0.42
        # The ST segment begins where QRS ends, whatever the rate.
        return join_waves(self.qrs, self.t.stretched(factor, about_s=0.04))


@dataclass(frozen=True)
class Heart:
    """The shapes that one heart has.

    Attributes:
        p: Sinus P wave, around its begin.
        ectopic_p: P wave from elsewhere in the atria, around its begin.
        own: Beats that came down through the AV node.
        ectopic: Beats from one place in a ventricle.
        paced: Beats from a pacemaker in the right ventricle.
    """

    p: Waves
    ectopic_p: Waves
    own: Ventricles
    ectopic: Ventricles
    paced: Ventricles


def draw_heart(scenario: Scenario, rng: np.random.Generator) -> Heart:
    """A heart for a scenario, with its own size, axis and shapes."""
    own = _conducted(scenario.conduction, rng)
    if scenario.conduction == "wpw":
        own = _with_delta(own, rng)
    own = _repolarised(own, scenario, rng)
    rotation = _axis(rng)
    size = float(np.exp(rng.normal(0.0, 0.25)))
    return Heart(
        p=_vary(p_wave(rng), rng, 0.15).scaled(float(np.exp(rng.normal(0.0, 0.3)))),
        ectopic_p=p_wave(rng).scaled(np.array([rng.choice((-1.0, 1.0)), -0.8, 1.0])),
        own=_turned(own, rotation, size),
        ectopic=_from_ventricle(rng),
        paced=_from_pacemaker(rng),
    )


def p_wave(rng: np.random.Generator) -> Waves:
    """Right atrium to the front and down, then the left one to the left and back."""
    gap = rng.uniform(22, 38)
    return waves((45.0, 18.0, (0.04, 0.09, -0.05)), (45.0 + gap, 19.0, (0.06, 0.06, 0.05)))


def spike(size_mv: float, rng: np.random.Generator) -> Waves:
    """The stimulus of a pacemaker, a millisecond wide, and its after-potential."""
    direction = _unit(rng.normal((0.3, 0.8, -0.2), 0.35))
    return Waves(
        np.array([0.0, 0.004]),
        np.array([0.0009, 0.003]),
        np.stack([direction * size_mv, -0.08 * direction * size_mv]),
    )


def _conducted(conduction: Conduction, rng: np.random.Generator) -> Ventricles:
    wide = conduction in _WIDE
    qrs = _QRS[conduction].stretched(rng.uniform(*_WIDTHS_WIDE if wide else _WIDTHS_NARROW))
    t = _t_wave(np.array(_T[conduction]), rng)
    qrs = join_waves(_vary(qrs, rng, 0.2), _notches(rng))
    return Ventricles(qrs, join_waves(t, _st_segment(_usual_st(rng))))


def _notches(rng: np.random.Generator) -> Waves:
    """Small quick turns within QRS, which no Gaussian of the main forces gives."""
    return Waves(
        rng.uniform(-0.015, 0.020, 2),
        rng.uniform(0.0035, 0.007, 2),
        rng.normal(0.0, 0.10, (2, 3)),
    )


def _usual_st(rng: np.random.Generator) -> Floats:
    """Nobody's ST segment is quite flat; in early repolarisation it is high where T is."""
    early = rng.uniform(0.05, 0.2) if rng.random() < 0.15 else 0.0
    return np.asarray(rng.normal(0.0, 0.015, 3) + early * np.array([0.6, 0.4, -0.7]))


def _st_segment(vector_mv: Floats) -> Waves:
    """A plateau between QRS and T."""
    return Waves(
        np.array([0.085, 0.145, 0.200]),
        np.array([0.022, 0.030, 0.032]),
        np.outer([0.7, 0.75, 0.6], vector_mv),
    )


def _t_wave(vector: Floats, rng: np.random.Generator) -> Waves:
    """A slow rise and a steeper fall."""
    vector = vector * np.exp(rng.normal(0.0, 0.3)) + rng.normal(0.0, 0.05, 3)
    late = rng.uniform(-15, 25)
    rise, fall = tuple(0.6 * vector), tuple(0.65 * vector)
    return waves((245.0 + late, 45.0, rise), (290.0 + late, 29.0, fall))


def _with_delta(own: Ventricles, rng: np.random.Generator) -> Ventricles:
    """Pre-excitation: a slow start from where the accessory pathway enters."""
    place = _unit(np.array([rng.uniform(-0.3, 1.0), rng.uniform(-0.9, 0.9), rng.normal(-0.4, 0.4)]))
    size = rng.uniform(0.3, 0.6)
    delta = Waves(
        np.array([-0.052, -0.030]),
        np.array([0.014, 0.013]) * rng.uniform(0.9, 1.15),
        np.stack([place * size * 0.55, place * size]),
    )
    t = replace(own.t, vector_mv=own.t.vector_mv - rng.uniform(0.1, 0.4) * place)
    return Ventricles(join_waves(delta, own.qrs), t)


def _repolarised(own: Ventricles, scenario: Scenario, rng: np.random.Generator) -> Ventricles:
    kind = scenario.repolarisation
    if kind == "flat t":
        return replace(own, t=own.t.scaled(float(rng.uniform(-0.2, 0.3))))
    if kind == "hypertrophy":
        return _hypertrophied(own, rng)
    if kind == "normal":
        return own
    towards = _unit(np.array(_TERRITORIES[scenario.territory]) + rng.normal(0.0, 0.15, 3))
    if kind == "ischaemia":
        depth = -rng.uniform(0.08, 0.25)
        return replace(own, t=_repolarisation(own.t, towards, depth, -rng.uniform(0.1, 0.35)))
    infarcted = _with_q(own.qrs, towards, rng, 0.5 if kind == "acute" else 1.0)
    if kind == "acute":
        t = _repolarisation(own.t, towards, rng.uniform(0.15, 0.5), rng.uniform(0.0, 0.35))
    else:
        t = _repolarisation(own.t, towards, rng.uniform(-0.05, 0.08), -rng.uniform(0.0, 0.4))
    return Ventricles(infarcted, t)


def _with_q(qrs: Waves, towards: Floats, rng: np.random.Generator, share: float) -> Waves:
    """Dead muscle no longer pulls towards its side: first forces point away, R is lower there."""
    along = qrs.vector_mv @ towards
    loss = share * rng.uniform(0.35, 0.9) * np.where(qrs.at_s < 0.02, np.clip(along, 0, None), 0)
    living = replace(qrs, vector_mv=qrs.vector_mv - loss[:, None] * towards)
    deep = share * rng.uniform(0.25, 0.65)
    q = Waves(np.array([-0.022]), np.array([rng.uniform(0.010, 0.014)]), -deep * towards[None])
    return join_waves(q, living)


def _repolarisation(t: Waves, towards: Floats, st_mv: float, t_mv: float) -> Waves:
    """A shift of the ST segment along a direction, and of the T wave."""
    along = np.clip(t.vector_mv @ towards, 0, None) if t_mv < 0 else np.zeros(len(t.at_s))
    moved = t.vector_mv - along[:, None] * towards + 0.6 * t_mv * towards
    return join_waves(_st_segment(st_mv * towards), replace(t, vector_mv=moved))


def _hypertrophied(own: Ventricles, rng: np.random.Generator) -> Ventricles:
    """A thick left ventricle: high voltage to the left and back, often with strain."""
    qrs = own.qrs.scaled(np.array([1.6, 1.2, 1.7]) * rng.uniform(0.8, 1.2))
    strain = np.array([-0.25, -0.08, -0.25]) * rng.uniform(0.0, 1.2)
    return Ventricles(qrs, replace(own.t, vector_mv=own.t.vector_mv + 0.6 * strain))


def _from_ventricle(rng: np.random.Generator) -> Ventricles:
    """From either ventricle, high or low: the first excited side is left behind."""
    left_sided = rng.random() < 0.45
    x = -rng.uniform(0.1, 0.9) if left_sided else rng.uniform(0.1, 0.9)
    z = -rng.uniform(0.3, 1.0) if left_sided else rng.uniform(0.3, 1.0)
    direction = _unit(np.array([x, rng.uniform(-1.0, 1.0), z]))
    return _slow_beat(direction, rng.uniform(1.1, 2.1), rng.uniform(0.9, 1.25), rng)


def _from_pacemaker(rng: np.random.Generator) -> Ventricles:
    """From the right ventricle, to the left, back and mostly up; or from both at once."""
    x = rng.uniform(-0.5, 0.8)
    if rng.random() < 0.2:  # both ventricles: shorter, and away from the left one
        return _slow_beat(
            _unit(np.array([-abs(x), rng.uniform(-1.0, 0.5), rng.normal(0.0, 0.5)])),
            rng.uniform(0.6, 1.3),
            rng.uniform(0.8, 0.95),
            rng,
        )
    direction = _unit(np.array([x, rng.uniform(-1.0, 0.3), 0.8]))
    return _slow_beat(direction, rng.uniform(0.7, 1.7), rng.uniform(0.9, 1.2), rng)


def _slow_beat(
    direction: Floats, size_mv: float, slowness: float, rng: np.random.Generator
) -> Ventricles:
    """Muscle to muscle: wide, notched, and repolarised the other way round."""
    sideways = _unit(np.cross(direction, rng.normal(0.0, 1.0, 3)))
    parts = np.array([0.35, 0.85, 0.7, 0.2])[:, None] * direction
    parts = size_mv * (parts + np.array([0.25, 0.1, -0.2, -0.3])[:, None] * sideways)
    qrs = Waves(
        np.array([-0.038, -0.006, 0.028, 0.054]) * slowness,
        np.array([0.011, 0.014, 0.016, 0.012]) * slowness,
        parts,
    )
    t = _t_wave(-0.28 * size_mv * direction, rng).shifted(0.03)
    return Ventricles(join_waves(qrs, _notches(rng).scaled(size_mv)), t)


def _axis(rng: np.random.Generator) -> Floats:
    """A rotation: the electrical axis in the frontal plane, and a turn about the long axis."""
    frontal, transverse = np.radians(rng.normal((0.0, 0.0), (22.0, 14.0)))
    cos, sin = np.cos(frontal), np.sin(frontal)
    in_front = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    cos, sin = np.cos(transverse), np.sin(transverse)
    across = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
    return np.asarray(in_front @ across)


def _turned(own: Ventricles, rotation: Floats, size: float) -> Ventricles:
    return Ventricles(own.qrs.turned(rotation).scaled(size), own.t.turned(rotation).scaled(size))


def _vary(shape: Waves, rng: np.random.Generator, spread: float) -> Waves:
    """The same shape in another person."""
    count = len(shape.at_s)
    lengths = np.linalg.norm(shape.vector_mv, axis=1, keepdims=True)
    return Waves(
        shape.at_s + rng.normal(0.0, 0.12 * spread, count) * shape.width_s,
        shape.width_s * np.exp(rng.normal(0.0, 0.4 * spread, count)),
        shape.vector_mv * np.exp(rng.normal(0.0, spread, (count, 1)))
        + rng.normal(0.0, spread, (count, 3)) * lengths,
    )


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))
