"""The one who works the queue off, when all goes well and when nothing does."""

import json
import logging
import threading

import pytest

from serve_app.client import ServerProblem
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InferenceTimeout,
    ModelUnavailable,
    Unavailable,
)
from serve_app.hospital.deliveries import Folder, Refused
from serve_app.hospital.worker import Worker
from serve_app.results import Result

from .conftest import until


def put(spool, content, name="recording"):
    source = {"kind": "c-store"}
    return spool.put((("", content),), {"kind": "c-store", "name": name, "source": source})


def failing(*errors):
    """Asks that end in these errors, then for ever in the last."""
    left = list(errors)

    def ask(upload):
        raise left.pop(0) if len(left) > 1 else left[0]

    return ask


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def told(out, name="recording"):
    return json.loads((out / f"{name}.ecg-result.json").read_bytes())


def test_a_recording_is_answered_and_says_that_it_needs_review(spool, ask, out, dicom_bytes):
    put(spool, dicom_bytes)
    worker = Worker(spool, ask, [Folder(out, ("dicom-sr", "fhir", "csv", "svg"))])
    assert worker.work() == 1
    answer = told(out)
    assert answer["review"] == "needed"
    assert Result.model_validate(answer["result"]).predictions
    assert not list(spool.waiting())
    assert sorted(path.name for path in out.iterdir()) == [
        f"recording.ecg-result.{suffix}" for suffix in ("csv", "fhir.json", "json", "sr.dcm", "svg")
    ]


def test_what_is_no_signal_for_the_model_is_analysed(spool, ask, out, data_dir):
    put(spool, (data_dir / "derived/dicom/ambulatory_ecg_mitdb208.dcm").read_bytes())
    Worker(spool, ask, [Folder(out)]).work()
    answer = told(out)
    assert answer["result"]["model"] is None
    assert answer["result"]["analysis"]["heart_rate_bpm"] > 90


@pytest.mark.parametrize(
    "content", [b"not DICOM at all", b"\0" * 128 + b"DICM" + b"\xff" * 500, b""]
)
def test_poison_is_set_aside_at_once(spool, ask, out, content, tmp_path):
    put(spool, content)
    assert Worker(spool, ask, [Folder(out)]).work() == 1
    answer = told(out)
    assert answer["review"] == "needed"
    assert answer["error"]["code"] in {"invalid_format", "corrupted_data"}
    (folder,) = (tmp_path / "spool/failed").iterdir()
    assert (folder / "0").read_bytes() == content


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("down"),
        ModelUnavailable("no model"),
        ServerProblem({"status": 503, "detail": "x"}),
        ServerProblem({"status": 401, "detail": "the operator's to mend"}),
        ServerProblem({"status": 429, "detail": "slower"}),
    ],
    ids=["down", "no model", "503", "401", "429"],
)
def test_while_the_server_is_down_nothing_is_set_aside(spool, out, tmp_path, error):
    put(spool, b"x")
    worker = Worker(spool, failing(error), [Folder(out)], first_wait_s=0.0)
    for _ in range(7):
        assert worker.work() == 0
    assert len(list(spool.waiting())) == 1
    assert not list((tmp_path / "spool/failed").iterdir())


def test_it_is_answered_when_the_server_is_back(spool, ask, out, dicom_bytes):
    put(spool, dicom_bytes)
    downs = [True, True, False]

    def sometimes(upload):
        if downs.pop(0):
            raise Unavailable("down")
        return ask(upload)

    worker, stop = Worker(spool, sometimes, [Folder(out)], first_wait_s=0.05), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    until((out / "recording.ecg-result.json").exists)
    stop.set()
    worker.news.set()
    thread.join()
    assert told(out)["result"]


def test_waits_grow(spool, out, caplog):
    put(spool, b"x")
    worker = Worker(spool, failing(Unavailable("down")), [Folder(out)], first_wait_s=100.0)
    for _ in range(3):
        worker.work()
    assert caplog.text.count("waits") == 1  # it is not asked again before its time


@pytest.mark.parametrize("error", [InferenceTimeout("slow"), EcgServeError("?"), ValueError("bug")])
def test_what_fails_again_and_again_is_set_aside(spool, out, tmp_path, error):
    put(spool, b"x")
    worker = Worker(spool, failing(error), [Folder(out)], first_wait_s=0.0)
    assert [worker.work() for _ in range(5)] == [0, 0, 0, 0, 1]
    assert told(out)["error"]
    assert list((tmp_path / "spool/failed").iterdir())


def test_what_ends_the_process_is_set_aside_in_the_end(spool, out):
    put(spool, b"x")

    def killed(upload):
        raise KeyboardInterrupt  # as a process that ends in the middle: nobody counts anything

    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            Worker(spool, killed, [Folder(out)]).work()
    assert Worker(spool, killed, [Folder(out)]).work() == 1
    assert "ended its process" in told(out)["error"]["detail"]


def test_one_bad_recording_does_not_keep_the_others_waiting(spool, ask, out, dicom_bytes):
    put(spool, b"bad", "bad")
    put(spool, dicom_bytes, "good")
    assert Worker(spool, ask, [Folder(out)]).work() == 2
    assert told(out, "good")["result"]


class Destination:
    """One that is down for a while."""

    def __init__(self, *errors):
        self.errors, self.ids = list(errors), []

    def deliver(self, name, source, outcome):
        if self.errors:
            raise self.errors.pop(0)
        self.ids.append(outcome.result.id)

    def deliver_problem(self, name, source, error):
        pass


def test_the_same_result_is_delivered_when_the_destination_is_back(spool, ask, dicom_bytes):
    put(spool, dicom_bytes)
    asked, first, second = [], Destination(), Destination(*[Unavailable("down")] * 7)

    def counted(upload):
        asked.append(upload)
        return ask(upload)

    worker = Worker(spool, counted, [first, second], first_wait_s=0.0)
    for _ in range(8):
        worker.work()
    assert len(asked) == 1
    assert set(first.ids) == set(second.ids)
    assert len(second.ids) == 1
    assert not list(spool.waiting())


def test_what_a_destination_refuses_is_set_aside(spool, ask, dicom_bytes, tmp_path):
    put(spool, dicom_bytes)
    worker = Worker(spool, ask, [Destination(*[Refused("no")] * 9)], first_wait_s=0.0)
    for _ in range(5):
        worker.work()
    (folder,) = (tmp_path / "spool/failed").iterdir()
    assert json.loads((folder / "problem.json").read_bytes())["code"] == "delivery_refused"


def test_an_output_folder_that_is_full_loses_nothing(spool, ask, tmp_path, dicom_bytes):
    put(spool, dicom_bytes)
    (tmp_path / "out").write_text("a file where the folder should be")
    worker = Worker(spool, ask, [Folder(tmp_path / "out")], first_wait_s=0.0)
    for _ in range(7):
        assert worker.work() == 0
    (tmp_path / "out").unlink()
    assert worker.work() == 1


def test_logs_tell_nothing_of_the_patient(spool, ask, out, dicom_bytes, caplog):
    caplog.set_level(logging.DEBUG)
    put(spool, dicom_bytes)
    put(spool, dicom_bytes[:3000], "cut")
    Worker(spool, ask, [Folder(out, ("dicom-sr",))]).work()
    assert "answered" in caplog.text
    assert "set aside" in caplog.text
    for secret in ("642341", "19710123", "03028041970546"):
        assert secret not in caplog.text
    assert "642341" not in (out / "recording.ecg-result.json").read_text()
    assert CorruptedData.code in (out / "cut.ecg-result.json").read_text()
