"""Filters, resampling and the model's input of 12 leads x 10 s at 500 Hz, against SciPy."""

import time
from collections.abc import Callable

import ecg_processor_py as ecg
import numpy as np
import scipy
from scipy import signal as sps

from benchmarks.reporting import print_header

FS_HZ, SAMPLES = 500.0, 5000
WARM, TIMES = 20, 200
LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
PAD = int(2.5 * FS_HZ)


def recording() -> np.ndarray:
    """Beats on wander, hum and 300 mV of offset, float32 `(12, 10000)`, mV."""
    t = np.arange(2 * SAMPLES) / FS_HZ
    beats = np.exp(-0.5 * (((t % 0.8) - 0.4) / 0.012) ** 2)
    wander = 2.0 * np.sin(2 * np.pi * 0.2 * t) + 0.1 * np.sin(2 * np.pi * 50.0 * t)
    noise = np.random.default_rng(0).normal(0, 0.01, (12, len(t)))
    gains = np.linspace(0.4, 1.5, 12)[:, None]
    return (300.0 + gains * beats + wander + noise).astype(np.float32)


def scipy_filter(x: np.ndarray, *sections: np.ndarray) -> np.ndarray:
    centred = x - np.median(x, axis=-1, keepdims=True).astype(np.float64)
    return sps.sosfiltfilt(np.vstack(sections), centred, padtype="odd", padlen=PAD)


def timed_us(call: Callable[[], object]) -> np.ndarray:
    times_us = []
    for i in range(WARM + TIMES):
        started_s = time.perf_counter()
        call()
        if i >= WARM:
            times_us.append((time.perf_counter() - started_s) * 1e6)
    return np.array(times_us)


def report(name: str, ours: Callable[[], object], peer_us: float) -> None:
    for path in ecg.available_simd_paths():
        ecg.force_simd_path(path)
        low, median, high = np.percentile(timed_us(ours), [5, 50, 95])
        print(
            f"{name:<34} {path:<9} p50 {median:8.1f} us   p5 {low:8.1f}   p95 {high:8.1f}"
            f"   peer / ours {peer_us / median:6.1f}"
        )
    ecg.force_simd_path("auto")


def cases(whole: np.ndarray):
    """Name, ours, the peer in SciPy or NumPy, and the largest difference allowed."""
    x = np.ascontiguousarray(whole[:, :SAMPLES])
    lead = x[1].copy()
    high = sps.butter(4, 0.5, "high", fs=FS_HZ, output="sos")
    low = sps.butter(4, 40.0, "low", fs=FS_HZ, output="sos")
    b, a = sps.iirnotch(50.0, 30.0, FS_HZ)
    mains = sps.tf2sos(b, a)
    # The last digit of 300 mV in float32 is worth 0.03 uV.
    out, half, row = np.empty_like(x), np.empty_like(x), np.empty_like(lead)
    segments = np.empty((2, 12, 2500), np.float32)

    def z_scores() -> np.ndarray:
        wide = x.astype(np.float64)
        return (wide - wide.mean(axis=1, keepdims=True)) / wide.std(axis=1, keepdims=True)

    def between() -> np.ndarray:
        places = np.arange(SAMPLES) * ((2 * SAMPLES - 1) / (SAMPLES - 1))
        return np.array([np.interp(places, np.arange(2 * SAMPLES), row) for row in whole])

    return [
        (
            "bandpass, order 4",
            lambda: ecg.bandpass(x, FS_HZ, out=out),
            lambda: scipy_filter(x, high, low),
            5e-4,
        ),
        (
            "bandpass and notch in one pass",
            lambda: ecg.bandpass(x, FS_HZ, notch_hz=50.0, out=out),
            lambda: scipy_filter(x, high, mains, low),
            5e-4,
        ),
        (
            "bandpass, one lead",
            lambda: ecg.bandpass(lead, FS_HZ, out=row),
            lambda: scipy_filter(lead, high, low),
            5e-4,
        ),
        (
            "bandpass and notch, one lead",
            lambda: ecg.bandpass(lead, FS_HZ, notch_hz=50.0, out=row),
            lambda: scipy_filter(lead, high, mains, low),
            5e-4,
        ),
        (
            "notch",
            lambda: ecg.notch(x, FS_HZ, out=out),
            lambda: sps.filtfilt(b, a, x.astype(np.float64), padtype="odd", padlen=PAD),
            5e-4,
        ),
        (
            "remove_baseline, high-pass",
            lambda: ecg.remove_baseline(x, FS_HZ, out=out),
            lambda: scipy_filter(x, sps.butter(2, 0.5, "high", fs=FS_HZ, output="sos")),
            5e-4,
        ),
        (
            "standardize",
            lambda: ecg.standardize(x, out=out),
            z_scores,
            1e-5,
        ),
        (
            "prepare_ecg_fm",
            lambda: ecg.prepare_ecg_fm(x, FS_HZ, LEADS, out=segments),
            lambda: z_scores().reshape(12, 2, 2500).swapaxes(0, 1),
            1e-5,
        ),
        (
            "resample 1000 to 500 Hz, linear",
            lambda: ecg.resample(whole, 1000, 500, out=half),
            between,
            1e-3,
        ),
        (
            "resample 1000 to 500 Hz, polyphase",
            lambda: ecg.resample(whole, 1000, 500, method="polyphase", out=half),
            lambda: 300.0 + sps.resample_poly(whole - np.float64(300.0), 1, 2, axis=1),
            1e-3,
        ),
    ]


def main() -> None:
    print_header(f"12 leads x {SAMPLES} float32 with out=, median of {TIMES} calls; peer: SciPy")
    print(f"scipy {scipy.__version__}, instructions: {', '.join(ecg.available_simd_paths())}")
    for name, ours, peer, allowed in cases(recording()):
        # The polyphase peer extends the ends differently: compared inside.
        inside = slice(100, -100) if "polyphase" in name else slice(None)
        difference = float(np.abs(ours() - peer())[..., inside].max())
        assert difference < allowed, (name, difference)
        report(name, ours, float(np.median(timed_us(peer))))


if __name__ == "__main__":
    main()
