"""When the atria and ventricles beat: one function for each rhythm.

The sinus node's rate varies with breathing and with blood pressure, as in McSharry and others 2003
(see ``waves``). Times may lie a little outside the recording, so that nothing begins at its edge.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from .scenario import Rhythm, Scenario

__all__ = ["Activity", "Beat", "activity"]

Floats = npt.NDArray[np.float64]
Kind = Literal["conducted", "ventricular", "paced"]
Atria = Literal["none", "fibrillating", "fluttering"]

_LEAD_IN_S: Final = 2.0
_REFRACTORY_S: Final = 0.28


@dataclass(frozen=True)
class Beat:
    """One beat of the ventricles.

    Attributes:
        r_s: Time of the R peak, seconds.
        kind: Where it came from.
    """

    r_s: float
    kind: Kind = "conducted"


@dataclass(frozen=True)
class Activity:
    """What the heart does, when.

    Attributes:
        beats: By time.
        p_s: Begins of P waves.
        ectopic_p_s: Begins of P waves from elsewhere in the atria.
        atrial_spikes_s: Stimuli to the atria; those to the ventricles belong to the paced beats.
        atria: What they do where there are no P waves.
        flutter_s: Length of a flutter wave.
    """

    beats: tuple[Beat, ...]
    p_s: tuple[float, ...] = ()
    ectopic_p_s: tuple[float, ...] = ()
    atrial_spikes_s: tuple[float, ...] = ()
    atria: Atria = "none"
    flutter_s: float = field(default=0.2)


@dataclass(frozen=True)
class _Context:
    scenario: Scenario
    rng: np.random.Generator
    end_s: float
    onset_s: float  # of QRS before R, negative

    @property
    def rr_s(self) -> float:
        return 60.0 / self.scenario.rate_bpm

    def r_after(self, p_s: Floats, pr_s: float | Floats | None = None) -> Floats:
        """R peaks of P waves that are conducted."""
        pr = self.scenario.pr_ms / 1000.0 if pr_s is None else pr_s
        return np.asarray(p_s + pr - self.onset_s)


def activity(
    scenario: Scenario, duration_s: float, onset_s: float, rng: np.random.Generator
) -> Activity:
    """All beats of a recording and a little beyond.

    Args:
        scenario: Says the rhythm, its rate and its ectopy.
        duration_s: Length of the recording.
        onset_s: Begin of the conducted QRS before its R peak, negative.
        rng: Drawn from.
    """
    context = _Context(scenario, rng, duration_s + _LEAD_IN_S, onset_s)
    regular = _RHYTHMS[scenario.rhythm](context)
    return _with_ectopy(regular, context, duration_s)


def _sinus_times(context: _Context, rr_s: float) -> Floats:
    """Beats of the sinus node, with respiratory arrhythmia and Mayer waves."""
    rng = context.rng
    deep = rng.random() < 0.12
    breathing = rng.uniform(0.06, 0.14) if deep else rng.gamma(1.5, 0.012)
    slow, jitter = rng.gamma(1.5, 0.008), rng.gamma(2.0, 0.003)
    f_breath, f_slow = rng.uniform(0.15, 0.33), rng.uniform(0.07, 0.12)
    phases = rng.uniform(0.0, 2 * np.pi, 2)
    # A fast heart has less room to vary.
    calm = min(1.0, rr_s / 0.8)
    times = [-_LEAD_IN_S + rng.uniform(0.0, rr_s)]
    while times[-1] < context.end_s:
        t = times[-1]
        swing = breathing * np.sin(2 * np.pi * f_breath * t + phases[0])
        swing += slow * np.sin(2 * np.pi * f_slow * t + phases[1]) + jitter * rng.normal()
        times.append(t + rr_s * (1.0 + calm * swing))
    return np.array(times)


def _regular_times(context: _Context, rr_s: float, jitter: float) -> Floats:
    start = -_LEAD_IN_S + context.rng.uniform(0.0, rr_s)
    count = int(np.ceil((context.end_s - start) / rr_s)) + 1
    steps = rr_s * (1.0 + jitter * context.rng.normal(0.0, 1.0, count))
    return np.asarray(start + np.cumsum(steps))


def _conducted(r_s: npt.NDArray[np.floating], kind: Kind = "conducted") -> tuple[Beat, ...]:
    return tuple(Beat(float(each), kind) for each in r_s)


def _sinus(context: _Context) -> Activity:
    p_s = _sinus_times(context, context.rr_s)
    return Activity(_conducted(context.r_after(p_s)), tuple(p_s))


def _fibrillation(context: _Context) -> Activity:
    rng, rr_s = context.rng, context.rr_s
    spread = rng.uniform(0.16, 0.30)
    count = int(3 * (context.end_s + _LEAD_IN_S) / rr_s) + 8
    free_s = max(rr_s - _REFRACTORY_S, 0.06)
    # Refractory time and a gamma-distributed wait: irregular without memory, as Cohen and others
    # describe the ventricles in fibrillation (IEEE Trans Biomed Eng 1983; 30: 769-781).
    shape = (free_s / (spread * rr_s)) ** 2
    waits = _REFRACTORY_S + rng.gamma(shape, free_s / shape, count)
    return Activity(_conducted(-_LEAD_IN_S + np.cumsum(waits)), atria="fibrillating")


def _flutter(context: _Context) -> Activity:
    rng = context.rng
    wave_s = rng.uniform(0.185, 0.25)
    ratio = int(np.clip(round(context.rr_s / wave_s), 2, 6))
    varies = ratio > 2 and rng.random() < 0.5
    count = int((context.end_s + _LEAD_IN_S) / wave_s)
    ratios = rng.choice((ratio - 1, ratio, ratio + 1), count) if varies else np.full(count, ratio)
    waves = np.cumsum(ratios)
    return Activity(
        _conducted(
            -_LEAD_IN_S + 0.12 + wave_s * waves[wave_s * waves < context.end_s + _LEAD_IN_S]
        ),
        atria="fluttering",
        flutter_s=wave_s,
    )


def _reentry(context: _Context) -> Activity:
    """Regular, P waves hidden or, running back, behind QRS."""
    r_s = _regular_times(context, context.rr_s, 0.004)
    shows = context.rng.random() < 0.45
    behind = r_s + context.rng.uniform(0.05, 0.11)
    return Activity(_conducted(r_s), ectopic_p_s=tuple(behind) if shows else ())


def _junctional(context: _Context) -> Activity:
    r_s = _regular_times(context, context.rr_s, 0.012)
    shows = context.rng.random() < 0.3
    return Activity(_conducted(r_s), ectopic_p_s=tuple(r_s + 0.06) if shows else ())


def _ventricular_tachycardia(context: _Context) -> Activity:
    r_s = _regular_times(context, context.rr_s, 0.015)
    apart = context.rng.random() < 0.5
    p_s = _sinus_times(context, 60.0 / context.rng.uniform(60, 100)) if apart else ()
    return Activity(_conducted(r_s, "ventricular"), tuple(p_s))


def _wenckebach(context: _Context) -> Activity:
    """PR grows from beat to beat until one is lost."""
    p_s = _sinus_times(context, context.rr_s)
    period = int(context.rng.integers(3, 6))
    place = (np.arange(len(p_s)) + context.rng.integers(period)) % period
    growth = np.cumsum([0.0, 0.09, 0.05, 0.03, 0.02])
    pr_s = context.scenario.pr_ms / 1000.0 + 0.03 + growth[place] * context.rng.uniform(0.8, 1.4)
    through = place < period - 1
    return Activity(_conducted(context.r_after(p_s, pr_s)[through]), tuple(p_s))


def _mobitz(context: _Context) -> Activity:
    """PR is constant; every second, third or fourth beat is lost, or two of three."""
    p_s = _sinus_times(context, context.rr_s)
    period = int(context.rng.choice((2, 2, 3, 4)))
    place = (np.arange(len(p_s)) + context.rng.integers(period)) % period
    advanced = period == 3 and context.rng.random() < 0.4
    through = place == 0 if advanced else place < period - 1
    return Activity(_conducted(context.r_after(p_s)[through]), tuple(p_s))


def _complete_block(context: _Context) -> Activity:
    """Atria and ventricles each at their own rate; the escape is junctional or ventricular."""
    rng = context.rng
    p_s = _sinus_times(context, context.rr_s)
    junctional = rng.random() < 0.5
    escape_bpm = rng.uniform(38, 52) if junctional else rng.uniform(25, 42)
    r_s = _regular_times(context, 60.0 / escape_bpm, 0.01)
    return Activity(_conducted(r_s, "conducted" if junctional else "ventricular"), tuple(p_s))


def _ventricular_pacing(context: _Context) -> Activity:
    """The ventricles at a fixed rate, over fibrillating or dissociated atria."""
    r_s = _regular_times(context, context.rr_s, 0.001)
    beats = _conducted(r_s, "paced")
    if context.rng.random() < 0.5:
        return Activity(beats, atria="fibrillating")
    p_s = _sinus_times(context, 60.0 / context.rng.uniform(50, 90))
    return Activity(beats, tuple(p_s))


def _dual_pacing(context: _Context) -> Activity:
    """The ventricles follow P waves, which are the heart's own or stimulated."""
    own = context.rng.random() < 0.6
    p_s = _sinus_times(context, context.rr_s) if own else _regular_times(context, context.rr_s, 0.0)
    beats = _conducted(p_s + context.rng.uniform(0.13, 0.22) + 0.06, "paced")
    return Activity(beats, tuple(p_s), atrial_spikes_s=() if own else tuple(p_s))


