"""Rows and parts: exactly one row a recording, whatever ends a run."""

import asyncio
import json

import pyarrow.dataset
import pyarrow.parquet
import pytest

from serve_app.bulk.table import Job, Parts, make_table
from serve_app.decoding import Hints
from serve_app.errors import CorruptedData, InvalidParameter

JOB = Job("predict", "0" * 64)


@pytest.fixture(scope="module")
def result(pipeline, dicom_bytes):
    return asyncio.run(pipeline.predict(dicom_bytes))


@pytest.fixture(scope="module")
def labels(result):
    return [each.label for each in result.predictions]


def test_a_row_holds_what_the_result_says(result, labels):
    (row,) = make_table([("a.dcm", result)], labels, JOB).to_pylist()
    assert row["error_code"] is None
    assert row["heart_rate_bpm"] == result.analysis.heart_rate_bpm
    assert row["model_revision"] == result.model.revision
    assert [row[f"probability.{name}"] for name in labels] == [
        each.probability for each in result.predictions
    ]


def test_a_failure_has_its_row_of_the_same_schema(result, labels):
    failed = make_table([("b", CorruptedData("Cut short."))], labels, JOB)
    assert failed.schema == make_table([("a", result)], labels, JOB).schema
    assert failed.to_pylist()[0]["error_code"] == "corrupted_data"


def test_what_is_written_is_done_and_the_rest_is_not(tmp_path, result, labels):
    folder = tmp_path / "out.parquet"
    Parts(folder, JOB).write(make_table([("a", result)], labels, JOB))
    (folder / ".part-1.parquet.tmp").write_bytes(b"a run that was killed left this")
    again = Parts(folder, JOB)
    assert again.done() == {"a"}
    again.write(make_table([("b", result)], labels, JOB))
    assert Parts(folder, JOB).done() == {"a", "b"}
    table = pyarrow.dataset.dataset(folder).to_table()
    assert sorted(table.column("path").to_pylist()) == ["a", "b"]
    assert not list(folder.glob(".*"))


HINTED = [Hints(500.0), Hints(500.0, "uV"), Hints(leads=("I", "II"))]


@pytest.mark.parametrize(
    "other",
    [
        Job("analyze"),
        Job("predict", "1" * 64),
        *(Job("predict", "0" * 64, hints=each) for each in HINTED),
    ],
)
def test_answers_of_another_job_are_not_mixed_in(tmp_path, result, labels, other):
    Parts(tmp_path / "out", JOB).write(make_table([("a", result)], labels, JOB))
    with pytest.raises(InvalidParameter, match="another model"):
        Parts(tmp_path / "out", other).done()


@pytest.mark.parametrize("hints", [Hints(), *HINTED])
def test_a_job_knows_its_own_answers_again(tmp_path, result, labels, hints):
    job = Job("predict", "0" * 64, hints=hints)
    Parts(tmp_path / "out", job).write(make_table([("a", result)], labels, job))
    assert Parts(tmp_path / "out", job).done() == {"a"}


def test_a_table_from_before_there_were_hints_is_added_to(tmp_path, result, labels):
    old = {"what": "predict", "model_sha256": "0" * 64, "engine": None, "precision": None}
    old |= {"missing_leads": None, "embedding": False}
    table = make_table([("a", result)], labels, JOB)
    Parts(tmp_path / "out", JOB).write(
        table.replace_schema_metadata({b"ecg_fm_serve": json.dumps(old)})
    )
    assert Parts(tmp_path / "out", JOB).done() == {"a"}


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "out.parquet").write_bytes(b"")
    with pytest.raises(InvalidParameter, match="folder of parts"):
        Parts(tmp_path / "out.parquet", JOB)
