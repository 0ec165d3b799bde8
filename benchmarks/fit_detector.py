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
from benchmarks.scoring import NARROW_S, TOLERANCE_S, score_beats, total

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
SEED = 0

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
    print_header("Weights of the detector's candidates, fitted again; databases left out of the fit")
    judged = [leads for record in load_records() for leads in judged_leads(record)]
    training = training_set(judged)
    print_counts(training)
    again = training.fit()
    print_weights(again, training.features.std(axis=0))
    print_left_out(judged, training, again)


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


def training_set(judged: list[JudgedLeads]) -> TrainingSet:
    """Gather the candidates that count, a random part of the large databases."""
    fitted = [leads for leads in judged if leads.record.database in FITTED]
    counts = [int(leads.counted.sum()) for leads in fitted]
    everything = TrainingSet(
        np.concatenate([leads.features[leads.counted] for leads in fitted]),
        np.concatenate([leads.is_beat[leads.counted] for leads in fitted]),
        np.repeat([leads.record.database for leads in fitted], counts),
        np.repeat([subject_of(leads.record) for leads in fitted], counts),
    )
    drawn = np.random.default_rng(SEED).random(sum(counts)) < PART
    return everything.where(drawn | ~np.isin(everything.database, LARGE))


def print_counts(training: TrainingSet) -> None:
    print("\n== candidates fitted")
    for database in FITTED:
        of = training.is_beat[training.database == database]
        print(f"{database:<14} {len(of):7d}, {of.sum():6d} beats")


def print_weights(again: Logistic, deviation: np.ndarray) -> None:
    """Print log-odds for each unit, and how far they differ for one deviation of a measurement."""
    print(f"\n== {'weights':<40} {'in use':>8} {'again':>8} {'difference x deviation':>24}")
    differences = (again.weights - IN_USE.weights) * deviation
    rows = zip(MEASUREMENTS, IN_USE.weights, again.weights, differences, strict=True)
    for name, used, fitted, difference in rows:
        print(f"{name:<43} {used:8.3f} {fitted:8.3f} {difference:24.3f}")
    print(f"{'bias':<43} {IN_USE.bias:8.3f} {again.bias:8.3f}")


def print_left_out(judged: list[JudgedLeads], training: TrainingSet, again: Logistic) -> None:
    """Print the F1 of each database with weights in use, fitted again, and fitted without it."""
    print("\n== F1 %, +-150 ms and +-50 ms; `without`: fitted on the other databases alone")
    print(f"{'':<14} {'leads':<4} {'beats':>7}  {'in use':^14}  {'again':^14}  {'without':^14}")
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
    """One line: the F1 at both tolerances by each of the models."""
    beats = total(score_beats(leads.record, leads.peaks) for leads in group)
    text = f"{database:<14} {'all' if together else 'one':<5} {beats.found + beats.missed:7d}"
    for model in models:
        peaks = [leads.detect(model) for leads in group]
        f1s = [_f1(group, peaks, tolerance_s) for tolerance_s in (TOLERANCE_S, NARROW_S)]
        text += "  {:6.2f} {:7.2f}".format(*f1s)
    return text


def _f1(group: list[JudgedLeads], peaks: list[np.ndarray], tolerance_s: float) -> float:
    pairs = zip(group, peaks, strict=True)
    return total(score_beats(leads.record, found, tolerance_s) for leads, found in pairs).f1


if __name__ == "__main__":
    main()
