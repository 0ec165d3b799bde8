"""The detector's candidates on annotated records: measured, labelled, and judged by any weights."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from ecg_processor_py.reference.candidates import Candidates, Pair, Voices, measure, r_peak
from ecg_processor_py.reference.candidates import height as height_of
from ecg_processor_py.reference.chain import best_chain
from ecg_processor_py.reference.curves import Curves
from ecg_processor_py.reference.rpeaks import recorded_peaks

from benchmarks.databases import AnnotatedRecord
from benchmarks.logistic import Logistic
from benchmarks.scoring import is_scored

NEAR_S = 0.1

# Noise of electrode motion is 118e06 of nstdb minus 118 of mitdb; the first five minutes are clean.
NOISY = "mitdb, noisy"
SNR_DB = 6.0
CLEAN_SAMPLES = 100_000
# A stretch of 118e06 that noise was added to, and the parts in which its power is measured.
NOISE_SAMPLES = slice(108_100, 151_100)
POWER_SAMPLES = 360
QRS_REACH, QRS_BEATS = 18, 300


@dataclass(frozen=True)
class JudgedLeads:
    """Candidates of one lead of a record, or of all leads together.

    Attributes:
        record: that they were found in.
        lead: its row, or None for all leads together.
        features: measurements `(candidates, 11)`.
        is_beat: which candidates are the nearest to a reference beat, at most 100 ms away.
        counted: which candidates lie where the record was annotated.
        at_s: where the candidates are, s.
        peaks: the R peak of each, in recorded samples.
        duration_s: length of the curves, s.
    """

    record: AnnotatedRecord
    lead: int | None
    features: np.ndarray
    is_beat: np.ndarray
    counted: np.ndarray
    at_s: np.ndarray
    peaks: np.ndarray
    duration_s: float

    def detect(self, model: Logistic) -> np.ndarray:
        """R peaks, in recorded samples, where candidates are judged by `model`."""
        chain = best_chain(self.at_s, model.odds(self.features), self.duration_s)
        return np.unique(self.peaks[chain])


def judged_leads(record: AnnotatedRecord) -> Iterator[JudgedLeads]:
    """Each lead by itself, and all together where there are several."""
    leads = len(record.signal_mv)
    for lead in range(leads):
        yield judge_rows(record, lead)
    if leads > 1:
        yield judge_rows(record, None)


def judge_rows(record: AnnotatedRecord, lead: int | None) -> JudgedLeads:
    """Measure and label the candidates of one lead, or of all."""
    rows = record.signal_mv if lead is None else record.signal_mv[[lead]]
    curves = Curves.of(rows, record.fs_hz)
    voices = Voices.of(curves)
    pair = Pair.of_lead(curves, voices, 0) if curves.leads == 1 else Pair.of_vote(curves, voices)
    found = Candidates.of(curves, voices)
    samples = found.at * curves.step
    places = r_peak(curves, voices, found.at)
    return JudgedLeads(
        record,
        lead,
        measure(curves, voices, pair, found.at, found.peak),
        near_beats(samples, record.r_peaks, NEAR_S * record.fs_hz),
        is_annotated(record, samples),
        found.at / curves.fs_hz,
        recorded_peaks(rows.shape[1], curves, height_of(curves, voices), places),
        curves.duration_s,
    )


def is_annotated(record: AnnotatedRecord, samples: np.ndarray) -> np.ndarray:
    """Tell which samples lie where beats were annotated, outside ventricular fibrillation.

    LUDB's first and last beats were left out; CPSC 2019 annotates what it does not score.
    """
    whole = record if record.database == "ludb" else replace(record, scored=(-np.inf, np.inf))
    return is_scored(whole, samples, 0.0)


def near_beats(samples: np.ndarray, beats: np.ndarray, reach: float) -> np.ndarray:
    """Mark the candidate nearest to each beat, if it lies within `reach` samples.

    Args:
        samples: of the candidates, ascending.
        beats: of the reference, ascending.
        reach: largest distance.
    """
    is_beat = np.zeros(len(samples), bool)
    if len(samples):
        later = np.searchsorted(samples, beats)
        sides = np.clip([later - 1, later], 0, len(samples) - 1)
        away = np.abs(samples[sides] - beats)
        nearest = np.take_along_axis(sides, away.argmin(axis=0)[None], axis=0)[0]
        is_beat[nearest[away.min(axis=0) <= reach]] = True
    return is_beat


def with_electrode_motion(
    records: list[AnnotatedRecord], noisy_118: AnnotatedRecord
) -> list[AnnotatedRecord]:
    """Add the noise of 118e06 to every record of mitdb but 118, at 6 dB."""
    clean_118 = next(record for record in records if record.name == "118")
    noise_mv = noisy_118.signal_mv - clean_118.signal_mv
    noise_mv -= np.median(noise_mv[:, :CLEAN_SAMPLES], axis=1, keepdims=True)
    return [_with_noise(record, noise_mv) for record in records if record is not clean_118]


def _with_noise(record: AnnotatedRecord, noise_mv: np.ndarray) -> AnnotatedRecord:
    """Add noise at a ratio of powers that is reckoned as WFDB's `nst` does."""
    beats = record.r_peaks[:QRS_BEATS]
    pairs = zip(record.signal_mv, noise_mv, strict=True)
    ratios = [_qrs_power(lead, beats) / _noise_power(noise) for lead, noise in pairs]
    gains = np.sqrt(np.array(ratios) / 10.0 ** (SNR_DB / 10.0))
    signal_mv = record.signal_mv + gains[:, None] * noise_mv
    return replace(record, database=NOISY, signal_mv=signal_mv)


def _qrs_power(lead_mv: np.ndarray, beats: np.ndarray) -> float:
    """An eighth of the squared peak-to-peak amplitude that QRS complexes usually have."""
    around = [lead_mv[at - QRS_REACH : at + QRS_REACH] for at in beats if at > QRS_REACH]
    return float(np.median([np.ptp(qrs) for qrs in around]) ** 2) / 8.0


def _noise_power(noise_mv: np.ndarray) -> float:
    """Mean variance in parts of a second."""
    noise_mv = noise_mv[NOISE_SAMPLES]
    parts = range(0, len(noise_mv) - POWER_SAMPLES, POWER_SAMPLES)
    return float(np.mean([np.var(noise_mv[first : first + POWER_SAMPLES]) for first in parts]))
