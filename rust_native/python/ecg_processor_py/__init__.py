"""ECG signal processing in Rust with a NumPy fallback.

`ECGAnalyzerFFI` analyses whole recordings; the functions work on arrays. NumPy is the only
dependency.
"""

from .analyzer import ECGAnalyzerFFI
from .backend import BACKEND, build_info
from .errors import (
    ConfigError,
    ECGError,
    InvalidSignalError,
    NativeError,
    NativeUnavailableError,
)
from .findings import (
    detect_r_peaks,
    find_anomalies,
    hrv,
    normal_intervals,
    signal_quality,
)
from .gaps import Gap, fill_gaps
from .json_numbers import take_json_numbers
from .quality_checks import (
    LeadReversal,
    QualityIndices,
    check_lead_reversal,
    quality_indices,
    snr_db,
)
from .simd import available_simd_paths, force_simd_path, simd_path
from .streaming import Beat, StreamingAnalyzer
from .transforms import (
    bandpass,
    notch,
    prepare_ecg_fm,
    remove_baseline,
    resample,
    segment,
    standardize,
)
from .types import (
    Anomaly,
    ECGAnalysisConfig,
    ECGAnalysisResult,
    HRVMetrics,
    LeadQuality,
    SignalQuality,
)

__version__ = "0.1.0"

__all__ = [
    "BACKEND",
    "Anomaly",
    "Beat",
    "ConfigError",
    "ECGAnalysisConfig",
    "ECGAnalysisResult",
    "ECGAnalyzerFFI",
    "ECGError",
    "Gap",
    "HRVMetrics",
    "InvalidSignalError",
    "LeadQuality",
    "LeadReversal",
    "NativeError",
    "NativeUnavailableError",
    "QualityIndices",
    "SignalQuality",
    "StreamingAnalyzer",
    "__version__",
    "available_simd_paths",
    "bandpass",
    "build_info",
    "check_lead_reversal",
    "detect_r_peaks",
    "fill_gaps",
    "find_anomalies",
    "force_simd_path",
    "hrv",
    "normal_intervals",
    "notch",
    "prepare_ecg_fm",
    "quality_indices",
    "remove_baseline",
    "resample",
    "segment",
    "signal_quality",
    "simd_path",
    "snr_db",
    "standardize",
    "take_json_numbers",
]
