"""Train the demo model, store it, and say how good it is: ``python -m serve_app.training``."""

import argparse
import logging
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.demo import DEMO_FOLDER, demo_config, load_demo
from serve_app.model.layout import WEIGHTS_FILE
from serve_app.model.network import EcgFmClassifier

from .databases import Labelled, read_databases
from .figures import best_threshold, joined_scores
from .fitting import Plan, fit, logits_of
from .report import count_databases, fill_card, measure, read_report, write_report
from .segments import Examples, real_examples, simulated_examples

__all__ = ["held_out_simulated", "main"]

_log = logging.getLogger(__name__)

# Seeds of three sets of simulated recordings that share none.
_TRAIN, _VALIDATE, _HOLD_OUT = 1, 2, 3
_HELD_OUT: Final = 1000
_SHIFTS_S: Final = (0.0, 1.0, 2.0, 3.0, 4.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; ``arguments`` are those of the command line."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s", force=True)
    torch.set_num_threads(1)
    labelled = read_databases(options.data)
    if not options.figures_only:
        _train(options, [each for each in labelled if each.side == "train"])
    held_out = [each for each in labelled if each.side == "held out"]
    report = _report(options.out, held_out)
    if options.card is not None:
        fill_card(options.card, report)
    for kind, rows in report["figures"].items():
        for row in rows:
            _log.info("%s: %s", kind, row)


def held_out_simulated() -> Examples:
    """Simulated recordings that no training has seen."""
    return simulated_examples(_HELD_OUT, _HOLD_OUT)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m serve_app.training", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/twelve_lead"))
    parser.add_argument("--out", type=Path, default=DEMO_FOLDER, help="of weights and report")
    parser.add_argument("--card", type=Path, help="a model card whose figures are rewritten")
    parser.add_argument("--recordings", type=int, default=12000, help="simulated ones")
    parser.add_argument("--epochs", type=int, default=Plan.epochs)
    parser.add_argument("--figures-only", action="store_true", help="of the weights that are there")
    return parser.parse_args(arguments)


def _train(options: argparse.Namespace, labelled: list[Labelled]) -> None:
    began = time.perf_counter()
    plan = Plan(epochs=options.epochs)
    simulated = simulated_examples(options.recordings, _TRAIN)
    _log.info("%d recordings simulated in %.0f s", len(simulated), time.perf_counter() - began)
    views = [real_examples(labelled, shift_s) for shift_s in _SHIFTS_S] if labelled else []
    model = as_stored(fit(demo_config(), simulated, views, plan))
    thresholds = _thresholds(model)
    options.out.mkdir(parents=True, exist_ok=True)
    store(model, thresholds, options.out)
    seconds = time.perf_counter() - began
    how: dict[str, Any] = {
        "data": {
            "simulated": len(simulated),
            "train": len(labelled),
            "train_of": count_databases(labelled),
        },
        "plan": asdict(plan),
        "thresholds": thresholds,
        "training_s": round(seconds),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    write_report(options.out, model, options.out / WEIGHTS_FILE, {}, how)
    _log.info("trained in %.0f s", seconds)


def _report(folder: Path, held_out: list[Labelled]) -> dict[str, Any]:
    """Measure what is stored, and say so beside it."""
    model = load_demo(folder)
    simulated = held_out_simulated()
    kept = ("data", "plan", "thresholds", "training_s", "versions")
    how = {key: value for key, value in read_report(folder).items() if key in kept}
    how["data"] |= {
        "held_out": len(held_out),
        "held_out_of": count_databases(held_out),
        "simulated_held_out": len(simulated),
    }
    figures = measure(model, held_out, simulated)
    return write_report(folder, model, folder / WEIGHTS_FILE, figures, how)


def as_stored(model: EcgFmClassifier) -> EcgFmClassifier:
    """The same with weights rounded to the float16 they are stored in."""
    rounded = {name: tensor.half().float() for name, tensor in model.state_dict().items()}
    model.load_state_dict(rounded)
    return model


def store(model: EcgFmClassifier, thresholds: list[float], folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` (float16)."""
    fields: dict[str, Any] = model.config.to_dict() | {"label_thresholds": thresholds}
    config = EcgFmConfig(**fields)
    config.architectures = ["EcgFmForSequenceClassification"]
    config.save_pretrained(folder)
    halves: dict[str, Tensor] = {k: v.half().contiguous() for k, v in model.state_dict().items()}
    save_file(halves, folder / WEIGHTS_FILE, {"format": "pt"})
    (folder / WEIGHTS_FILE).chmod(0o644)  # the library makes it the owner's alone


def _thresholds(model: EcgFmClassifier) -> list[float]:
    """Where F1 is best on simulated recordings of their own."""
    examples = simulated_examples(2 * _HELD_OUT, _VALIDATE)
    scores = joined_scores(logits_of(model, examples), model.config.labels)
    positive = examples.joined_truth == 1
    columns = range(np.shape(scores)[1])
    return [best_threshold(positive[:, i], scores[:, i]) for i in columns]
