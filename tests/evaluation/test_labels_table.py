import numpy as np
import pytest

from serve_app.errors import InvalidFormat, NotFound
from serve_app.evaluation.labels_table import read_labels
from serve_app.model.labels import LABELS

NAMES = [label.name for label in LABELS]


def read(folder, text):
    path = folder / "LABELS.csv"
    path.write_text(text, encoding="utf-8-sig")
    return read_labels(path, NAMES)


def test_paths_patients_and_truth(tmp_path):
    found = read(
        tmp_path,
        "path,Patient,sinus RHYTHM,Infarction\na.hea,7,1,\nsub/b.hea,8,0,1.0\n\nc.hea,7,,0\n",
    )
    assert found.paths == tuple(tmp_path / name for name in ("a.hea", "sub/b.hea", "c.hea"))
    assert found.patients.tolist() == [0, 1, 0]
    assert found.has_patients
    sinus, infarction = NAMES.index("Sinus rhythm"), NAMES.index("Infarction")
    assert found.truth[:, sinus].tolist() == [1, 0, -1]
    assert found.truth[:, infarction].tolist() == [-1, 1, 0]
    others = [k for k in range(17) if k not in (sinus, infarction)]
    assert (found.truth[:, others] == -1).all()


def test_without_patients_each_recording_stands_alone(tmp_path):
    found = read(tmp_path, "path,Infarction\na,1\nb,0\n")
    assert (found.patients.tolist(), found.has_patients) == ([0, 1], False)
    blank = read(tmp_path, "path,patient,Infarction\na,,1\nb,,0\nc,x,0\nd,x,0\n")
    assert blank.patients.tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a column 'path'"),
        ("path,patient\na,1\n", "one of a label"),
        ("patient,Infarction\n1,1\n", "needs a column 'path'"),
        ("path,Infarcton\na,1\n", "did you mean 'infarction'"),
        ("path,age,Infarction\na,60,1\n", "'age' is no label"),
        ("path,Infarction,infarction\na,1,1\n", "twice"),
        ("path,Infarction\na,yes\n", "Line 2 .* 'yes' is neither"),
        ("path,Infarction\na,1\nb,2\n", "Line 3"),
        ("path,Infarction\na,1,0\n", "expected 2 cells"),
        ("path,Infarction\n,1\n", "a path among them"),
        ("path,Infarction\na,1\nb,0\na,1\n", "Line 4 .* line 2 again"),
        ("path,Infarction\n", "names no recording"),
        ('path,Infarction\n"a,1\n', "no CSV"),
    ],
)
def test_other_forms_are_refused(tmp_path, text, message):
    with pytest.raises(InvalidFormat, match=message):
        read(tmp_path, text)


def test_tables_that_are_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"path,Infarction\n\xff\xfe,1\n")
    with pytest.raises(InvalidFormat, match="UTF-8"):
        read_labels(tmp_path / "a.csv", NAMES)
    with pytest.raises(NotFound, match="cannot be read"):
        read_labels(tmp_path / "b.csv", NAMES)


def test_values_are_small(tmp_path):
    assert read(tmp_path, "path,Infarction\na,1\n").truth.dtype == np.int8
