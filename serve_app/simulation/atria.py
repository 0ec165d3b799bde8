"""Atria without P waves: fibrillation and flutter as a continuous dipole."""

import numpy as np
import numpy.typing as npt

from .rhythms import Activity

__all__ = ["atrial_dipole"]

Floats = npt.NDArray[np.float64]


def atrial_dipole(events: Activity, samples: int, fs_hz: float, rng: np.random.Generator) -> Floats:
    """``(3, samples)`` millivolts; zeros where there are P waves instead."""
    if events.atria == "fibrillating":
        return _fibrillation(samples, fs_hz, rng)
    if events.atria == "fluttering":
        return _flutter(samples, fs_hz, events.flutter_s, rng)
    return np.zeros((3, samples))


def _fibrillation(samples: int, fs_hz: float, rng: np.random.Generator) -> Floats:
    """Fibrillation: a sawtooth whose frequency and size wander.

    Stridh, Sornmo, "Spatiotemporal QRST cancellation techniques for analysis of atrial
    fibrillation", IEEE Trans Biomed Eng 2001; 48: 105-111; here each axis wanders on its own.
    """
    t = np.arange(samples) / fs_hz
    size_mv = np.exp(rng.uniform(np.log(0.008), np.log(0.09)))
    base_hz = rng.uniform(4.5, 8.5)
    dipole = np.zeros((3, samples))
    for axis, weight in enumerate((0.3, 0.7, 0.8)):
        swings = rng.uniform(0.1, 0.6, 2), rng.uniform(0.0, 2 * np.pi, 2), rng.uniform(0.8, 2.0, 2)
        wander = sum(
            depth * np.sin(2 * np.pi * hz * t + phase)
            for hz, phase, depth in zip(*swings, strict=True)
        )
        cycle = 2 * np.pi * base_hz * t + wander + rng.uniform(0.0, 2 * np.pi)
        swell = 1.0 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.7) * t + rng.uniform(0.0, 6.3))
        saw = sum(np.sin(k * cycle) / k for k in (1, 2, 3))
        dipole[axis] = weight * size_mv * swell * saw
    return dipole


def _flutter(samples: int, fs_hz: float, wave_s: float, rng: np.random.Generator) -> Floats:
    """A sawtooth: slowly down and steeply up in the inferior leads, upright in V1."""
    cycle = 2 * np.pi * (np.arange(samples) / fs_hz) / wave_s
    size_mv = np.exp(rng.uniform(np.log(0.04), np.log(0.2)))
    saw = sum(np.sin(k * cycle) / k * np.exp(-0.08 * k * k) for k in (1, 2, 3, 4))
    direction = np.array([0.1, 0.9, -0.35]) + rng.normal(0.0, 0.15, 3)
    if rng.random() < 0.2:
        direction[1] = -direction[1]  # the other way round
    return np.outer(size_mv * direction, -saw)
