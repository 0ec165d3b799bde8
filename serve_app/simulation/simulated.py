"""Simulate a 12-lead recording whose beats and labels are known."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serve_app.model.labels import LABELS
from serve_app.recording import STANDARD_LEADS, Recording, make_recording

from .atria import atrial_dipole
from .leads import body_field, project
from .morphology import Heart, draw_heart, spike
from .noise import add_noise, draw_levels, record
from .rhythms import Activity, Beat, activity
from .scenario import SCENARIOS, Scenario
from .waves import Waves, render

__all__ = ["Simulated", "simulate"]

Floats = npt.NDArray[np.float64]

# As cardiologists count them; and what is between is neither.
_SLOW_BPM, _FAST_BPM = 60.0, 100.0
_RUN = 3
_PACING = ("ventricular pacing", "dual pacing", "atrial pacing")
_BLOCKS = ("wenckebach", "mobitz", "complete block")
_SINUS = ("sinus", "wenckebach", "mobitz")


@dataclass(frozen=True)
class Simulated:
    """A recording and the truth about it.

    Attributes:
        recording: As if it had been decoded from a file.
        scenario: What was asked for.
        beats: Those whose R peak lies in the recording, by time.
        activity: All of them, P waves and stimuli, also beyond the ends.
        clean_mv: ``(12, samples)`` float64: the leads without noise and device.
        qrs_ms: Width of the conducted QRS.
        pr_ms: Of the sinus beats, as asked; None where P waves do not lead the ventricles.
    """

    recording: Recording
    scenario: Scenario
    beats: tuple[Beat, ...]
    activity: Activity
    clean_mv: Floats
    qrs_ms: float
    pr_ms: float | None

    @property
    def r_peaks(self) -> npt.NDArray[np.int64]:
        """Sample indices of the R peaks."""
        peaks = np.array([beat.r_s for beat in self.beats]) * self.recording.fs_hz
        return np.round(peaks).astype(np.int64)

    @property
    def rate_bpm(self) -> float:
        """Mean ventricular rate; NaN below two beats."""
        return _rate([beat.r_s for beat in self.beats])

    @property
    def labels(self) -> npt.NDArray[np.bool_]:
        """``(17,)`` in the order of ``serve_app.model.labels``, for the whole recording."""
        return self.labels_between(0.0, self.recording.duration_s)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels that hold."""
        return tuple(label.name for label, on in zip(LABELS, self.labels, strict=True) if on)

    def labels_between(self, start_s: float, end_s: float) -> npt.NDArray[np.bool_]:
        """``(17,)`` for a part: beats that come and go count only where they are."""
        inside = [beat for beat in self.beats if start_s <= beat.r_s < end_s]
        holding = _of_scenario(self.scenario) | _of_beats(self.scenario, inside, self.rate_bpm)
        return np.array([label.name in holding for label in LABELS])


def simulate(
    scenario: Scenario | str = "sinus",
    *,
    seed: int = 0,
    duration_s: float = 10.0,
    fs_hz: float = 500.0,
) -> Simulated:
    """Simulate a recording.

    The heart is a dipole of Gaussian waves on the phase of its cycle (McSharry and others, IEEE
    Trans Biomed Eng 2003; 50: 289-294; Sameni and others, EURASIP J Adv Signal Process 2007:
    043407), seen by 12 leads through a lead field near that of Dower and others (Clin Cardiol
    1980; 3: 87-95), with noise of the electrodes and of the device on top.

    Args:
        scenario: What to show, or a name out of ``SCENARIOS``.
        seed: Of everything the scenario leaves open; the same seed gives the same bits.
        duration_s: Length, at least a second.
        fs_hz: Sampling rate, 100 to 2000 Hz.

    Returns:
        The recording, its beats and its labels.

    Raises:
        ValueError: for a name that there is not, a length or a rate out of range.
    """
    wanted = _scenario(scenario)
    if not 1.0 <= duration_s <= 3600.0:
        raise ValueError(f"duration_s must lie in 1..3600, not {duration_s}")
    if not 100.0 <= fs_hz <= 2000.0:
        raise ValueError(f"fs_hz must lie in 100..2000, not {fs_hz}")
    rng = np.random.default_rng(seed)
    samples = round(duration_s * fs_hz)
    heart = draw_heart(wanted, rng)
    events = activity(wanted, duration_s, heart.own.onset_s, rng)
    dipole = render(_waves(events, heart, rng), samples, fs_hz)
    dipole += atrial_dipole(events, samples, fs_hz, rng)
    clean_mv = project(dipole, body_field(rng))
    signal_mv = clean_mv
    if wanted.noise != "none":
        noisy = add_noise(clean_mv, fs_hz, draw_levels(wanted.noise, rng), rng)
        signal_mv = record(noisy, fs_hz, rng)
    return Simulated(
        recording=_recording(signal_mv, fs_hz),
        scenario=wanted,
        beats=tuple(beat for beat in events.beats if 0 <= round(beat.r_s * fs_hz) < samples),
        activity=events,
        clean_mv=clean_mv,
        qrs_ms=1000.0 * (heart.own.offset_s - heart.own.onset_s),
        pr_ms=wanted.pr_ms if wanted.rhythm in ("sinus", "mobitz") else None,
    )


