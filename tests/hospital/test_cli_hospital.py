"""`ecg-serve receive`, `watch` and `plot` as they are called."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from typer.testing import CliRunner

from serve_app.cli import app
from serve_app.hospital.spool import Spool

from .conftest import until

ECG_SERVE = Path(sys.executable).with_name("ecg-serve")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_watch_once_and_again(tmp_path, dicom_bytes):
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    (inbox / "good.dcm").write_bytes(dicom_bytes)
    (inbox / "bad.bin").write_bytes(b"\x01\x02")
    call = ("watch", inbox, "--out", out, "--spool", tmp_path / "s", "--once", "--write", "csv")
    done = run(*call)
    assert done.exit_code == 1, done.output
    answer = json.loads((out / "good.dcm.ecg-result.json").read_bytes())
    assert (answer["review"], answer["result"]["model"]["demo"]) == ("needed", True)
    assert (out / "good.dcm.ecg-result.csv").exists()
    assert json.loads((out / "bad.bin.ecg-result.json").read_bytes())["error"]
    written = (out / "good.dcm.ecg-result.json").stat().st_mtime_ns
    assert run(*call).exit_code == 0
    assert (out / "good.dcm.ecg-result.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.dcm", b""),
        ("alone.hea", b"alone 1 500 5000\nalone.dat 16 200 16 0 0 0 0 I\n"),
        ("elsewhere.hea", b"elsewhere 1 500 5000\n../x.dat 16 200 16 0 0 0 0 I\n"),
    ],
)
def test_watch_once_tells_by_its_exit_code_that_one_failed(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    done = run("watch", tmp_path, "--once")
    assert done.exit_code == 1, done.output
    assert json.loads((tmp_path / f"{name}.ecg-result.json").read_bytes())["error"]


def test_the_queue_is_with_the_results_and_never_watched(tmp_path, monkeypatch):
    inbox, here = tmp_path / "in", tmp_path / "here"
    inbox.mkdir()
    here.mkdir()
    (inbox / "bad.bin").write_bytes(b"\x01\x02")
    monkeypatch.chdir(here)
    for queue in (inbox / ".ecg-spool", inbox / "queue"):
        (inbox / "bad.bin.ecg-result.json").unlink(missing_ok=True)
        options = () if queue.name == ".ecg-spool" else ("--spool", queue)
        assert [run("watch", inbox, "--once", *options).exit_code for _ in range(2)] == [1, 0]
        assert len(list((queue / "failed").iterdir())) == 1
    assert len(list(inbox.rglob("*.ecg-result.json"))) == 1
    assert not list(here.iterdir())


def test_a_second_watcher_of_a_folder_is_refused(tmp_path):
    first = Spool(tmp_path / ".ecg-spool")
    done = run("watch", tmp_path, "--once")
    first.close()
    assert done.exit_code == 2
    assert "Another process works on this spool" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("receive",), "results go nowhere"),
        (("receive", "--out", "o", "--send-to", "nonsense"), "AE@host:port"),
        (("receive", "--out", "o", "--write", "tiff"), "tiff"),
        (("receive", "--out", "o", "--host", "0.0.0.0", "--server", "http://x"), "not loopback"),
        (("watch", "no-such-folder"), "no such folder"),
    ],
)
def test_wrong_calls_exit_with_2(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert said in done.output + done.stderr


@pytest.mark.parametrize(
    ("form", "start"),
    [("svg", b"<?xml"), ("fhir", b"{"), ("csv", b"label,")],
)
def test_plot(tmp_path, dicom_path, form, start):
    done = run("plot", dicom_path, "--out", tmp_path, "--format", form)
    assert done.exit_code == 0, done.output
    (written,) = tmp_path.iterdir()
    assert written.read_bytes().startswith(start)
    assert done.output.strip() == str(written)


def test_plot_does_the_others_beside_a_bad_one(tmp_path, dicom_path):
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"nothing")
    done = run("plot", bad, tmp_path / "absent.dcm", dicom_path, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.fixture
def unnamed(data_dir):
    """A recording that says no names of its three leads."""
    return data_dir / "formats/scp/healforce_62.scp"


LEADS = ("--leads", "I, II, III")


@pytest.mark.parametrize("form", ["svg", "fhir"])
def test_plot_takes_what_a_recording_does_not_say(tmp_path, unnamed, form):
    assert run("plot", unnamed, "--out", tmp_path, "--format", form).exit_code == 1
    done = run("plot", unnamed, "--out", tmp_path, "--format", form, *LEADS)
    assert done.exit_code == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 1


def test_watch_takes_what_recordings_do_not_say(tmp_path, unnamed):
    (tmp_path / unnamed.name).write_bytes(unnamed.read_bytes())
    done = run("watch", tmp_path, "--once", "--write", "svg", *LEADS)
    assert done.exit_code == 0, done.output
    answer = json.loads((tmp_path / f"{unnamed.name}.ecg-result.json").read_bytes())
    assert answer["result"]["recording"]["leads"][:3] == ["I", "II", "III"]
    assert (tmp_path / f"{unnamed.name}.ecg-result.svg").exists()


def test_watch_once_that_is_stopped_has_not_answered_all(tmp_path, dicom_bytes):
    (tmp_path / "good.dcm").write_bytes(dicom_bytes)
    call = [ECG_SERVE, "watch", tmp_path, "--once", "--server", "http://127.0.0.1:9"]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as process:
        while "waits" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 1


@pytest.mark.slow
def test_receive_survives_kill_while_the_server_is_down(tmp_path, dicom_bytes):
    """Acknowledged, killed, started again with a way to answer: the result comes."""
    folders = ["--out", tmp_path / "out", "--spool", tmp_path / "spool"]
    call = [ECG_SERVE, "receive", "--port", "0", *folders]
    environment = os.environ | {"NO_COLOR": "1"}

    def started(*more):
        process = subprocess.Popen(
            [*call, *more], stderr=subprocess.PIPE, text=True, env=environment
        )
        for line in process.stderr:
            if "listens" in line:
                return process, int(line.rpartition(":")[2])
        raise AssertionError("it did not start")

    first, port = started("--server", "http://127.0.0.1:9")
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes)
    dataset = pydicom.dcmread(path)
    node = AE("CART")
    node.add_requested_context(dataset.SOPClassUID, ExplicitVRLittleEndian)
    association = node.associate("127.0.0.1", port, ae_title="ECGFM")
    assert association.send_c_store(dataset).Status == 0
    first.kill()
    first.communicate()
    second, _ = started()
    try:
        result = tmp_path / "out" / f"{dataset.SOPInstanceUID}.ecg-result.json"
        until(result.exists, 60)
        assert json.loads(result.read_bytes())["result"]["predictions"]
    finally:
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=30)
    assert second.returncode == 0
