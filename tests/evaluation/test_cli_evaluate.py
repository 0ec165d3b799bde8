"""`ecg-serve evaluate` on real recordings, as a person and as a scheduled job call it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics
from starlette.testclient import TestClient
from typer.testing import CliRunner

from serve_app.api import create_app
from serve_app.cli import app
from serve_app.decoding import decode_path
from serve_app.engine.loading import load_engine
from serve_app.evaluation.labels_table import read_labels
from serve_app.evaluation.scoring import Failure, Reading, Scored, score_recordings
from serve_app.model.checkpoints import load_any
from serve_app.model.conversion import write_model
from serve_app.model.labels import LABELS
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert isinstance(done.exception, (SystemExit, type(None)))
    return done


def told(*arguments, code=0):
    return json.loads(run(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, ecgfm_dir):
    """The small checkpoint, as a directory of ours."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(load_any(ecgfm_dir / "tiny_finetuned.pt"), folder)
    return folder


@pytest.fixture
def learnable(ptbxl, tiny, write_table):
    """Real recordings whose truth follows the model's own scores, as those of a good model do."""
    table = write_table(ptbxl)
    engine = load_engine(load_settings(model=str(tiny)))
    known = read_labels(table, [label.name for label in LABELS])
    k = [label.name for label in LABELS].index("Infarction")
    items = score_recordings(known.paths, engine, Reading())
    scores = np.array([item.scores[k] for item in items], float)
    logits = np.log(scores / (1 - scores))
    logits = (logits - np.median(logits)) / logits.std()
    truth = np.random.default_rng(0).random(len(scores)) < 1 / (1 + np.exp(-3 * logits))
    rows = [{**row, "Infarction": str(int(so))} for row, so in zip(ptbxl, truth, strict=True)]
    return write_table(rows)


def test_figures_are_scikit_learns_of_what_is_served(ptbxl, write_table, pipeline, settings):
    rows = ptbxl[::6]
    found = told(write_table(rows), "--bootstrap", 50)
    with TestClient(create_app(pipeline, settings)) as client:
        results = [_predicted(client, Path(row["path"])) for row in rows]
    for own in found["labels"]:
        truth = np.array([row[own["label"]] == "1" for row in rows])
        served = [result[own["label"]] for result in results]
        scores = np.array([each["probability"] for each in served])
        calibrated = np.array([each["calibrated_probability"] for each in served])
        said = np.array([each["positive"] for each in served])
        assert (own["recordings"], own["positives"]) == (len(rows), truth.sum())
        assert own["brier"]["value"] == pytest.approx(np.mean((calibrated - truth) ** 2), abs=1e-5)
        if own["auroc"]["value"] is not None:
            wanted = metrics.roc_auc_score(truth, scores)
            assert own["auroc"]["value"] == pytest.approx(wanted)
        if own["f1"]["value"] is not None:
            assert own["f1"]["value"] == pytest.approx(metrics.f1_score(truth, said))
    assert found["model"]["demo"]
    assert found["set"]["patients"] == len({row["patient"] for row in rows})
    assert len(found["unlabelled"]) == 13
    assert found["passed"]


def _predicted(client, path):
    header = path.with_suffix(".hea")
    files = [
        ("file", (each.name, each.read_bytes())) for each in (header, path.with_suffix(".dat"))
    ]
    predictions = client.post("/v1/predict?analysis=false", files=files).json()["predictions"]
    return {each["label"]: each for each in predictions}


def test_means_are_over_labels_with_both_classes(ptbxl, write_table):
    found = told(write_table(ptbxl[:40]), "--bootstrap", 20)
    both = [each for each in found["labels"] if 0 < each["positives"] < each["recordings"]]
    assert 0 < len(both) < len(found["labels"])
    values = [each["auroc"]["value"] for each in both]
    assert found["macro"]["auroc"]["value"] == pytest.approx(np.mean(values))
    weights = [each["positives"] for each in both]
    weighted = np.average(values, weights=weights)
    assert found["weighted"]["auroc"]["value"] == pytest.approx(weighted)
    one_class = next(each for each in found["labels"] if each not in both)
    assert one_class["auroc"]["value"] is None
    assert one_class["auroc"]["reason"]


