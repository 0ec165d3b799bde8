"""Noise of a recording, made at the electrodes, so that it obeys Einthoven as real noise does.

Kinds and sizes after Sameni and others 2007 (see ``leads``) and Moody, Muldrow, Mark, "A noise
stress test for arrhythmia detectors", Computers in Cardiology 1984; 11: 381-384.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .leads import ELECTRODES, from_electrodes
from .scenario import Noise

__all__ = ["Levels", "add_noise", "draw_levels", "record"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """How much of each noise.

    Attributes:
        wander_mv: Slow drift by breathing and skin.
        muscle_mv: Standard deviation of the muscles' noise.
        mains_mv: Amplitude of the mains.
        mains_hz: Its frequency.
        motion_mv: Size of the jumps when an electrode moves.
        moving: Electrodes that do.
        off: Leads without contact, by their row in the 12.
    """

    wander_mv: float = 0.0
    muscle_mv: float = 0.0
    mains_mv: float = 0.0
    mains_hz: float = 50.0
    motion_mv: float = 0.0
    moving: tuple[int, ...] = ()
    off: tuple[int, ...] = ()


def draw_levels(noise: Noise, rng: np.random.Generator) -> Levels:
    """Levels that go with a word."""
    mains_hz = float(rng.choice((50.0, 60.0)))
    if noise == "none":
        return Levels()
    if noise == "poor":
        return _poor(rng, mains_hz)
    scale = 0.4 if noise == "low" else 1.0
    moves = noise == "usual" and rng.random() < 0.25
    return Levels(
        wander_mv=scale * float(rng.gamma(1.5, 0.05)),
        muscle_mv=scale * float(rng.gamma(1.5, 0.007)),
        mains_mv=scale * float(rng.gamma(0.5, 0.010)),
        mains_hz=mains_hz,
        motion_mv=float(rng.uniform(0.05, 0.3)) if moves else 0.0,
        moving=(int(rng.integers(9)),) if moves else (),
    )


def add_noise(clean_mv: Floats, fs_hz: float, levels: Levels, rng: np.random.Generator) -> Floats:
    """The leads with noise, ``(12, samples)`` millivolts."""
    samples = clean_mv.shape[1]
    potentials = _wander(samples, fs_hz, levels, rng)
    potentials += _muscle(samples, fs_hz, levels, rng)
    potentials += _mains(samples, fs_hz, levels, rng)
    for electrode in levels.moving:
        potentials[electrode] += _motion(samples, fs_hz, levels.motion_mv, rng)
    noisy = clean_mv + from_electrodes(potentials)
    for lead in levels.off:
        noisy[lead] = _without_contact(samples, fs_hz, levels.mains_hz, rng)
    return noisy


def record(signal_mv: Floats, fs_hz: float, rng: np.random.Generator) -> Floats:
    """What a device makes of it: its band, its gain, its steps, its range."""
    high_pass_hz = rng.choice((0.0, 0.05, 0.15, 0.5))
    low_pass_hz = rng.choice((35.0, 100.0, 150.0, 250.0))
    frequencies = np.fft.rfftfreq(signal_mv.shape[1], 1.0 / fs_hz)
    response = 1.0 / np.sqrt(1.0 + (frequencies / low_pass_hz) ** 4)
    if high_pass_hz > 0:
        response *= frequencies**2 / (frequencies**2 + high_pass_hz**2)
    filtered = np.fft.irfft(np.fft.rfft(signal_mv) * response, signal_mv.shape[1])
    gain, step_mv = rng.uniform(0.95, 1.05), rng.choice((0.001, 0.0025, 0.005))
    return np.asarray(np.clip(np.round(gain * filtered / step_mv) * step_mv, -16.0, 16.0))


def _poor(rng: np.random.Generator, mains_hz: float) -> Levels:
    """One thing or several that make a tracing hard to read."""
    muscle, moves, wanders, off, hums = rng.random(5) < (0.45, 0.5, 0.4, 0.45, 0.25)
    if not (muscle or moves or wanders or off or hums):
        moves = True
    moving = rng.choice(len(ELECTRODES), rng.integers(1, 5), replace=False) if moves else ()
    without = rng.choice(np.arange(12), rng.integers(1, 6), replace=False) if off else ()
    return Levels(
        wander_mv=float(rng.uniform(0.8, 2.5) if wanders else rng.gamma(1.5, 0.06)),
        muscle_mv=float(rng.uniform(0.06, 0.3) if muscle else rng.gamma(1.5, 0.010)),
        mains_mv=float(rng.uniform(0.12, 0.6) if hums else rng.gamma(0.5, 0.015)),
        mains_hz=mains_hz,
        motion_mv=float(rng.uniform(0.7, 3.0)),
        moving=tuple(int(each) for each in moving),
        off=tuple(int(each) for each in without),
    )


def _wander(samples: int, fs_hz: float, levels: Levels, rng: np.random.Generator) -> Floats:
    t = np.arange(samples) / fs_hz
    frequencies = rng.uniform(0.05, 0.5, 4)
    phases = rng.uniform(0.0, 2 * np.pi, (4, 1))
    waves = np.sin(2 * np.pi * frequencies[:, None] * t + phases)
    weights = rng.normal(0.0, levels.wander_mv / 2, (len(ELECTRODES), 4))
    return np.asarray(weights @ waves)


def _muscle(samples: int, fs_hz: float, levels: Levels, rng: np.random.Generator) -> Floats:
    """White noise less its slow part, swelling and ebbing."""
    white = rng.standard_normal((len(ELECTRODES), samples + 1))
    fast = (white[:, 1:] - 0.6 * white[:, :-1]) / 1.17
    t = np.arange(samples) / fs_hz
    swell = 1.0 + 0.6 * np.sin(2 * np.pi * rng.uniform(0.05, 0.4) * t + rng.uniform(0, 6.3))
    uneven = levels.muscle_mv * np.exp(rng.normal(0.0, 0.4, (len(ELECTRODES), 1)))
    return np.asarray(uneven * swell * fast)


def _mains(samples: int, fs_hz: float, levels: Levels, rng: np.random.Generator) -> Floats:
    phase = 2 * np.pi * levels.mains_hz * np.arange(samples) / fs_hz + rng.uniform(0, 6.3)
    hum = np.sin(phase) + 0.2 * np.sin(3 * phase + 1.0)
    return np.outer(levels.mains_mv * rng.normal(0.0, 0.7, len(ELECTRODES)), hum)


def _motion(samples: int, fs_hz: float, size_mv: float, rng: np.random.Generator) -> Floats:
    """Jumps that decay: an electrode pulled and let go."""
    moved = np.zeros(samples)
    t = np.arange(samples) / fs_hz
    for start_s in rng.uniform(-0.5, samples / fs_hz, rng.integers(1, 6)):
        since = np.clip(t - start_s, 0.0, None)
        rise_s, decay_s = rng.uniform(0.02, 0.15), rng.uniform(0.15, 1.2)
        jump = (1.0 - np.exp(-since / rise_s)) * np.exp(-since / decay_s)
        moved += size_mv * rng.normal() * jump
    return moved


def _without_contact(
    samples: int, fs_hz: float, mains_hz: float, rng: np.random.Generator
) -> Floats:
    """Flat, or hum and hiss alone."""
    if rng.random() < 0.5:
        return np.zeros(samples)
    hum = np.sin(2 * np.pi * mains_hz * np.arange(samples) / fs_hz)
    return np.asarray(rng.uniform(0, 0.3) * hum + 0.05 * rng.standard_normal(samples))
