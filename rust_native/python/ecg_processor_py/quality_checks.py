"""What a recording can be checked for beyond its quality score: indices, exchanged electrodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks
from .backend import choose
from .kernel import RawReversal

__all__ = ["LeadReversal", "QualityIndices", "check_lead_reversal", "quality_indices", "snr_db"]

SUMS = {
    "einthoven": "I + III - II leaves {0:.2f} mV rms, where the largest of them has {1:.2f}: "
    "one is not what its name says, or they are not in one scale",
    "goldberger": "aVR + aVL + aVF leaves {0:.2f} mV rms, where the largest of them has {1:.2f}: "
    "one is not what its name says, or they are not in one scale",
    "RA/RL": "II swings by {0:.2f} mV, as between two legs, and the largest limb lead by {1:.2f}",
    "LA/RL": "III swings by {0:.2f} mV, as between two legs, and the largest limb lead by {1:.2f}",
}
LIMB = (
    "the QRS axis is {0:.0f} degrees and the limb leads agree by {1:.2f} with what the chest leads "
    "make of them; exchanged back, {2:.0f} degrees and {3:.2f}"
)
CHEST = (
    "the bend from lead to lead along the chest is {0:.2f} in shape and {1:.2f} mV in amplitude; "
    "exchanged back, {2:.2f} and {3:.2f}"
)


@dataclass(frozen=True)
class QualityIndices:
    """Indices of one lead from the literature; they are reported, not decided on.

    On recordings of unselected patients they tell noise from signal far less well than the
    likeness of the beats does, on which `signal_quality` decides. Powers are those of Welch's
    periodogram: periodic Hann windows of 4 s (or the recording if that is shorter), half
    overlapping, the mean of each removed, filled with zeros up to a power of two; a band takes the
    bins at both of its ends. What is not defined is NaN, as for a constant lead.

    Attributes:
        k_sqi: kurtosis, 3 for Gaussian noise, above 5 for a clean lead (Li, Mark and Clifford,
            Physiol. Meas. 29 (2008) 15).
        s_sqi: skewness (Clifford et al., Physiol. Meas. 33 (2012) 1419).
        p_sqi: power in 5 to 15 Hz over that in 5 to 40 Hz (Li et al., 2008; Zhao and Zhang,
            Front. Physiol. 9 (2018) 727).
        bas_sqi: one less the power in 0 to 1 Hz over that in 0 to 40 Hz (Clifford et al., 2012).
        mains_ratio: power within 1 Hz of 50 or 60 Hz, whichever is higher, over that in 5 to 40 Hz;
            NaN where the sampling rate shows neither.
        mains_hz: 50 or 60 if that has four times the power of its neighbours, else NaN.
        baseline_mv: standard deviation of what a zero-phase second-order Butterworth high-pass of
            0.6 Hz takes off.
        high_frequency_mv: root mean square of what lies above 40 Hz, mains included.
    """

    k_sqi: float
    s_sqi: float
    p_sqi: float
    bas_sqi: float
    mains_ratio: float
    mains_hz: float
    baseline_mv: float
    high_frequency_mv: float

    def to_dict(self) -> dict[str, float | None]:
        """Give a JSON-able form, NaN as None."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: None if math.isnan(v) else v for name, v in values.items()}


@dataclass(frozen=True)
class LeadReversal:
    """Electrodes that seem exchanged, or leads that contradict one another.

    Attributes:
        kind: "RA/LA", "RA/LL", "LA/LL", "RA/LA/LL" (all three turned round), "RA/RL", "LA/RL", two
            chest leads such as "V1/V2" or "V1/V3", "einthoven" (I + III is not II) or "goldberger"
            (aVR + aVL + aVF is not 0).
        confidence: 0.5 to 1.
        text: what was seen.
    """

    kind: str
    confidence: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-able form."""
        return {"kind": self.kind, "confidence": self.confidence, "text": self.text}


def quality_indices(
    x: ArrayLike, fs_hz: float, *, use_ffi: bool | None = None
) -> tuple[QualityIndices, ...]:
    """Measure what `QualityIndices` defines, for each lead in order.

    Args:
        x: `(samples,)` or `(leads, samples)` in mV, at least 1 s.
        fs_hz: samples per second, 100 to 2000.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Raises:
        InvalidSignalError: samples that cannot be used, or too few.
        ConfigError: a rate out of bounds.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz, analysis=True)
    leads = choose(use_ffi)[0].quality_indices(signal, rate)
    return tuple(QualityIndices(*values) for values in leads)


