"""What to simulate: a scenario says the rhythm, conduction, ectopy, infarction and noise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal, TypeVar, get_args

import numpy as np

__all__ = [
    "SCENARIOS",
    "Conduction",
    "Ectopy",
    "Noise",
    "Repolarisation",
    "Rhythm",
    "Scenario",
    "Territory",
    "draw_scenario",
]

# fmt: off
Rhythm = Literal[
    "sinus", "atrial fibrillation", "atrial flutter", "supraventricular tachycardia",
    "junctional", "ventricular tachycardia", "wenckebach", "mobitz", "complete block",
    "ventricular pacing", "dual pacing", "atrial pacing",
]
Conduction = Literal[
    "normal", "rbbb", "incomplete rbbb", "lbbb", "lafb", "lpfb", "rbbb lafb", "rbbb lpfb", "wpw"
]
# fmt: on
Ectopy = Literal["none", "pvc", "bigeminy", "trigeminy", "pac", "vt run"]
Territory = Literal["none", "anterior", "septal", "lateral", "inferior", "posterior"]
Repolarisation = Literal["normal", "acute", "old", "ischaemia", "hypertrophy", "flat t"]
Noise = Literal["none", "low", "usual", "poor"]


Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Scenario:
    """One heart, and how well it was recorded; what is not said here is drawn from the seed.

    Attributes:
        rhythm: Who leads the ventricles.
        rate_bpm: Mean ventricular rate; of the conducted beats, where there is a block, of the
            atria. Flutter takes the nearest rate that its conduction ratio allows.
        pr_ms: Begin of P to begin of QRS.
        conduction: Spread over the ventricles; with ``svt`` the aberrancy.
        ectopy: Beats that do not belong to the rhythm.
        territory: Of an infarction or of ischaemia.
        repolarisation: ``acute`` and ``old`` are infarctions; they need a territory.
        noise: ``poor`` is what a reader would send back.

    Raises:
        ValueError: for names that there are not, and numbers that no heart has.
    """

    rhythm: Rhythm = "sinus"
    rate_bpm: float = 72.0
    pr_ms: float = 160.0
    conduction: Conduction = "normal"
    ectopy: Ectopy = "none"
    territory: Territory = "none"
    repolarisation: Repolarisation = "normal"
    noise: Noise = "usual"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}")
        if not 15 <= self.rate_bpm <= 300:
            raise ValueError(f"rate_bpm must lie in 15..300, not {self.rate_bpm}")
        if not 60 <= self.pr_ms <= 500:
            raise ValueError(f"pr_ms must lie in 60..500, not {self.pr_ms}")
        needs_territory = self.repolarisation in ("acute", "old", "ischaemia")
        if needs_territory != (self.territory != "none"):
            raise ValueError("a territory goes with acute, old or ischaemia, and they with it")


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "rhythm": get_args(Rhythm),
    "conduction": get_args(Conduction),
    "ectopy": get_args(Ectopy),
    "territory": get_args(Territory),
    "repolarisation": get_args(Repolarisation),
    "noise": get_args(Noise),
}

# One example of each thing, by name; between them they show all 17 labels.
SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType(
    {
        "sinus": Scenario(),
        "sinus bradycardia": Scenario(rate_bpm=46),
        "sinus tachycardia": Scenario(rate_bpm=124, pr_ms=140),
        "pvc": Scenario(ectopy="pvc"),
        "bigeminy": Scenario(ectopy="bigeminy"),
        "atrial fibrillation": Scenario(rhythm="atrial fibrillation", rate_bpm=92),
        "atrial flutter": Scenario(rhythm="atrial flutter", rate_bpm=75),
        "supraventricular tachycardia": Scenario(
            rhythm="supraventricular tachycardia", rate_bpm=180
        ),
        "aberrant tachycardia": Scenario(
            rhythm="supraventricular tachycardia", rate_bpm=170, conduction="rbbb"
        ),
        "ventricular tachycardia": Scenario(rhythm="ventricular tachycardia", rate_bpm=165),
        "first degree block": Scenario(pr_ms=260),
        "wenckebach": Scenario(rhythm="wenckebach", rate_bpm=80),
        "mobitz": Scenario(rhythm="mobitz", rate_bpm=80),
        "complete block": Scenario(rhythm="complete block", rate_bpm=82),
        "rbbb": Scenario(conduction="rbbb"),
        "lbbb": Scenario(conduction="lbbb"),
        "bifascicular": Scenario(conduction="rbbb lafb"),
        "wpw": Scenario(conduction="wpw", pr_ms=95),
        "acute inferior infarction": Scenario(territory="inferior", repolarisation="acute"),
        "old anterior infarction": Scenario(territory="anterior", repolarisation="old"),
        "pacemaker": Scenario(rhythm="ventricular pacing", rate_bpm=70),
        "poor quality": Scenario(noise="poor"),
    }
)

_RHYTHMS: Final[Mapping[Rhythm, tuple[float, tuple[float, float]]]] = {
    # weight, range of rates
    "sinus": (10.0, (38, 150)),
    "atrial fibrillation": (2.4, (48, 165)),
    "atrial flutter": (1.2, (60, 150)),
    "supraventricular tachycardia": (1.8, (135, 220)),
    "junctional": (0.4, (38, 75)),
    "ventricular tachycardia": (0.8, (115, 220)),
    "wenckebach": (0.5, (60, 100)),
    "mobitz": (0.5, (60, 105)),
    "complete block": (0.6, (60, 110)),
    "ventricular pacing": (0.8, (50, 95)),
    "dual pacing": (0.6, (50, 95)),
    "atrial pacing": (0.2, (55, 95)),
}
_CONDUCTIONS: Final[Mapping[Conduction, float]] = {
    "normal": 9.0,
    "rbbb": 1.6,
    "incomplete rbbb": 0.9,
    "lbbb": 1.5,
    "lafb": 1.2,
    "lpfb": 0.3,
    "rbbb lafb": 1.0,
    "rbbb lpfb": 0.3,
    "wpw": 1.3,
}
_OWN_QRS: Final = ("ventricular tachycardia", "ventricular pacing", "dual pacing")


def draw_scenario(rng: np.random.Generator) -> Scenario:
    """A scenario at random: common things often, each rare one often enough to be learnt."""
    rhythm = _weighted(rng, {name: weight for name, (weight, _) in _RHYTHMS.items()})
    low, high = _RHYTHMS[rhythm][1]
    scenario = Scenario(
        rhythm=rhythm,
        rate_bpm=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        pr_ms=_draw_pr(rng, rhythm),
        conduction="normal" if rhythm in _OWN_QRS else _weighted(rng, _CONDUCTIONS),
        ectopy=_draw_ectopy(rng, rhythm),
        noise=_weighted(rng, {"none": 0.3, "low": 3.0, "usual": 6.0, "poor": 1.0}),
    )
    if scenario.conduction == "wpw":
        if scenario.rhythm not in ("sinus", "atrial fibrillation"):
            return replace(scenario, conduction="normal")
        return replace(scenario, pr_ms=float(rng.uniform(70, 118)))
    return _with_repolarisation(rng, scenario)


def _with_repolarisation(rng: np.random.Generator, scenario: Scenario) -> Scenario:
    if scenario.rhythm in (*_OWN_QRS, "supraventricular tachycardia"):
        return scenario
    if scenario.conduction == "lbbb":
        return scenario
    kinds: dict[Repolarisation, float] = {
        "normal": 10, "acute": 2.2, "old": 3.2, "ischaemia": 1.3, "hypertrophy": 1.5, "flat t": 1.2
    }  # fmt: skip
    kind = _weighted(rng, kinds)
    territories: dict[Territory, float] = {
        "anterior": 3, "septal": 2, "lateral": 1.5, "inferior": 3.5, "posterior": 0.4
    }  # fmt: skip
    needs_territory = kind in ("acute", "old", "ischaemia")
    territory: Territory = _weighted(rng, territories) if needs_territory else "none"
    return replace(scenario, repolarisation=kind, territory=territory)


def _draw_pr(rng: np.random.Generator, rhythm: Rhythm) -> float:
    long_pr = rhythm == "sinus" and rng.random() < 0.16
    return float(rng.uniform(215, 360) if long_pr else np.clip(rng.normal(155, 20), 120, 195))


def _draw_ectopy(rng: np.random.Generator, rhythm: Rhythm) -> Ectopy:
    if rhythm not in ("sinus", "atrial fibrillation"):
        return "none"
    kinds: dict[Ectopy, float] = {
        "none": 10, "pvc": 2.2, "bigeminy": 0.5, "trigeminy": 0.4, "pac": 1.2, "vt run": 0.5
    }  # fmt: skip
    kind = _weighted(rng, kinds)
    return "none" if kind == "pac" and rhythm != "sinus" else kind


def _weighted(rng: np.random.Generator, weights: Mapping[Name, float]) -> Name:
    names = list(weights)
    shares = np.array([weights[name] for name in names], dtype=np.float64)
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]
