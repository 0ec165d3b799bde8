"""A watched folder: new files are taken on once, when they are complete, and never lost."""

import json
import os

import numpy as np
import pydicom
import pytest

from serve_app.hospital.deliveries import Folder
from serve_app.hospital.watcher import Watcher
from serve_app.hospital.worker import Worker


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def results(inbox):
    return Folder(inbox)


@pytest.fixture
def watcher(inbox, results, spool):
    return Watcher(inbox, results, spool)


@pytest.fixture
def worker(spool, ask, results):
    return Worker(spool, ask, [results])


def names(spool):
    return [item.note["name"] for item in spool.waiting()]


def told(inbox, name):
    return json.loads((inbox / f"{name}.ecg-result.json").read_bytes())


def test_a_file_is_taken_on_once_it_is_still(watcher, inbox, spool, dicom_bytes):
    path = inbox / "a.dcm"
    path.write_bytes(dicom_bytes[:1000])
    assert watcher.look() == 0
    path.write_bytes(dicom_bytes)
    assert watcher.look() == 0
    assert watcher.look() == 1
    assert watcher.look() == 0
    (item,) = spool.waiting()
    assert item.files() == (("a.dcm", dicom_bytes),)
    assert item.note["kind"] == "file"


def test_results_lie_beside_and_need_review(watcher, worker, inbox, dicom_bytes):
    (inbox / "ward 3").mkdir()
    (inbox / "ward 3/a.dcm").write_bytes(dicom_bytes)
    watcher.look(settled=True)
    assert worker.work() == 1
    answer = told(inbox, "ward 3/a.dcm")
    assert answer["review"] == "needed"
    assert answer["source"]["file"] == "ward 3/a.dcm"
    assert answer["result"]["predictions"]


def test_reports_on_files_are_anonymous(watcher, inbox, spool, ask, dicom_bytes):
    (inbox / "a.dcm").write_bytes(dicom_bytes)
    watcher.look(settled=True)
    Worker(spool, ask, [Folder(inbox, ("dicom-sr",))]).work()
    assert not pydicom.dcmread(inbox / "a.dcm.ecg-result.sr.dcm").PatientID


def test_its_own_results_are_no_recordings(watcher, inbox, spool, ask, dicom_bytes):
    (inbox / "a.dcm").write_bytes(dicom_bytes)
    watcher.look(settled=True)
    Worker(spool, ask, [Folder(inbox, ("dicom-sr", "fhir", "csv"))]).work()
    assert len(list(inbox.iterdir())) == 5
    assert watcher.look(settled=True) == 0


def test_another_process_goes_on_where_one_ended(watcher, worker, inbox, results, spool, as_npy):
    for name in "ab":
        (inbox / f"{name}.npy").write_bytes(as_npy(np.zeros((12, 500))))
    watcher.look(settled=True)
    assert names(spool) == ["a.npy", "b.npy"]
    assert Watcher(inbox, results, spool).look(settled=True) == 0  # they wait still
    worker.work()
    assert Watcher(inbox, results, spool).look(settled=True) == 0  # they are done
    assert told(inbox, "a.npy")["error"]["code"]


def test_what_is_replaced_is_answered_again(watcher, worker, inbox, dicom_bytes):
    path = inbox / "a.dcm"
    path.write_bytes(b"not yet a recording")
    watcher.look(settled=True)
    worker.work()
    assert "error" in told(inbox, "a.dcm")
    path.write_bytes(dicom_bytes)
    assert watcher.look(settled=True) == 1
    worker.work()
    assert "result" in told(inbox, "a.dcm")


def test_files_of_a_record_come_together(watcher, worker, inbox, spool, data_dir):
    record = data_dir / "formats/wfdb"
    for suffix in (".dat", ".xyz"):
        (inbox / f"s0010_re{suffix}").write_bytes((record / f"s0010_re{suffix}").read_bytes())
    watcher.look()
    (inbox / "s0010_re.hea").write_bytes((record / "s0010_re.hea").read_bytes())
    watcher.look()
    watcher.look()
    assert "s0010_re.hea" in names(spool)
    item = next(item for item in spool.waiting() if item.note["name"] == "s0010_re.hea")
    assert {name for name, _ in item.files()} == {f"s0010_re.{x}" for x in ("hea", "dat", "xyz")}
    worker.work()
    assert told(inbox, "s0010_re.hea")["result"]["model"]


def test_what_is_hidden_unfinished_or_a_link_is_left_alone(watcher, inbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    (inbox / ".hidden").write_bytes(b"x")
    (inbox / ".folder").mkdir()
    (inbox / ".folder/a").write_bytes(b"x")
    (inbox / "upload.part").write_bytes(b"x")
    (inbox / "link").symlink_to(secret)
    assert watcher.look(settled=True) == 0


def test_a_header_that_names_files_elsewhere_is_refused(watcher, inbox, spool, tmp_path):
    (tmp_path / "secret.dat").write_bytes(b"secret")
    (inbox / "a.hea").write_text("a 1 500 100\n../secret.dat 16 200 12 0 0 0 0 I\n")
    watcher.look(settled=True)
    assert all(b"secret" not in content for item in spool.waiting() for _, content in item.files())
    assert told(inbox, "a.hea")["review"] == "needed"


def test_a_file_that_vanishes_or_cannot_be_read_is_no_end(watcher, inbox, spool, dicom_bytes):
    (inbox / "gone.dcm").write_bytes(dicom_bytes)
    watcher.look()
    (inbox / "gone.dcm").unlink()
    (inbox / "b.dcm").write_bytes(dicom_bytes)
    watcher.look()
    assert watcher.look() == 1
    assert names(spool) == ["b.dcm"]


def test_a_full_queue_is_tried_again(inbox, results, dicom_bytes, tmp_path):
    from serve_app.hospital.spool import Spool

    spool = Spool(tmp_path / "small", max_waiting=1)
    for name in "ab":
        (inbox / name).write_bytes(dicom_bytes)
    watcher = Watcher(inbox, results, spool)
    assert watcher.look(settled=True) == 1
    spool.finish(next(spool.waiting()))
    os.utime(inbox / "a")  # nothing new but the time
    assert watcher.look(settled=True) >= 1
    spool.close()
