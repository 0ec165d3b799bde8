"""Fit the weights that judge candidates of beats, and show how they do on databases left out.

Candidates of single leads and of all leads together, a logistic model; leave one database out, and
with it every record of the same subjects.
"""

import re
from dataclasses import dataclass

import numpy as np
from ecg_processor_py.reference.candidates import BIAS, WEIGHTS

from benchmarks.beat_candidates import NOISY, JudgedLeads, judged_leads, with_electrode_motion
from benchmarks.databases import AnnotatedRecord, load
from benchmarks.logistic import Logistic, fit_logistic
from benchmarks.reporting import print_header
from benchmarks.scoring import NARROW_S, TOLERANCE_S, BeatScore, score_beats, total

IN_USE = Logistic(np.array(WEIGHTS), BIAS)
FITTED = ("mitdb", NOISY, "nstdb", "qtdb", "ludb", "cpsc2019", "cpsc2021")
# What is left out of a fit together. nstdb_csv, excerpts of 118, is in none.
LEFT_OUT = (
    ("mitdb", NOISY, "nstdb", "nstdb_csv"),
    ("qtdb",),
    ("ludb",),
    ("cpsc2019",),
    ("cpsc2021",),
)
# Records of the MIT-BIH Arrhythmia Database, and how others name the same subjects.
OF_MITDB = ("mitdb", NOISY, "nstdb", "nstdb_csv", "qtdb")
SUBJECT = re.compile(r"(?:sel)?(\d{3})(?:e\d\d)?")

# Long databases, of which a part is enough; each counts by the square root of its candidates.
LARGE, PART = ("mitdb", NOISY), 0.3
COUNT_POWER = -0.5
# The first draw is fitted; the others show how much the weights owe to the draw.
SEEDS = range(5)

MEASUREMENTS = (
    "slope energy of its usual height, log",
    "envelope of its usual height, log",
    "likeness to shapes nearby",
    "highest shortly before, log",
    "highest shortly after, log",
    "highest long before, log",
    "highest long after, log",
    "valley before",
    "valley after",
    "mean around",
    "envelope of slope energy, log",
)


@dataclass(frozen=True)
class TrainingSet:
    """Labelled candidates: `features` `(n, 11)`, `is_beat`, `database` and `subject` `(n,)`."""

    features: np.ndarray
    is_beat: np.ndarray
    database: np.ndarray
    subject: np.ndarray

    def without(self, databases: tuple[str, ...], subjects: set[str]) -> "TrainingSet":
        """Leave out databases and subjects."""
        return self.where(
            ~np.isin(self.database, databases) & ~np.isin(self.subject, list(subjects))
        )

    def where(self, kept: np.ndarray) -> "TrainingSet":
        """Those that a mask `(n,)` keeps."""
        arrays = (self.features, self.is_beat, self.database, self.subject)
        return TrainingSet(*(array[kept] for array in arrays))

    def fit(self) -> Logistic:
        """Fit the model, the databases weighed against each other."""
        _, index, counts = np.unique(self.database, return_inverse=True, return_counts=True)
        return fit_logistic(self.features, self.is_beat, counts[index] ** COUNT_POWER)


def main() -> None:
    print_header(
        "Weights of the detector's candidates, fitted again; databases left out of the fit"
    )
    judged = [leads for record in load_records() for leads in judged_leads(record)]
    draws = [training_set(judged, seed) for seed in SEEDS]
    print_counts(draws[0])
    fits = [draw.fit() for draw in draws]
    print_weights(fits, draws[0].features.std(axis=0))
    print_left_out(judged, draws[0], fits[0])


def load_records() -> list[AnnotatedRecord]:
    """Every annotated record, and those of mitdb with the noise of electrode motion."""
    mitdb, nstdb = load("mitdb"), load("nstdb")
    others = [record for (name,) in LEFT_OUT[1:] for record in load(name)]
    noisy = with_electrode_motion(mitdb, nstdb[0])
    return [*mitdb, *noisy, *nstdb, *load("nstdb_csv"), *others]


def subject_of(record: AnnotatedRecord) -> str:
    """Who was recorded: 118e06 is 118, and sel100 of qtdb is 100."""
    same = SUBJECT.fullmatch(record.name) if record.database in OF_MITDB else None
    return f"mitdb {same[1]}" if same else f"{record.database} {record.name}"