def test_report_and_plots(ptbxl, write_table, tmp_path):
    table = write_table(ptbxl[:30])
    said = run(table, "--out", tmp_path / "out", "--bootstrap", 20).stdout
    assert "knows nothing" not in said
    assert "demo model" in said
    assert "Sinus rhythm" in said
    names = ["evaluation.png", "evaluation.svg", "report.json", "report.md"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report == told(table, "--bootstrap", 20)
    assert "| Sinus rhythm |" in (tmp_path / "out" / "report.md").read_text()
    svg = (tmp_path / "out" / "evaluation.svg").read_bytes()
    run(table, "--out", tmp_path / "again", "--bootstrap", 20)
    assert (tmp_path / "again" / "evaluation.svg").read_bytes() == svg
    assert (tmp_path / "out" / "evaluation.png").read_bytes()[:4] == b"\x89PNG"


def test_bad_recordings_are_told_and_skipped(ptbxl, write_table, tmp_path):
    (tmp_path / "damaged.dcm").write_bytes(b"no recording")
    rows = [*ptbxl[:5], {**ptbxl[0], "path": "nowhere.hea"}, {**ptbxl[0], "path": "damaged.dcm"}]
    found = told(write_table(rows), code=1)
    assert found["set"]["recordings"] == 7
    assert found["set"]["scored"] == 5
    assert [each["code"] for each in found["set"]["failed"]] == ["not_found", "invalid_format"]
    assert found["labels"][0]["recordings"] == 5
    assert not found["passed"]
    assert "damaged.dcm" in run(write_table(rows), code=1).output


def test_a_set_of_which_nothing_can_be_read(ptbxl, write_table):
    problem = told(write_table([{**ptbxl[0], "path": "nowhere.hea"}]), code=2)["error"]
    assert "None of the 1 recordings" in problem["detail"]


def test_batches_do_not_matter(ptbxl, data_dir):
    """Segments of several recordings share a batch; each gets the scores that it gets alone."""
    engine = load_engine(load_settings())
    paths = [Path(row["path"]) for row in ptbxl[:7]]
    paths.insert(3, Path("nowhere"))
    together = list(score_recordings(paths, engine, Reading(batch_segments=5)))
    alone = list(score_recordings(paths, engine, Reading(batch_segments=1)))
    assert sorted(item.index for item in together) == list(range(8))
    assert [item.index for item in together if isinstance(item, Failure)] == [3]
    by_index = {item.index: item for item in alone if isinstance(item, Scored)}
    for item in together:
        if isinstance(item, Scored):
            np.testing.assert_allclose(item.scores, by_index[item.index].scores, atol=1e-6)


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        (["--at-least", "auroc=0.0"], 0),
        (["--at-least", "auroc=1.0"], 1),
        (["--at-least", "auroc:sinus rhythm=0.01"], 0),
        (["--at-least", "auroc:Atrial flutter=0.01"], 1),  # not in the table: not defined
        (["--at-most", "brier=1"], 0),
        (["--at-most", "brier=0.0"], 1),
        (["--at-least", "auroc=0.0", "--at-least", "sensitivity=1"], 1),
        (["--at-least", "brier=0.5"], 2),
        (["--at-most", "auroc=0.5"], 2),
        (["--at-least", "auroc"], 2),
        (["--at-least", "auroc=much"], 2),
        (["--at-least", "auroc=80"], 2),
        (["--at-least", "auroc:Atrial fluter=0.5"], 2),
        (["--store"], 2),
        (["--sensitivity", "0.9"], 2),
        (["--fit-calibration", "--sensitivity", "9"], 2),
        (["--precision", "fp8"], 2),
        (["--model", "nowhere"], 2),
    ],
)
def test_exit_codes(ptbxl, write_table, bounds, code):
    run(write_table(ptbxl[::6]), "--bootstrap", 0, *bounds, code=code)


def test_what_a_scheduled_job_is_told(ptbxl, write_table):
    table = write_table(ptbxl[::6])
    found = told(table, "--bootstrap", 0, "--at-least", "auroc=0.99", code=1)
    (check,) = found["checks"]
    assert check["found"] < 0.99
    assert not check["passed"]
    said = run(table, "--bootstrap", 0, "--at-least", "auroc=0.99", code=1).stdout
    assert "BROKEN: auroc of all labels (macro)" in said
    assert found["labels"][0]["auroc"]["low"] is None
    assert "no samples" in found["labels"][0]["auroc"]["reason"]