def _atrial_pacing(context: _Context) -> Activity:
    p_s = _regular_times(context, context.rr_s, 0.0)
    pr_s = context.scenario.pr_ms / 1000.0 + 0.03
    return Activity(_conducted(context.r_after(p_s, pr_s)), tuple(p_s), atrial_spikes_s=tuple(p_s))


_RHYTHMS: Final[Mapping[Rhythm, Callable[[_Context], Activity]]] = {
    "sinus": _sinus,
    "atrial fibrillation": _fibrillation,
    "atrial flutter": _flutter,
    "supraventricular tachycardia": _reentry,
    "junctional": _junctional,
    "ventricular tachycardia": _ventricular_tachycardia,
    "wenckebach": _wenckebach,
    "mobitz": _mobitz,
    "complete block": _complete_block,
    "ventricular pacing": _ventricular_pacing,
    "dual pacing": _dual_pacing,
    "atrial pacing": _atrial_pacing,
}


def _with_ectopy(regular: Activity, context: _Context, duration_s: float) -> Activity:
    ectopy = context.scenario.ectopy
    if ectopy == "none":
        return regular
    if ectopy == "pac":
        return _with_early_atrial_beat(regular, context, duration_s)
    if ectopy == "vt run":
        return _with_run(regular, context, duration_s)
    every = {"bigeminy": 2, "trigeminy": 3}.get(ectopy)
    inside = [i for i, beat in enumerate(regular.beats) if 0.6 < beat.r_s < duration_s - 0.6]
    if every is None:
        count = min(int(context.rng.integers(1, 4)), max(1, len(inside) // 3))
        chosen = {int(i) for i in context.rng.choice(inside, count, replace=False)}
        # Two in a row would be a couplet: leave the later one out.
        chosen = {i for i in chosen if i - 1 not in chosen}
    else:
        chosen = set(range(int(context.rng.integers(1, 1 + every)), len(regular.beats), every))
    return _with_early_ventricular_beats(regular, context, chosen)


def _with_early_ventricular_beats(
    regular: Activity, context: _Context, chosen: set[int]
) -> Activity:
    """Early wide beats; the sinus node goes on, so a compensatory pause follows."""
    beats = list(regular.beats)
    coupling = context.rng.uniform(0.52, 0.78)
    for i in sorted(chosen):
        before, usual = beats[i - 1].r_s, beats[i].r_s
        early = before + max(coupling * (usual - before), 0.26)
        beats[i] = Beat(min(early * (1 + 0.001 * context.rng.normal()), usual), "ventricular")
    # P waves of the beats that were overtaken fall into the wide QRS or its T wave.
    return replace(regular, beats=tuple(beats))


def _with_early_atrial_beat(regular: Activity, context: _Context, duration_s: float) -> Activity:
    """An early P wave of another shape, conducted; the sinus node starts anew after it."""
    rng = context.rng
    inside = [i for i, beat in enumerate(regular.beats) if 1.0 < beat.r_s < duration_s - 1.0]
    if not inside:
        return regular
    k = int(rng.choice(inside))
    earlier = rng.uniform(0.2, 0.4) * (regular.beats[k].r_s - regular.beats[k - 1].r_s)
    p_s = tuple(p - earlier if i > k else p for i, p in enumerate(regular.p_s) if i != k)
    beats = tuple(
        replace(beat, r_s=beat.r_s - earlier) if i >= k else beat
        for i, beat in enumerate(regular.beats)
    )
    return replace(regular, beats=beats, p_s=p_s, ectopic_p_s=(regular.p_s[k] - earlier,))


def _with_run(regular: Activity, context: _Context, duration_s: float) -> Activity:
    """A run of ventricular beats; what the sinus node sends meanwhile is not conducted."""
    rng = context.rng
    rr_s = 60.0 / rng.uniform(130, 200)
    length = int(rng.integers(4, 12))
    first = rng.uniform(0.5, max(0.6, duration_s - rr_s * length - 1.0))
    run = first + rr_s * np.arange(length) * (1.0 + 0.01 * rng.normal())
    kept = [
        beat
        for beat in regular.beats
        if beat.r_s < run[0] - 0.33 or beat.r_s > run[-1] + max(0.6, 0.8 * context.rr_s)
    ]
    beats = sorted([*kept, *_conducted(run, "ventricular")], key=lambda beat: beat.r_s)
    return replace(regular, beats=tuple(beats))
