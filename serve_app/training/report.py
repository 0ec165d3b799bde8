"""The figures of a trained model: as JSON beside its weights, and as the table of its card."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from serve_app.model.demo import state_sha256
from serve_app.model.network import EcgFmClassifier
from serve_app.model.stored import sha256_of

from .databases import Labelled
from .figures import Figure, figures_of, joined_scores
from .fitting import logits_of
from .segments import Examples, real_examples

__all__ = [
    "REPORT_FILE",
    "as_table",
    "count_databases",
    "fill_card",
    "measure",
    "read_report",
    "write_report",
]

REPORT_FILE: Final = "report.json"
_BEGIN, _END = "<!-- figures: written by the command -->", "<!-- end of figures -->"


def measure(
    model: EcgFmClassifier, held_out: Sequence[Labelled], simulated: Examples
) -> dict[str, list[dict[str, Any]]]:
    """Figures on held-out recordings, real and simulated.

    Args:
        model: As shipped.
        held_out: Real recordings that took no part in training.
        simulated: Simulated ones that took no part either.
    """
    found = {}
    if held_out:
        real = real_examples(held_out)
        patients = [f"{each.database}/{each.patient}" for each in held_out]
        found["real"] = _figures(model, real, patients)
    found["simulated"] = _figures(model, simulated, [str(i) for i in range(len(simulated))])
    return found


def _figures(
    model: EcgFmClassifier, examples: Examples, patients: Sequence[str]
) -> list[dict[str, Any]]:
    labels = model.config.labels
    scores = joined_scores(logits_of(model, examples), labels)
    found = figures_of(examples.joined_truth, scores, patients, labels)
    return [asdict(_rounded(each)) for each in found]


def _rounded(figure: Figure) -> Figure:
    interval = figure.interval and (round(figure.interval[0], 3), round(figure.interval[1], 3))
    value = None if figure.auroc is None else round(figure.auroc, 4)
    return replace(figure, auroc=value, interval=interval)


def write_report(
    folder: Path,
    model: EcgFmClassifier,
    weights: Path,
    figures: Mapping[str, object],
    how: Mapping[str, object],
) -> dict[str, Any]:
    """Write the report beside the weights; the same that is returned."""
    report = {
        "weights_sha256": sha256_of(weights),
        "state_sha256": state_sha256(model),
        "parameters": sum(each.numel() for each in model.parameters()),
        **how,
        "figures": figures,
    }
    (folder / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n")
    return report


def read_report(folder: Path) -> dict[str, Any]:
    """The report beside the weights."""
    report: dict[str, Any] = json.loads((folder / REPORT_FILE).read_text())
    return report


def fill_card(card: Path, report: Mapping[str, Any]) -> None:
    """Put a report's figures between the markers of a model card.

    Raises:
        ValueError: if the card has no markers.
    """
    text = card.read_text()
    if _BEGIN not in text or _END not in text:
        raise ValueError(f"{card.name} has no place for figures")
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    card.write_text(f"{before}{_BEGIN}\n{as_table(report)}\n{_END}{after}")


def as_table(report: Mapping[str, Any]) -> str:
    """Markdown of a report."""
    data = report["data"]
    databases = ", ".join(f"{name} {count}" for name, count in data["held_out_of"].items())
    lines = [
        f"Weights `{report['weights_sha256']}` (SHA-256 of the file), {report['parameters']:,} "
        f"parameters; revision `{report['state_sha256'][:12]}`.",
        f"Trained on {data['simulated']:,} simulated recordings and {data['train']} real ones; "
        f"figures on {data['held_out']} held-out real ones ({databases}) and "
        f"{data['simulated_held_out']:,} held-out simulated ones, recordings of 10 s with their "
        "segments joined as served. In brackets the 95 % interval over resampled patients; with "
        "fewer than three positives there is none, and the AUROC itself says next to nothing. "
        "Found and false: what reaches the threshold.",
        "",
        "| label | threshold | real: found of positives | false of negatives | AUROC, real "
        "| AUROC, simulated |",
        "|---|---|---|---|---|---|",
    ]
    simulated = {row["label"]: row for row in report["figures"]["simulated"]}
    for row, threshold in zip(report["figures"]["real"], report["thresholds"], strict=True):
        found = f"{row['hits']} of {row['positives']}"
        false = f"{row['false_alarms']} of {row['negatives']}"
        shown = _shown(row), _shown(simulated[row["label"]])
        cells = (row["label"], threshold, found, false, *shown)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _shown(row: Mapping[str, Any]) -> str:
    if row["auroc"] is None:
        return "no positive" if not row["positives"] else "no negative"
    if row["interval"] is None:
        return f"{row['auroc']:.2f}"
    return f"{row['auroc']:.3f} ({row['interval'][0]:.2f}-{row['interval'][1]:.2f})"


def count_databases(labelled: Sequence[Labelled]) -> dict[str, int]:
    """Recordings by database."""
    return dict(sorted(Counter(each.database for each in labelled).items()))