def test_where_an_interval_is_missing_it_is_said_why(ptbxl, write_table):
    """Of one patient with the label a third of the samples have none."""
    rows = [{**row, "Infarction": str(int(k == 0))} for k, row in enumerate(ptbxl[:30])]
    found = told(write_table(rows), "--bootstrap", 50)
    (own,) = [each for each in found["labels"] if each["label"] == "Infarction"]
    assert own["auroc"]["value"] is not None
    assert (own["auroc"]["low"], own["auroc"]["high"]) == (None, None)
    assert "too few patients" in own["auroc"]["reason"]
    assert own["brier"]["low"] < own["brier"]["value"] < own["brier"]["high"]


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_scored(
    ptbxl, write_table, tmp_path
):
    (tmp_path / "file").write_bytes(b"")
    arguments = (write_table(ptbxl[:3]), "--out", tmp_path / "file" / "below")
    assert "cannot be written" in run(*arguments, code=2).output


def test_a_calibration_is_fitted_stored_and_served(learnable, tiny, dicom_bytes):
    before = told(learnable, "--model", tiny, "--bootstrap", 0)
    found = told(learnable, "--model", tiny, "--bootstrap", 0, "--fit-calibration", "--store")
    fitted = {each["label"]: each for each in found["fitted"]}
    own = fitted["Infarction"]
    assert own["fitted"]
    assert own["cross_validated"]["brier"]["after"] < own["cross_validated"]["brier"]["before"]
    assert not fitted["Right bundle branch block"]["fitted"]
    assert found["stored"]

    settings = load_settings(model=str(tiny))
    pipeline = Pipeline(settings, InProcessModel(lambda: load_engine(settings)))
    with TestClient(create_app(pipeline, settings)) as client:
        predictions = client.post("/v1/predict", content=dicom_bytes).json()["predictions"]
        (card,) = client.get("/v1/models").json()["models"]
    (served,) = [each for each in predictions if each["label"] == "Infarction"]
    p = served["probability"]
    logit = own["slope"] * np.log(p / (1 - p)) + own["intercept"]
    assert served["calibrated_probability"] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-6)
    assert (served["threshold"], served["calibration"]) == (own["threshold"], "platt")
    assert served["positive"] == (p >= own["threshold"])
    others = {each["calibration"] for each in predictions if each["label"] != "Infarction"}
    assert others == {"prior_correction"} or fitted["Sinus rhythm"]["fitted"]
    (detail,) = [each for each in card["label_details"] if each["name"] == "Infarction"]
    assert (detail["calibration"], detail["slope"]) == ("platt", own["slope"])

    after = told(learnable, "--model", tiny, "--bootstrap", 0)
    old, new = (
        next(each for each in report["labels"] if each["label"] == "Infarction")
        for report in (before, after)
    )
    assert new["calibration"] == "platt"
    assert new["brier"]["value"] < old["brier"]["value"]
    assert new["f1"]["value"] >= (old["f1"]["value"] or 0)
    assert new["auroc"]["value"] == old["auroc"]["value"]


def test_where_nothing_can_be_stored_is_said_before_anything_is_scored(
    ptbxl, write_table, ecgfm_dir
):
    table = write_table(ptbxl[:3])
    for model in ("demo", ecgfm_dir / "tiny_finetuned.pt", "hf:someone/ecg-fm"):
        problem = told(table, "--model", model, "--fit-calibration", "--store", code=2)["error"]
        assert "model convert" in problem["hint"]


def test_too_few_to_store_anything(ptbxl, write_table, tiny):
    table = write_table(ptbxl[:6])
    arguments = (table, "--model", tiny, "--fit-calibration", "--store", "--bootstrap", 0)
    config = (tiny / "config.json").read_text()
    assert "nothing was stored" in told(*arguments, code=2)["error"]["detail"]
    assert (tiny / "config.json").read_text() == config


def test_without_the_extra_it_is_said_what_to_install(ptbxl, write_table):
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from serve_app.cli import main; sys.argv[0] = 'ecg-serve'; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", write_table(ptbxl[:3])],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "ecg-fm-serve[evaluate]" in done.stderr


def test_the_command_line_does_not_wait_for_what_figures_need():
    code = (
        "import sys, serve_app.cli\n"
        "sys.exit(any(m in sys.modules for m in ('sklearn', 'matplotlib', 'torch', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_recordings_are_decoded_as_ever(ptbxl):
    """A name without suffix, as PTB-XL's own table has it, is that of the header."""
    path = Path(ptbxl[0]["path"])
    assert not path.suffix
    (item,) = score_recordings([path], load_engine(load_settings()), Reading())
    (same,) = score_recordings([path.with_suffix(".hea")], load_engine(load_settings()), Reading())
    np.testing.assert_array_equal(item.scores, same.scores)
    assert decode_path(path.with_suffix(".hea")).fs_hz in (100, 500)
