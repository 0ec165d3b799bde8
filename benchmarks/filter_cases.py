"""What `filters.py` times: ours, a peer that gives the same, and how far apart they may be."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import ecg_processor_py as ecg
import numpy as np
import soxr
from scipy import ndimage
from scipy import signal as sps

FS_HZ, SAMPLES = 500.0, 5000
LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
PAD = int(2.5 * FS_HZ)
HIGH = sps.butter(4, 0.5, "high", fs=FS_HZ, output="sos")
LOW = sps.butter(4, 40.0, "low", fs=FS_HZ, output="sos")
BASELINE = sps.butter(2, 0.5, "high", fs=FS_HZ, output="sos")
MAINS = sps.tf2sos(*sps.iirnotch(50.0, 30.0, FS_HZ))
# The last digit of 300 mV in float32 is worth 0.03 uV; 0.5 uV is what is promised.
NEAR_MV = 5e-4
# Other low-passes, other ends: soxr is compared inside and on what both pass.
SOXR_NEAR_MV = 2e-2


@dataclass(frozen=True)
class Case:
    """Calls to compare; `inside` samples at each end are not, where ends are extended otherwise."""

    name: str
    ours: Callable[[], np.ndarray]
    peer_name: str
    peer: Callable[[], np.ndarray]
    allowed: float
    inside: int = field(default=0)

    def difference(self) -> float:
        apart = np.abs(self.ours() - self.peer())
        return float(apart[..., self.inside : apart.shape[-1] - self.inside].max())


def recording() -> np.ndarray:
    """Beats on wander, hum and 300 mV of offset, float32 `(12, 10000)`, mV."""
    t = np.arange(2 * SAMPLES) / FS_HZ
    beats = np.exp(-0.5 * (((t % 0.8) - 0.4) / 0.012) ** 2)
    wander = 2.0 * np.sin(2 * np.pi * 0.2 * t) + 0.1 * np.sin(2 * np.pi * 50.0 * t)
    noise = np.random.default_rng(0).normal(0, 0.01, (12, len(t)))
    gains = np.linspace(0.4, 1.5, 12)[:, None]
    return (300.0 + gains * beats + wander + noise).astype(np.float32)


def cases() -> Iterator[Case]:
    whole = recording()
    x = np.ascontiguousarray(whole[:, :SAMPLES])
    yield from bands(x, "")
    yield from bands(x[1].copy(), ", one lead")
    yield from others(x)
    yield from standards(x)
    yield from rates(whole)


def sosfiltfilt(x: np.ndarray, *sections: np.ndarray) -> np.ndarray:
    centred = x - np.median(x, axis=-1, keepdims=True).astype(np.float64)
    return sps.sosfiltfilt(np.vstack(sections), centred, padtype="odd", padlen=PAD)


def bands(x: np.ndarray, kind: str) -> Iterator[Case]:
    out = np.empty_like(x)
    yield Case(
        f"bandpass, order 4{kind}",
        lambda: ecg.bandpass(x, FS_HZ, out=out),
        "scipy sosfiltfilt",
        lambda: sosfiltfilt(x, HIGH, LOW),
        NEAR_MV,
    )
    yield Case(
        f"bandpass and notch{kind}",
        lambda: ecg.bandpass(x, FS_HZ, notch_hz=50.0, out=out),
        "scipy sosfiltfilt",
        lambda: sosfiltfilt(x, HIGH, MAINS, LOW),
        NEAR_MV,
    )


def others(x: np.ndarray) -> Iterator[Case]:
    out = np.empty_like(x)
    b, a = sps.iirnotch(50.0, 30.0, FS_HZ)
    yield Case(
        "notch",
        lambda: ecg.notch(x, FS_HZ, out=out),
        "scipy filtfilt",
        lambda: sps.filtfilt(b, a, x.astype(np.float64), padtype="odd", padlen=PAD),
        NEAR_MV,
    )
    yield Case(
        "remove_baseline, high-pass",
        lambda: ecg.remove_baseline(x, FS_HZ, out=out),
        "scipy sosfiltfilt",
        lambda: sosfiltfilt(x, BASELINE),
        NEAR_MV,
    )
    yield Case(
        "remove_baseline, median",
        lambda: ecg.remove_baseline(x, FS_HZ, method="median", out=out),
        "scipy median_filter",
        lambda: without_medians(x),
        0.1,
    )


def without_medians(x: np.ndarray) -> np.ndarray:
    """Ours on the same averages of four samples: the full rate would take a second."""
    means = x.reshape(len(x), -1, 4).mean(axis=2, dtype=np.float64)
    medians = ndimage.median_filter(means, (1, 25), mode="nearest")
    medians = ndimage.median_filter(medians, (1, 75), mode="nearest")
    places, centres = np.arange(x.shape[1]), 4.0 * np.arange(means.shape[1]) + 1.5
    return x - np.array([np.interp(places, centres, row) for row in medians])


def z_scores(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    return (wide - wide.mean(axis=1, keepdims=True)) / wide.std(axis=1, keepdims=True)


def standards(x: np.ndarray) -> Iterator[Case]:
    out, segments = np.empty_like(x), np.empty((2, 12, 2500), np.float32)
    yield Case(
        "standardize", lambda: ecg.standardize(x, out=out), "numpy", lambda: z_scores(x), 1e-5
    )
    yield Case(
        "prepare_ecg_fm, 500 Hz",
        lambda: ecg.prepare_ecg_fm(x, FS_HZ, LEADS, out=segments),
        "numpy",
        lambda: z_scores(x).reshape(12, 2, 2500).swapaxes(0, 1),
        1e-5,
    )


def between(whole: np.ndarray) -> np.ndarray:
    places = np.arange(SAMPLES) * ((2 * SAMPLES - 1) / (SAMPLES - 1))
    return np.array([np.interp(places, np.arange(2 * SAMPLES), row) for row in whole])


def rates(whole: np.ndarray) -> Iterator[Case]:
    half, segments = np.empty((12, SAMPLES), np.float32), np.empty((2, 12, 2500), np.float32)
    yield Case(
        "prepare_ecg_fm, 1000 Hz",
        lambda: ecg.prepare_ecg_fm(whole, 1000, LEADS, out=segments),
        "numpy interp",
        lambda: z_scores(between(whole)).reshape(12, 2, 2500).swapaxes(0, 1),
        1e-5,
    )
    yield Case(
        "resample 1000 to 500 Hz, linear",
        lambda: ecg.resample(whole, 1000, 500, out=half),
        "numpy interp",
        lambda: between(whole),
        NEAR_MV,
    )
    polyphase = lambda: ecg.resample(whole, 1000, 500, method="polyphase", out=half)  # noqa: E731
    yield Case(
        "resample 1000 to 500 Hz, polyphase",
        polyphase,
        "scipy resample_poly",
        lambda: 300.0 + sps.resample_poly(whole - np.float64(300.0), 1, 2, axis=1),
        NEAR_MV,
        inside=100,
    )
    yield Case(
        "resample 1000 to 500 Hz, polyphase",
        polyphase,
        "soxr, HQ",
        lambda: 300.0 + soxr.resample((whole - np.float32(300.0)).T, 1000, 500).T,
        SOXR_NEAR_MV,
        inside=100,
    )
