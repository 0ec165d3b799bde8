"""R-peak detectors under one signature: ours and the peers', imported only when they are called."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

Detector = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class NamedDetector:
    """A detector, the distribution it comes from, and whether it looks at every lead.

    `find` takes `(samples,)`, or `(leads, samples)` if `multi_lead`, in mV, and the rate in Hz.
    """

    name: str
    package: str
    find: Detector
    multi_lead: bool = False

    @property
    def ours(self) -> bool:
        return self.package == "ecg-processor-py"

    @property
    def version(self) -> str:
        return version(self.package)


def ours_rust(signal_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    from ecg_processor_py import detect_r_peaks

    return detect_r_peaks(signal_mv, fs_hz, use_ffi=True)


def ours_python(signal_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    from ecg_processor_py import detect_r_peaks

    return detect_r_peaks(signal_mv, fs_hz, use_ffi=False)


def sleepecg(signal_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    from sleepecg import detect_heartbeats

    return detect_heartbeats(signal_mv, fs_hz)


def wfdb_xqrs(signal_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    from wfdb.processing import xqrs_detect

    return xqrs_detect(signal_mv, fs_hz, verbose=False)


def wfdb_gqrs(signal_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """Marks the QRS onset, not the peak; its thresholds are meant for 200 units a millivolt."""
    from wfdb.processing import gqrs_detect

    centred = signal_mv - np.median(signal_mv)
    return gqrs_detect(d_sig=np.round(centred * 200.0), fs=fs_hz, adc_gain=200.0, adc_zero=0)


def neurokit(method: str) -> Detector:
    """NeuroKit's cleaning and search of one name; UNSW (khamis2016) has no cleaning of its own."""

    def find(signal_mv: np.ndarray, fs_hz: float) -> np.ndarray:
        import neurokit2 as nk

        rate = round(fs_hz)
        clean = signal_mv
        if method != "khamis2016":
            clean = nk.ecg_clean(signal_mv, sampling_rate=rate, method=method)
        return nk.ecg_findpeaks(clean, sampling_rate=rate, method=method)["ECG_R_Peaks"]

    return find


def biosppy_hamilton(signal_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """The default of `biosppy.signals.ecg.ecg`, which also cuts out templates."""
    from biosppy.signals.ecg import ecg

    return ecg(signal_mv, fs_hz, show=False)["rpeaks"]


def biosppy_pan_tompkins(signal_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """Pan-Tompkins++ (Khan and Imtiaz 2022), its peaks then moved to the extremum as biosppy does.

    Its branch for exactly 200 Hz fails on a name of its own, so that rate is missed by a hair.
    """
    from biosppy.signals import ecg

    rate = 200.0001 if fs_hz == 200 else fs_hz
    peaks = ecg.Pan_Tompkins_Plus_Plus_segmenter(signal_mv, rate)["rpeaks"]
    return ecg.correct_rpeaks(signal_mv, np.asarray(peaks, int), rate, 0.05)["rpeaks"]


DETECTORS = {
    detector.name: detector
    for detector in (
        NamedDetector("ours, Rust, one lead", "ecg-processor-py", ours_rust),
        NamedDetector("ours, Rust, all leads", "ecg-processor-py", ours_rust, multi_lead=True),
        NamedDetector("ours, Python, one lead", "ecg-processor-py", ours_python),
        NamedDetector("sleepecg", "sleepecg", sleepecg),
        NamedDetector("wfdb XQRS", "wfdb", wfdb_xqrs),
        NamedDetector("wfdb GQRS", "wfdb", wfdb_gqrs),
        NamedDetector("neurokit2 default", "neurokit2", neurokit("neurokit")),
        NamedDetector("neurokit2 kalidas2017", "neurokit2", neurokit("kalidas2017")),
        NamedDetector("neurokit2 khamis2016", "neurokit2", neurokit("khamis2016")),
        NamedDetector("neurokit2 emrich2023", "neurokit2", neurokit("emrich2023")),
        NamedDetector("biosppy Pan-Tompkins++", "biosppy", biosppy_pan_tompkins),
        NamedDetector("biosppy hamilton", "biosppy", biosppy_hamilton),
    )
}


def find_quietly(name: str, signal_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """Ask a detector by name, without the warnings of its libraries; int64 peaks, ascending."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        peaks = DETECTORS[name].find(signal_mv, fs_hz)
    return np.unique(np.asarray(peaks, np.float64).round().astype(np.int64))
