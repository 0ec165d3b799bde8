"""Anomalies of the rhythm, from the times of the beats and little else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...kernel import RawAnomaly
from .gaps import gaps
from .irregular import irregular_findings, judge_beats
from .premature import premature_findings
from .rate import too_fast, too_slow

__all__ = ["find_anomalies"]


def find_anomalies(
    peaks_s: NDArray[np.float64],
    duration_s: float,
    unlike: NDArray[np.bool_] | None,
    measurable: list[tuple[float, float]] | None,
    min_heart_rate: float,
    max_heart_rate: float,
) -> list[RawAnomaly]:
    """All findings in order of their start (see `types.Anomaly`).

    Takes ascending R peaks, which of them are of another shape than the usual one, and the spans in
    which a beat would have been seen (None: everywhere, provided that there are beats).
    """
    if len(peaks_s) == 0 and measurable is None:
        return []
    spans = [(0.0, duration_s)] if measurable is None else measurable
    rr_ms = np.diff(peaks_s) * 1000.0
    degrees, early = judge_beats(rr_ms, unlike)
    found = gaps(peaks_s, duration_s, spans)
    found += irregular_findings(peaks_s, rr_ms, degrees)
    found += premature_findings(peaks_s, early)
    found += too_fast(peaks_s, rr_ms, max_heart_rate)
    found += too_slow(peaks_s, rr_ms, min_heart_rate)
    return sorted(found, key=lambda anomaly: anomaly[1])
