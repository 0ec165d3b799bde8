"""Simulated recordings without noise, and what can be measured on them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from serve_app.recording import STANDARD_LEADS
from serve_app.simulation import SCENARIOS, Scenario, Simulated, simulate


@dataclass(frozen=True)
class Trace:
    """A simulated recording with rulers."""

    simulated: Simulated

    @property
    def fs_hz(self) -> float:
        return self.simulated.recording.fs_hz

    def lead(self, name: str) -> np.ndarray:
        return self.simulated.clean_mv[STANDARD_LEADS.index(name)]

    @property
    def middle_beats(self) -> np.ndarray:
        """R peaks with half a second on either side."""
        peaks = self.simulated.r_peaks
        margin = int(0.5 * self.fs_hz)
        return peaks[(peaks > margin) & (peaks < self.simulated.clean_mv.shape[1] - margin)]

    @property
    def rr_s(self) -> np.ndarray:
        return np.diff(self.simulated.r_peaks) / self.fs_hz

    def qrs_s(self) -> tuple[float, float]:
        """Median begin and end of QRS from the R peak: where the leads together turn slow."""
        speed = np.sqrt((np.gradient(self.simulated.clean_mv, axis=1) ** 2).sum(0))
        edges = []
        # Not into the T waves of a fast heart.
        reach = int(min(0.13, 0.26 * np.median(self.rr_s)) * self.fs_hz)
        for peak in self.middle_beats:
            window = speed[peak - reach : peak + reach]
            # Not the very fastest: that may be a pacemaker's spike.
            fast = np.flatnonzero(window > 0.12 * np.percentile(window, 95))
            edges.append((fast[0] - reach, fast[-1] - reach))
        begin, end = np.median(edges, axis=0) / self.fs_hz
        return float(begin), float(end)

    def qrs_ms(self) -> float:
        begin_s, end_s = self.qrs_s()
        return 1000.0 * (end_s - begin_s)

    def p_before_r_s(self) -> float:
        """Median time from the peak of P to the R peak, by what all leads do together."""
        size = np.sqrt((self.simulated.clean_mv**2).sum(0))
        begin = int(-self.qrs_s()[0] * self.fs_hz) + int(0.01 * self.fs_hz)
        found = []
        for peak in self.middle_beats:
            window = size[peak - int(0.42 * self.fs_hz) : peak - begin]
            found.append((len(window) - int(np.argmax(window)) + begin) / self.fs_hz)
        return float(np.median(found))

    def at(self, lead: str, after_r_s: float) -> float:
        """Median millivolts some time after R, against the moment before P."""
        signal, peaks = self.lead(lead), self.middle_beats
        level = signal[peaks - int(0.28 * self.fs_hz)]
        return float(np.median(signal[peaks + int(after_r_s * self.fs_hz)] - level))


Tracer = Callable[..., list[Trace]]


@pytest.fixture(scope="session")
def traces() -> Tracer:
    """Simulations of a scenario without noise, one for each seed."""

    def make(scenario: str | Scenario, seeds: int = 8, fs_hz: float = 500.0) -> list[Trace]:
        wanted = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
        wanted = replace(wanted, noise="none")
        return [Trace(simulate(wanted, seed=seed, fs_hz=fs_hz)) for seed in range(seeds)]

    return make
