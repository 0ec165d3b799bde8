"""Signal quality on CinC 2017: how well a score tells the records that people called noisy.

One lead, 300 Hz, label `~` against all others; area under the ROC curve (AUC), 95 % by bootstrap.
"""

import csv
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
from ecg_processor_py import ECGAnalysisConfig, ECGAnalyzerFFI, signal_quality
from scipy.stats import rankdata

from benchmarks.databases import DATA
from benchmarks.reporting import print_header

FS_HZ, UNITS_PER_MV = 300.0, 1000.0
DRAWS = 2000
Score = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class LabelledRecord:
    """One lead `(samples,)` in mV at 300 Hz and its label: N, A (fibrillation), O or ~ (noisy)."""

    name: str
    signal_mv: np.ndarray
    label: str


def load() -> list[LabelledRecord]:
    """Read the samples themselves: the headers' dates are refused by wfdb-python."""
    folder = DATA / "rhythm_1lead/cinc2017"
    labels = dict(csv.reader(next(folder.glob("*.csv")).open()))
    return [_read(path, labels) for path in sorted(folder.glob("*.mat")) if path.stem in labels]


def ours(signal_mv: np.ndarray) -> float:
    return signal_quality(signal_mv, FS_HZ).score


def ours_issues(signal_mv: np.ndarray) -> float:
    """The number of things named wrong, fewer is better."""
    return -float(sum(len(lead.issues) for lead in signal_quality(signal_mv, FS_HZ).leads))


def neurokit(method: str) -> Score:
    def score(signal_mv: np.ndarray) -> float:
        import neurokit2 as nk

        if not hasattr(np, "trapz"):  # NeuroKit 0.2 asks for what NumPy 2.4 calls trapezoid
            np.trapz = np.trapezoid
        clean = nk.ecg_clean(signal_mv, sampling_rate=int(FS_HZ))
        told = nk.ecg_quality(clean, sampling_rate=int(FS_HZ), method=method)
        if isinstance(told, str):
            return {"Unacceptable": 0.0, "Barely acceptable": 0.5, "Excellent": 1.0}[told]
        return float(np.nanmean(told))

    return score


SCORES: dict[str, Score] = {
    "ours, score": ours,
    "ours, number of issues": ours_issues,
    "neurokit2 templatematch": neurokit("templatematch"),
    "neurokit2 averageQRS": neurokit("averageQRS"),
    "neurokit2 zhao2018": neurokit("zhao2018"),
}


def irregularity(signal_mv: np.ndarray) -> float:
    """Whether our rhythm suspects fibrillation: 1 where an irregular rhythm is told."""
    config = ECGAnalysisConfig(sampling_rate=FS_HZ)
    found = ECGAnalyzerFFI().analyze(signal_mv, config).anomalies
    return float(any("irregular" in a.kind or "fibrillation" in a.kind for a in found))


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties half: the Mann-Whitney statistic."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    pairs = len(positive) * len(negative)
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / pairs)


def bootstrap(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """Give the 95 % interval of the AUC, records redrawn within each class."""
    rng = np.random.default_rng(17)
    drawn = [
        auc(rng.choice(positive, len(positive)), rng.choice(negative, len(negative)))
        for _ in range(DRAWS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def print_row(name: str, values: np.ndarray, positive: np.ndarray, ms: float, failed: int) -> None:
    area = auc(values[positive], values[~positive])
    low, high = bootstrap(values[positive], values[~positive])
    note = f"  failed on {failed}, scored lowest" if failed else ""
    print(f"{name:<28} AUC {area:.3f}  ({low:.3f} to {high:.3f})  {ms:7.2f} ms/record{note}")


def measure(score: Score, records: list[LabelledRecord]) -> tuple[np.ndarray, float, int]:
    """Give every record's score, the CPU time of one in ms, and on how many it failed."""
    values, started = np.full(len(records), np.nan), time.process_time()
    for i, record in enumerate(records):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                values[i] = score(record.signal_mv)
            except Exception:  # what cannot be judged has the lowest quality
                values[i] = np.nan
    spent_ms = (time.process_time() - started) * 1e3 / len(records)
    failed = np.isnan(values)
    return np.where(failed, -1e9, values), spent_ms, int(failed.sum())


def main() -> None:
    records = load()
    labels = np.array([record.label for record in records])
    counts = ", ".join(f"{label} {(labels == label).sum()}" for label in "NAO~")
    print_header("Quality: noisy (~) against the rest, CinC 2017", ("neurokit2", "scipy"))
    print(f"{len(records)} records: {counts}")
    for name, score in SCORES.items():
        measure(score, records[:1])  # imports are not timed
        values, ms, failed = measure(score, records)
        print_row(name, values, labels != "~", ms, failed)
    print("\nFibrillation (A) against N and O: whether an irregular rhythm is told")
    clean = [record for record in records if record.label != "~"]
    values, ms, failed = measure(irregularity, clean)
    print_row("ours, anomalies", values, labels[labels != "~"] == "A", ms, failed)


def _read(path: Path, labels: dict[str, str]) -> LabelledRecord:
    signal = scipy.io.loadmat(path)["val"].ravel() / UNITS_PER_MV
    return LabelledRecord(path.stem, np.asarray(signal, np.float64), labels[path.stem])


if __name__ == "__main__":
    main()
