"""The shipped weights, their report and their card are of one piece."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from serve_app.model.demo import DEMO_FOLDER, demo_config, demo_model, state_sha256
from serve_app.model.labels import LABELS
from serve_app.training.command import held_out_simulated, main
from serve_app.training.databases import read_databases
from serve_app.training.figures import auroc, joined_scores
from serve_app.training.fitting import logits_of
from serve_app.training.report import as_table, fill_card, read_report
from serve_app.training.segments import Examples, real_examples

WEIGHTS = DEMO_FOLDER / "model.safetensors"


@pytest.fixture(scope="module")
def report() -> dict:
    return read_report(DEMO_FOLDER)


def measured(examples: Examples) -> dict[str, float | None]:
    """AUROC of each label, None without positives or negatives."""
    model = demo_model()
    scores = joined_scores(logits_of(model, examples), model.config.labels)
    found = {}
    for i, label in enumerate(LABELS):
        truth = examples.joined_truth[:, i]
        known = ~np.isnan(truth)
        positive = truth[known] == 1
        both = 0 < positive.sum() < len(positive)
        found[label.name] = auroc(positive, scores[known, i]) if both else None
    return found


def agree(rows: list[dict], found: dict[str, float | None]) -> None:
    # Another processor may round a score otherwise, and two recordings change places.
    assert {row["label"]: row["auroc"] for row in rows} == {
        label: None if value is None else pytest.approx(value, abs=0.01)
        for label, value in found.items()
    }


def test_report_and_card_name_these_weights(report, repo_root):
    sha256 = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert report["weights_sha256"] == sha256
    assert report["state_sha256"] == state_sha256(demo_model())
    card = (repo_root / "MODEL_CARD.md").read_text()
    assert sha256 in card
    assert as_table(report) in card


def test_weights_are_small():
    assert WEIGHTS.stat().st_size <= 6e6


def test_configuration_is_the_demos_with_fitted_thresholds(report):
    stored, plain = demo_model().config, demo_config()
    assert stored.label_thresholds == report["thresholds"]
    assert stored.label_pos_weights == plain.label_pos_weights
    for name in ("conv_feature_layers", "encoder_layers", "encoder_embed_dim", "conv_pos", "demo"):
        assert getattr(stored, name) == getattr(plain, name)
    assert stored.demo


def test_figures_on_held_out_recordings_are_those_of_these_weights(report, data_dir):
    labelled = read_databases(data_dir / "twelve_lead")
    held_out = [each for each in labelled if each.side == "held out"]
    assert len(held_out) == report["data"]["held_out"]
    agree(report["figures"]["real"], measured(real_examples(held_out)))


@pytest.mark.slow
def test_figures_on_simulated_recordings_are_those_of_these_weights(report):
    agree(report["figures"]["simulated"], measured(held_out_simulated()))


def test_every_label_is_learnt_from_simulations(report):
    assert min(row["auroc"] for row in report["figures"]["simulated"]) > 0.85


@pytest.mark.slow
def test_command_trains_stores_and_reports(tmp_path, data_dir, repo_root):
    card = tmp_path / "CARD.md"
    card.write_text((repo_root / "MODEL_CARD.md").read_text())
    main(
        ["--data", str(data_dir / "twelve_lead"), "--out", str(tmp_path / "out"),
         "--card", str(card), "--recordings", "64", "--epochs", "1"]
    )  # fmt: skip
    found = read_report(tmp_path / "out")
    assert (found["data"]["simulated"], found["data"]["train"]) == (64, 70)
    assert found["weights_sha256"] in card.read_text()
    assert found["weights_sha256"] != read_report(DEMO_FOLDER)["weights_sha256"]


def test_a_card_without_a_place_is_refused(report, tmp_path):
    card = Path(tmp_path / "CARD.md")
    card.write_text("# A card\n")
    with pytest.raises(ValueError, match="no place"):
        fill_card(card, report)
