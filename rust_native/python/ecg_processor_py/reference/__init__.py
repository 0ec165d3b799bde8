"""The algorithms in plain NumPy: the fallback where the Rust core is missing, and its oracle.

Each function here is the twin of one in the Rust core and takes what a `kernel.Kernel` takes.
"""

from .analysis import analyze
from .batch import analyze_batch
from .filters import bandpass, notch, remove_baseline
from .gaps import fill_gaps
from .hrv import hrv, normal_intervals
from .indices import quality_indices
from .json_numbers import take_json_numbers
from .preparation import prepare_ecg_fm, resample, segment, standardize
from .quality import signal_quality
from .reversal import check_lead_reversal
from .rhythm import find_anomalies
from .rpeaks import detect_r_peaks
from .snr import snr_db
from .stream import open_stream

__all__ = [
    "analyze",
    "analyze_batch",
    "bandpass",
    "check_lead_reversal",
    "detect_r_peaks",
    "fill_gaps",
    "find_anomalies",
    "hrv",
    "normal_intervals",
    "notch",
    "open_stream",
    "prepare_ecg_fm",
    "quality_indices",
    "remove_baseline",
    "resample",
    "segment",
    "signal_quality",
    "snr_db",
    "standardize",
    "take_json_numbers",
]