def _scenario(scenario: Scenario | str) -> Scenario:
    if isinstance(scenario, Scenario):
        return scenario
    if scenario not in SCENARIOS:
        raise ValueError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    return SCENARIOS[scenario]


def _recording(signal_mv: Floats, fs_hz: float) -> Recording:
    stored = np.ascontiguousarray(signal_mv, dtype=np.float32)
    sha256 = hashlib.sha256(stored.tobytes()).hexdigest()
    return make_recording(
        stored, fs_hz=fs_hz, leads=STANDARD_LEADS, format="simulated", sha256=sha256
    )


def _waves(events: Activity, heart: Heart, rng: np.random.Generator) -> list[tuple[float, Waves]]:
    """Every wave of every beat, P wave and stimulus."""
    stimulus = spike(float(np.exp(rng.uniform(np.log(0.06), np.log(5.0)))), rng)
    breath_hz, breath_phase = rng.uniform(0.15, 0.33), rng.uniform(0.0, 2 * np.pi)
    depth = rng.gamma(2.0, 0.015)
    shapes = {"conducted": heart.own, "ventricular": heart.ectopic, "paced": heart.paced}
    found: list[tuple[float, Waves]] = []
    typical_s = 60.0 / max(_rate([beat.r_s for beat in events.beats]), 20.0)
    before_s = events.beats[0].r_s - typical_s if events.beats else 0.0
    for beat in events.beats:
        # QT adapts over many beats, not to the last one alone.
        rr_s = 0.6 * typical_s + 0.4 * (beat.r_s - before_s)
        swing = 1.0 + depth * np.sin(2 * np.pi * breath_hz * beat.r_s + breath_phase)
        shape = shapes[beat.kind]
        found.append((beat.r_s, shape.beat(rr_s).scaled(swing * (1 + 0.015 * rng.normal()))))
        if beat.kind == "paced":
            found.append((beat.r_s + shape.onset_s, stimulus))
        before_s = beat.r_s
    found += [(p_s, heart.p) for p_s in events.p_s]
    found += [(p_s, heart.ectopic_p) for p_s in events.ectopic_p_s]
    found += [(p_s, stimulus) for p_s in events.atrial_spikes_s]
    return found


def _rate(r_s: list[float]) -> float:
    return 60.0 * (len(r_s) - 1) / (r_s[-1] - r_s[0]) if len(r_s) > 1 else float("nan")


def _of_scenario(scenario: Scenario) -> set[str]:
    """Labels that hold all the time."""
    rhythm, conduction = scenario.rhythm, scenario.conduction
    shows_qrs = rhythm not in ("ventricular tachycardia", "ventricular pacing", "dual pacing")
    right = shows_qrs and conduction in ("rbbb", "rbbb lafb", "rbbb lpfb")
    first = rhythm == "sinus" and scenario.pr_ms > 200
    says = {
        "Poor data quality": scenario.noise == "poor",
        "Sinus rhythm": rhythm in _SINUS,
        "Supraventricular tachycardia with aberrancy": rhythm == "supraventricular tachycardia"
        and (right or conduction == "lbbb"),
        "Atrial fibrillation": rhythm == "atrial fibrillation",
        "Atrial flutter": rhythm == "atrial flutter",
        "Accessory pathway conduction": shows_qrs and conduction == "wpw",
        "Atrioventricular block": first or rhythm in _BLOCKS,
        "1st degree atrioventricular block": first,
        "Bifascicular block": right and conduction != "rbbb",
        "Right bundle branch block": right,
        "Left bundle branch block": shows_qrs and conduction == "lbbb",
        "Infarction": shows_qrs and scenario.repolarisation in ("acute", "old"),
        "Electronic pacemaker": rhythm in _PACING,
    }
    return {name for name, holds in says.items() if holds}


def _of_beats(scenario: Scenario, beats: list[Beat], rate_bpm: float) -> set[str]:
    """Labels that the beats of a part decide."""
    ventricular = [beat.kind == "ventricular" for beat in beats]
    runs = any(all(ventricular[i : i + _RUN]) for i in range(len(beats) - _RUN + 1))
    own_rhythm = scenario.rhythm in ("ventricular tachycardia", "complete block")
    says = {
        "Premature ventricular contraction": any(ventricular) and not own_rhythm,
        "Tachycardia": rate_bpm > _FAST_BPM,
        "Bradycardia": rate_bpm < _SLOW_BPM,
        "Ventricular tachycardia": runs and scenario.rhythm != "complete block",
    }
    return {name for name, holds in says.items() if holds}
