"""What is timed: a real recording in several shapes, and inputs that are worst for a detector."""

from pathlib import Path

import numpy as np
from pydicom.data import get_testdata_file

from benchmarks.databases import DATA, read_wfdb
from serve_app.decoding import decode

LEAD_II = 1
HALF_HOUR_FS_HZ, HALF_HOUR = 360.0, 650_000


def recording_1000_hz() -> np.ndarray:
    """Give `(12, 10000)` float32 mV at 1 kHz, the 12-lead recording that ships inside pydicom."""
    path = Path(str(get_testdata_file("waveform_ecg.dcm", download=False)))
    return np.ascontiguousarray(decode(path.read_bytes()).signal_mv, np.float32)


def recording_500_hz() -> np.ndarray:
    """Give `(12, 5000)` float32 mV, every second sample of the same."""
    return np.ascontiguousarray(recording_1000_hz()[:, ::2])


def half_hour() -> np.ndarray:
    """Give `(650000,)` float32 mV at 360 Hz: MIT-BIH 100, or else ten seconds over and over."""
    header = DATA / "beats/mitdb/100.hea"
    if header.exists():
        return read_wfdb(header, "mitdb").signal_mv[0].astype(np.float32)
    return np.resize(recording_500_hz()[LEAD_II], HALF_HOUR)


def worst_inputs(typical: np.ndarray, fs_hz: float) -> dict[str, np.ndarray]:
    """Give signals of the shape and dtype of `typical` on which detectors lose their way."""
    t = np.broadcast_to(np.arange(typical.shape[-1]) / fs_hz, typical.shape)
    spikes = np.zeros(typical.shape)
    spikes[..., :: round(0.2 * fs_hz)] = 1.0
    start = np.where(t < 2.0, 5.0 * np.sin(20 * np.pi * t), 0.0)
    rng = np.random.default_rng(11)
    made = {
        "saturated square, 3 Hz": 5.0 * np.sign(np.sin(6 * np.pi * t + 0.1)),
        "white noise": rng.standard_normal(typical.shape),
        "clipped at 0.1 mV": np.clip(typical, -0.1, 0.1),
        "constant": np.full(typical.shape, 0.5),
        "spikes each 200 ms": spikes,
        "loud start, then nothing": start,
    }
    return {name: np.ascontiguousarray(x, typical.dtype) for name, x in made.items()}