def training_set(judged: list[JudgedLeads], seed: int) -> TrainingSet:
    """Gather the candidates that count, a random part of the large databases."""
    fitted = [leads for leads in judged if leads.record.database in FITTED]
    counts = [int(leads.counted.sum()) for leads in fitted]
    everything = TrainingSet(
        np.concatenate([leads.features[leads.counted] for leads in fitted]),
        np.concatenate([leads.is_beat[leads.counted] for leads in fitted]),
        np.repeat([leads.record.database for leads in fitted], counts),
        np.repeat([subject_of(leads.record) for leads in fitted], counts),
    )
    drawn = np.random.default_rng(seed).random(sum(counts)) < PART
    return everything.where(drawn | ~np.isin(everything.database, LARGE))


def print_counts(training: TrainingSet) -> None:
    print("\n== candidates fitted")
    for database in FITTED:
        of = training.is_beat[training.database == database]
        print(f"{database:<14} {len(of):7d}, {of.sum():6d} beats")


def print_weights(fits: list[Logistic], deviation: np.ndarray) -> None:
    """Print weights in use and of each draw, and what the first differs by for one deviation."""
    print(f"\n== {'log-odds for each unit':<40} {'in use':>7} {'again':>7}  other draws", end="")
    print(f"{'difference x deviation':>42}")
    weights = np.array([fit.weights for fit in fits])
    differences = (weights[0] - IN_USE.weights) * deviation
    rows = zip(MEASUREMENTS, IN_USE.weights, weights.T, differences, strict=True)
    for name, used, fitted, difference in rows:
        print(f"{name:<43} {_numbers(used, *fitted)} {difference:22.2f}")
    print(f"{'bias':<43} {_numbers(IN_USE.bias, *(fit.bias for fit in fits))}")


def _numbers(*values: float) -> str:
    return " ".join(f"{value:7.3f}" for value in values)


def print_left_out(judged: list[JudgedLeads], training: TrainingSet, again: Logistic) -> None:
    """Print the F1 of each database with weights in use, fitted again, and fitted without it."""
    print("\n== F1 %, +-150 ms and +-50 ms; `without`: fitted on the other databases alone")
    print(f"{'':<14} leads   beats  {'in use':^14}  {'again':^14}  {'without':^14}  worst change")
    for databases in LEFT_OUT:
        subjects = {subject_of(one.record) for one in judged if one.record.database in databases}
        models = (IN_USE, again, training.without(databases, subjects).fit())
        for database in databases:
            for together in (False, True):
                group = [one for one in judged if is_scored_view(one, database, together=together)]
                if group:
                    print(row_of(database, group, models, together=together), flush=True)


def is_scored_view(leads: JudgedLeads, database: str, *, together: bool) -> bool:
    """Whether these are the annotated lead, or all leads, of a record of the database."""
    lead = None if together else leads.record.reference_lead
    return leads.record.database == database and leads.lead == lead


def row_of(
    database: str, group: list[JudgedLeads], models: tuple[Logistic, ...], *, together: bool
) -> str:
    """One line: the F1 at both tolerances by each model, and the record that loses most."""
    wide = [_scores(group, model, TOLERANCE_S) for model in models]
    narrow = [_scores(group, model, NARROW_S) for model in models]
    beats = sum(score.found + score.missed for score in wide[0])
    text = f"{database:<14} {'all' if together else 'one':<5} {beats:7d}"
    for scores in zip(wide, narrow, strict=True):
        text += "  {:6.2f} {:7.2f}".format(*(total(one).f1 for one in scores))
    more = [last.wrong - first.wrong for first, last in zip(wide[0], wide[-1], strict=True)]
    name = group[int(np.argmax(more))].record.name
    return text + (f"  {name}: {max(more)} more wrong" if max(more) > 0 else "")


def _scores(group: list[JudgedLeads], model: Logistic, tolerance_s: float) -> list[BeatScore]:
    return [score_beats(leads.record, leads.detect(model), tolerance_s) for leads in group]


if __name__ == "__main__":
    main()
