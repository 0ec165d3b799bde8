import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError

from serve_app.errors import CheckpointError
from serve_app.model.calibration import Calibration, LabelCalibration
from serve_app.model.checkpoints import load_any, load_model
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.conversion import require_storable, store_calibration, write_model
from serve_app.model.modeling_ecg_fm import EcgFmForSequenceClassification

LINE = LabelCalibration(slope=0.8, intercept=-1.25, threshold=0.375)


def fitted(sha256: str, **labels: LabelCalibration) -> Calibration:
    return Calibration(sha256, "fp32", "f1", 90, 68, labels or {"Infarction": LINE})


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    write_model(load_any("demo"), tmp_path / "ours")
    return tmp_path / "ours"


def test_what_is_stored_is_loaded(ours: Path) -> None:
    plain = load_model(ours)
    store_calibration(str(ours), fitted(plain.sha256))
    loaded = load_model(ours)
    by_name = {label.name: label for label in loaded.config.labels}
    label = by_name.pop("Infarction")
    pos_weight = next(each.pos_weight for each in plain.config.labels if each.name == label.name)
    assert (label.slope, label.intercept, label.threshold) == (0.8, -1.25, 0.375)
    assert (label.join, label.pos_weight, label.calibration) == ("mean", pos_weight, "platt")
    assert tuple(by_name.values()) == tuple(
        each for each in plain.config.labels if each.name != "Infarction"
    )
    assert {each.calibration for each in by_name.values()} == {"prior_correction"}
    assert loaded.sha256 == plain.sha256
    assert sorted(path.name for path in ours.iterdir()) == ["config.json", "model.safetensors"]


def test_a_second_fit_takes_the_place_of_the_first(ours: Path) -> None:
    sha256 = load_model(ours).sha256
    store_calibration(str(ours), fitted(sha256))
    store_calibration(str(ours), fitted(sha256, **{"Sinus rhythm": LINE}))
    calibrated = [each.name for each in load_model(ours).config.labels if each.intercept]
    assert calibrated == ["Sinus rhythm"]


def test_other_weights_are_refused(ours: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="other weights"):
        store_calibration(str(ours), fitted("0" * 64))
    store_calibration(str(ours), fitted(load_model(ours).sha256))
    model = load_any("demo").model
    model.classifier.bias.data += 1  # type: ignore[union-attr]
    from safetensors.torch import save_file

    save_file(model.state_dict(), ours / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="other weights") as caught:
        load_model(ours)
    assert "--fit-calibration" in caught.value.hint
    fields = json.loads((ours / "config.json").read_text())
    (ours / "config.json").write_text(json.dumps(fields | {"calibration": None}))
    assert load_model(ours).config.calibration is None


def test_it_goes_along_with_the_same_weights(ours: Path, tmp_path: Path) -> None:
    store_calibration(str(ours), fitted(load_model(ours).sha256))
    write_model(load_any(ours), tmp_path / "again")
    assert load_model(tmp_path / "again").config.labels == load_model(ours).config.labels
    with_transformers = EcgFmForSequenceClassification.from_pretrained(ours)
    assert with_transformers.config.labels == load_model(ours).config.labels


@pytest.mark.parametrize("source", ["demo", "hf:someone/ecg-fm", "pt"])
def test_models_of_other_forms_have_no_place_for_it(source: str, ecgfm_dir: Path) -> None:
    if source == "pt":
        source = str(ecgfm_dir / "tiny_finetuned.pt")
    with pytest.raises(CheckpointError, match="directory of ours") as caught:
        require_storable(source)
    assert "model convert" in caught.value.hint


def test_nonsense_is_never_stored(ours: Path) -> None:
    sha256, before = load_model(ours).sha256, (ours / "config.json").read_text()
    for label, line in (("Infarcton", LINE), ("Infarction", LabelCalibration(-1.0, 0.0, 0.5))):
        with pytest.raises(CheckpointError, match="calibration"):
            store_calibration(str(ours), fitted(sha256, **{label: line}))
    assert (ours / "config.json").read_text() == before
    assert len(list(ours.iterdir())) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"Infarction": {"slope": 1.0}}},
        {"labels": {"Infarction": {"slope": "1", "intercept": 0.0, "threshold": 0.5}}},
        {"labels": {"Infarction": {"slope": 1.0, "intercept": 0.0, "threshold": 5.0}}},
        {"labels": {"Infarction": {"slope": 1.0, "intercept": float("nan"), "threshold": 0.5}}},
        {"labels": {"Infarction": 1.0}},
        {"labels": []},
        {"labels": {"Other": {"slope": 1.0, "intercept": 0.0, "threshold": 0.5}}},
        {"method": "isotonic"},
    ],
    ids=str,
)
def test_configurations_that_break_the_form_are_refused(change: dict[str, Any]) -> None:
    good = fitted("0" * 64).to_dict()
    assert EcgFmConfig(calibration=good).labels[15].intercept == -1.25
    with pytest.raises(StrictDataclassError, match=r"calibration|threshold"):
        _ = EcgFmConfig(calibration=good | change).labels


def test_survives_json() -> None:
    config = EcgFmConfig(calibration=fitted("0" * 64).to_dict())
    again = EcgFmConfig(**json.loads(config.to_json_string()))
    assert again.labels == config.labels
