"""The whole way of one recording, by ours and by three Python stacks.

Each takes `(leads, samples)` float32 mV and its rate, and does: resample to 500 Hz where it comes
otherwise, zero-phase band-pass of order 4 (0.5 to 40 Hz) and 50 Hz notch on every lead, R peaks,
RR intervals, quality of every lead, z-score of every lead.
"""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import ecg_processor_py as ecg
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft
from scipy import signal as dsp

FS_HZ, LOW_HZ, HIGH_HZ, ORDER, NOTCH_HZ, NOTCH_Q = 500.0, 0.5, 40.0, 4, 50.0, 30.0
EDGE = int(2.5 * FS_HZ)
# Python's cascade is spared the long edge that ours has.
SHORT_EDGE = int(1.0 * FS_HZ)

Filter = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """What a stack found at 500 Hz."""

    filtered: np.ndarray
    r_peaks: np.ndarray
    rr_ms: np.ndarray
    quality: np.ndarray
    z: np.ndarray


ANALYZER = ecg.ECGAnalyzerFFI()
CONFIG = ecg.ECGAnalysisConfig(enable_hrv=False, enable_anomaly_detection=False)
ROOMS: dict[tuple[str, tuple[int, ...]], np.ndarray] = {}


def _room(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Memory for a result that is used again, as a server would."""
    if (room := ROOMS.get((name, shape))) is None:
        room = ROOMS[name, shape] = np.empty(shape, np.float32)
    return room


def ours(x: np.ndarray, fs_hz: float) -> Outcome:
    """Filter in one pass, everything into memory that is there already."""
    if fs_hz != FS_HZ:
        shape = (len(x), int(x.shape[1] * FS_HZ / fs_hz))
        x = ecg.resample(x, fs_hz, FS_HZ, out=_room("resample", shape))
    room = _room("bandpass", x.shape)
    filtered = ecg.bandpass(x, FS_HZ, LOW_HZ, HIGH_HZ, order=ORDER, notch_hz=NOTCH_HZ, out=room)
    told = ANALYZER.analyze(x, CONFIG)
    quality = np.array([lead.score for lead in told.lead_quality])
    z = ecg.standardize(filtered, out=_room("standardize", x.shape))
    return Outcome(filtered, told.qrs_peaks, told.rr_intervals, quality, z)


@functools.cache
def _sections() -> tuple[np.ndarray, np.ndarray]:
    """Band-pass and notch as one cascade, and its state for a constant input."""
    sections = np.vstack(
        [
            dsp.butter(ORDER, LOW_HZ, "high", output="sos", fs=FS_HZ),
            dsp.butter(ORDER, HIGH_HZ, "low", output="sos", fs=FS_HZ),
            dsp.tf2sos(*dsp.iirnotch(NOTCH_HZ, NOTCH_Q, FS_HZ)),
        ]
    )
    return sections.astype(np.float32), dsp.sosfilt_zi(sections).astype(np.float32)


def _extended(x: np.ndarray, edge: int) -> np.ndarray:
    """Subtract each lead's mean and reflect the ends through their last sample."""
    x = x - x.mean(axis=-1, keepdims=True)
    before = 2 * x[:, :1] - x[:, edge:0:-1]
    return np.concatenate([before, x, 2 * x[:, -1:] - x[:, -2 : -edge - 2 : -1]], axis=-1)


def cascade(x: np.ndarray) -> np.ndarray:
    """Forwards and backwards through all sections at once."""
    sections, state = _sections()
    y = _extended(x, SHORT_EDGE)
    for _ in range(2):
        y, _ = dsp.sosfilt(sections, y, zi=state[:, None] * y[None, :, :1])
        y = y[:, ::-1]
    return y[:, SHORT_EDGE:-SHORT_EDGE]


@functools.cache
def _gain(length: int) -> np.ndarray:
    sections, _ = _sections()
    _, response = dsp.sosfreqz(
        sections.astype(np.float64), fft.rfftfreq(length, 1 / FS_HZ), fs=FS_HZ
    )
    return (np.abs(response) ** 2).astype(np.float32)


def by_fft(x: np.ndarray) -> np.ndarray:
    """The same gain in the frequency domain; what wraps around lies within the edges."""
    y = _extended(x, EDGE)
    length = fft.next_fast_len(y.shape[-1], real=True)
    spectrum = fft.rfft(y, length, axis=-1)
    spectrum *= _gain(length)
    return fft.irfft(spectrum, length, axis=-1)[:, EDGE : EDGE + x.shape[-1]]


def _template_quality(x: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Mean correlation of a lead's beats with their mean, zero where it is flat."""
    before, length = int(0.2 * FS_HZ), int(0.5 * FS_HZ)
    starts = peaks - before
    starts = starts[(starts >= 0) & (starts + length <= x.shape[-1])]
    if not starts.size:
        return np.zeros(len(x))
    beats = sliding_window_view(x, length, axis=-1)[:, starts]
    beats = beats - beats.mean(axis=-1, keepdims=True)
    template = beats.mean(axis=1)
    norms = np.sqrt(np.einsum("lbs,lbs->lb", beats, beats))
    scale = norms * np.linalg.norm(template, axis=-1, keepdims=True)
    products = np.einsum("lbs,ls->lb", beats, template)
    alike = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    return np.where(np.ptp(x, axis=-1) > 0.05, alike.mean(axis=-1), 0.0)


def tuned_python(x: np.ndarray, fs_hz: float, zero_phase: Filter = cascade) -> Outcome:
    """soxr, one filter in f32 for all leads, sleepecg in C on one lead, plain NumPy."""
    import soxr
    from sleepecg import detect_heartbeats

    if fs_hz != FS_HZ:
        x = soxr.resample(x.T, fs_hz, FS_HZ, quality="MQ").T
    filtered = zero_phase(x)
    peaks = detect_heartbeats(x[min(1, len(x) - 1)].astype(np.float64), FS_HZ)
    quality = _template_quality(filtered, peaks)
    centred = filtered - filtered.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.einsum("ls,ls->l", centred, centred) / centred.shape[-1])
    z = centred / np.where(deviation > 0, deviation, 1)[:, None]
    return Outcome(filtered, peaks, np.diff(peaks) * (1000.0 / FS_HZ), quality, z)


def scipy_and_neurokit(x: np.ndarray, fs_hz: float) -> Outcome:
    """As one writes it first: scipy's functions a step each, sleepecg, NeuroKit's quality."""
    import neurokit2 as nk
    from scipy.stats import zscore
    from sleepecg import detect_heartbeats

    if fs_hz != FS_HZ:
        x = dsp.resample_poly(x, int(FS_HZ), int(fs_hz), axis=-1)
    filtered = x - np.median(x, axis=-1, keepdims=True)
    for kind, corner_hz in (("high", LOW_HZ), ("low", HIGH_HZ)):
        sections = dsp.butter(ORDER, corner_hz, kind, output="sos", fs=FS_HZ)
        filtered = dsp.sosfiltfilt(sections, filtered, axis=-1, padlen=EDGE)
    filtered = dsp.filtfilt(*dsp.iirnotch(NOTCH_HZ, NOTCH_Q, FS_HZ), filtered, axis=-1)
    peaks = detect_heartbeats(x[min(1, len(x) - 1)].astype(np.float64), FS_HZ)
    quality = _template_quality(filtered, peaks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nk.hrv_time(peaks, sampling_rate=int(FS_HZ))
    rr_ms = np.diff(peaks) * (1000.0 / FS_HZ)
    return Outcome(filtered, peaks, rr_ms, quality, zscore(filtered, axis=-1))


def neurokit_process(lead_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """NeuroKit's own way of one lead, with its delineation; gives the R peaks."""
    import neurokit2 as nk

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, told = nk.ecg_process(lead_mv, sampling_rate=int(fs_hz))
    return np.asarray(told["ECG_R_Peaks"])


STACKS = {
    "ours": ours,
    "tuned Python, cascade": tuned_python,
    "tuned Python, FFT": functools.partial(tuned_python, zero_phase=by_fft),
    "scipy, sleepecg, neurokit": scipy_and_neurokit,
}
