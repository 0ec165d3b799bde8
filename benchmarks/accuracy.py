"""R peaks of ours and of the peers against reference beats, by database; a table and a plot.

$ python -m benchmarks.accuracy [--database NAME] [--detector NAME] [--jobs N] [--per-record]
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.databases import READERS, TUNED_ON, load
from benchmarks.peak_runs import PeakRun, run_all
from benchmarks.peers import DETECTORS, NamedDetector
from benchmarks.reporting import RESULTS, print_header
from benchmarks.scoring import NARROW_S, BeatScore, score_beats, total

PEERS = ("sleepecg", "wfdb", "neurokit2", "biosppy", "scipy")
WORST = 5


@dataclass(frozen=True)
class Scored:
    """One detector on one record, at both tolerances."""

    run: PeakRun
    wide: BeatScore
    narrow: BeatScore


def main() -> None:
    options = _options()
    print_header("R peaks against reference beats, +-150 ms one to one (EC57), gross", PEERS)
    print(f"skipped at the start: {options.skip_s:g} s; our constants were chosen on: {_tuned()}")
    detectors = [DETECTORS[name] for name in options.detector or DETECTORS]
    f1s: dict[str, dict[str, float]] = {}
    for database in options.database or READERS:
        scored = score_database(database, detectors, options.jobs, options.skip_s)
        if scored:
            print_database(database, scored, per_record=options.per_record)
            f1s[database] = {name: _sum(rows).f1 for name, rows in by_detector(scored).items()}
    print_means(f1s)
    if not (options.database or options.detector):
        from benchmarks.accuracy_plot import plot

        plot(f1s, RESULTS / "accuracy.png")


def score_database(
    database: str, detectors: list[NamedDetector], jobs: int, skip_s: float
) -> list[Scored]:
    """Run and score detectors on every record of a database."""
    return [
        Scored(
            run,
            score_beats(run.record, run.peaks, skip_s=skip_s),
            score_beats(run.record, run.peaks, NARROW_S, skip_s),
        )
        for run in run_all(detectors, load(database), jobs)
    ]


def by_detector(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    groups = defaultdict(list)
    for one in scored:
        groups[one.run.detector].append(one)
    return dict(groups)


def print_database(database: str, scored: Sequence[Scored], *, per_record: bool) -> None:
    groups = by_detector(scored)
    rows = next(iter(groups.values()))
    beats = sum(one.wide.found + one.wide.missed for one in rows)
    print(f"\n== {database}: {len(rows)} records, {beats} beats")
    print(
        f"{'':<24} {'F1 %':>7} {'Se %':>7} {'PPV %':>7} {'F1 50ms':>8} {'error':>6} "
        f"{'ms/10 s':>8} {'tuned':>7} {'others':>7}"
    )
    for name, group in groups.items():
        print(row_of(name, group), flush=True)
    if per_record:
        _print_records(groups)
    else:
        _print_worst(groups)


def row_of(name: str, group: Sequence[Scored]) -> str:
    """One line: gross statistics, median error in samples, CPU time of 10 s, tuned on and not."""
    wide = _sum(group)
    tuned = _sum([one for one in group if one.run.record.tuned])
    others = _sum([one for one in group if not one.run.record.tuned])
    failed = [one.run for one in group if one.run.failure]
    text = (
        f"{name:<24} {wide.f1:7.2f} {wide.sensitivity:7.2f} {wide.ppv:7.2f} "
        f"{total(one.narrow for one in group).f1:8.2f} {wide.median_error:6.1f} "
        f"{_ms_per_10_s(group):8.2f} "
    )
    if DETECTORS[name].ours:
        text += f"{tuned.f1:7.2f} {others.f1:7.2f}".replace("nan", "  -")
    return text + (f"  failed on {len(failed)}: {failed[0].failure[:60]}" if failed else "")


def print_means(f1s: dict[str, dict[str, float]]) -> None:
    """Print each detector's mean F1 over databases, so that the long one does not decide alone."""
    print(f"\n== mean F1 over {len(f1s)} databases")
    for name in DETECTORS:
        values = [row[name] for row in f1s.values() if name in row]
        if len(values) == len(f1s):
            print(f"{name:<24} {np.mean(values):7.2f}")


def _print_records(groups: dict[str, list[Scored]]) -> None:
    for name, group in groups.items():
        for one in group:
            _print_record(name, one)


def _print_worst(groups: dict[str, list[Scored]]) -> None:
    for name, group in groups.items():
        if DETECTORS[name].ours and name.startswith("ours, Rust"):
            wrong = sorted(group, key=lambda one: -one.wide.wrong)[:WORST]
            for one in wrong:
                if one.wide.wrong:
                    _print_record(f"worst of {name}", one)


def _print_record(name: str, one: Scored) -> None:
    score = one.wide
    print(
        f"  {name:<32} {one.run.record.name:<12} F1 {score.f1:6.2f}  "
        f"{score.missed} missed, {score.invented} invented of {score.found + score.missed}"
    )


def _sum(group: Sequence[Scored]) -> BeatScore:
    return total(one.wide for one in group)


def _ms_per_10_s(group: Sequence[Scored]) -> float:
    done = [one.run for one in group if not one.run.failure]
    seconds = sum(run.record.duration_s for run in done)
    return 1e4 * sum(run.cpu_s for run in done) / seconds if done else float("nan")


def _tuned() -> str:
    return ", ".join(f"{len(names)} of {database}" for database, names in TUNED_ON.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", action="append", choices=list(READERS))
    parser.add_argument("--detector", action="append", choices=list(DETECTORS))
    parser.add_argument("--jobs", type=int, default=1, help="more than one spoils the times")
    parser.add_argument("--per-record", action="store_true")
    parser.add_argument("--skip-s", type=float, default=0.0, help="bxb skips 300")
    return parser.parse_args()


if __name__ == "__main__":
    main()