def snr_db(
    x: ArrayLike,
    fs_hz: float,
    r_peaks: ArrayLike | None = None,
    *,
    use_ffi: bool | None = None,
) -> NDArray[np.float64]:
    """Measure the signal-to-noise ratio of each lead: beats against what does not repeat.

    The mean beat is the signal, its power spread over the RR interval; noise is what a scaled and
    shifted mean beat and a line leave of each beat (ensemble averaging: Sörnmo and Laguna,
    Bioelectrical Signal Processing, 2005). Baseline wander slower than a beat is no noise here, see
    `baseline_mv` of `quality_indices`. Within 1 dB for white noise of 5 to 20 dB; beyond 25 dB the
    heart's own variation is measured, and below 0 dB peaks are too uncertain.

    Args:
        x: `(samples,)` or `(leads, samples)` in mV, at least 1 s.
        fs_hz: samples per second, 100 to 2000.
        r_peaks: sample indices in rising order; by default those that `detect_r_peaks` finds.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Returns:
        `(leads,)` in dB, NaN where fewer than three beats are seen whole, or nothing is noise.

    Raises:
        InvalidSignalError: samples that cannot be used, or too few; peaks out of order.
        ConfigError: a rate out of bounds.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz, analysis=True)
    kernel = choose(use_ffi)[0]
    if r_peaks is None:
        peaks = kernel.detect_r_peaks(signal, rate)
    else:
        peaks = checks.as_peaks(r_peaks, signal.shape[1])
    return np.array(kernel.snr_db(signal, rate, peaks.tolist()))


def check_lead_reversal(
    x: ArrayLike, fs_hz: float, lead_names: Sequence[str], *, use_ffi: bool | None = None
) -> tuple[LeadReversal, ...]:
    """Look for exchanged electrodes in a 12-lead recording.

    The median beat is judged with each pair of limb electrodes exchanged back: how well I and II
    agree with what V1 to V6 make of them (after Kors and van Herpen, Am. J. Cardiol. 88 (2001) 396)
    and how usual the frontal axes of P, QRS and T are (after Hedén et al., Am. J. Cardiol. 75
    (1995) 929), weighed by a conditional logistic model. A lead between two legs is flat. Along the
    chest, neighbours change smoothly unless two are exchanged.

    On public records, exchanged by arithmetic, it finds more than eight in ten exchanges of RA with
    LA or LL, half of those of V1 to V5 with a neighbour, one in six of LA with LL and of V5 with
    V6, and none of LL with RL, which changes nothing; its thresholds were chosen with these records
    in view. Dextrocardia, an unusual axis, pacing and chest leads in quite another order look like
    exchanges of limb leads: a finding asks for a look at the patient, no more.

    Args:
        x: `(leads, samples)` in mV, at least 1 s; three beats or more must be seen whole.
        fs_hz: samples per second, 100 to 2000.
        lead_names: a name for each row; limb and chest electrodes are judged where I, II and V1 to
            V6 are there, sums where their three leads are.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Returns:
        What was found: contradictions of the limb leads, then one exchange of limb and one of chest
        electrodes at most; mostly nothing.

    Raises:
        InvalidSignalError: samples or names that cannot be used.
        ConfigError: a rate out of bounds.
    """
    signal, _ = checks.as_signal(x)
    rate = checks.sampling_rate(fs_hz, analysis=True)
    order = checks.order_of_leads(lead_names, len(signal), zero_missing=True)
    found = choose(use_ffi)[0].check_lead_reversal(signal, rate, order)
    return tuple(LeadReversal(raw[0], raw[1], _text(raw)) for raw in found)


def _text(raw: RawReversal) -> str:
    kind, _, recorded, undone = raw
    text = SUMS.get(kind) or (CHEST if kind.startswith("V") else LIMB)
    return text.format(*recorded, *undone)
