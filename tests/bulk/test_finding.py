"""Which recordings a folder or a list holds."""

import pytest

from serve_app.bulk.finding import find_recordings
from serve_app.errors import NotFound


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").mkdir()
    header = "rec 1 500 10\nrec.dat 16 200/mV 16 0 0 0 0 II\n"
    (tmp_path / "a" / "rec.hea").write_text(header)
    for name in ("a/rec.dat", "a/rec.atr", "b.dcm", "README.md", ".hidden.csv", "c.CSV", "d.ecg2"):
        (tmp_path / name).write_bytes(b"0")
    return tmp_path


def test_a_record_counts_once_and_what_is_no_recording_not_at_all(folder):
    assert find_recordings(folder) == (folder, ["a/rec.hea", "b.dcm", "c.CSV"])


def test_a_pattern_chooses(folder):
    assert find_recordings(folder, "*.ecg2")[1] == ["d.ecg2"]


def test_segments_of_a_record_are_part_of_it(folder):
    (folder / "whole.hea").write_text("whole/2 1 500 20\nrec1 10\n~ 10\n")
    (folder / "rec1.hea").write_text("rec1 1 500 10\nrec1.mat 16 200/mV 16 0 0 0 0 II\n")
    (folder / "rec1.mat").write_bytes(b"0")
    assert [path for path in find_recordings(folder)[1] if "rec1" in path or "whole" in path] == [
        "whole.hea"
    ]


def test_a_damaged_header_keeps_its_row(folder):
    (folder / "bad.hea").write_bytes(b"\xff\xfe")
    assert "bad.hea" in find_recordings(folder)[1]


def test_a_list_gives_each_path_once(folder):
    (folder / "list.txt").write_text("b.dcm\n\na/rec.hea\nb.dcm\n")
    assert find_recordings(folder / "list.txt") == (folder, ["b.dcm", "a/rec.hea"])


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_nothing_there_is_told(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound):
        find_recordings(tmp_path / name)
