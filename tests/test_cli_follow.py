"""`ecg-serve follow` on real recordings, as a person and as a program call it."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys

import ecg_processor_py as core
import numpy as np
import pytest
from typer.testing import CliRunner

from serve_app.api import create_app
from serve_app.cli import app
from serve_app.decoding import decode_path
from serve_app.settings import load_settings
from tests.live_app import live

pytestmark = pytest.mark.usefixtures("nothing_stays_on_disk")
PROGRAM = (sys.executable, "-c", "from serve_app.cli import main; main()")


def run(*arguments, command="follow"):
    return CliRunner().invoke(app, [command, *map(str, arguments)])


def lines_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def record_100(data_dir):
    return data_dir / "beats/mitdb/100.hea"


@pytest.fixture(scope="module")
def minute_mv(record_100):
    """(2, 60000) millivolts: MIT-BIH 100's first minute at 1 kHz."""
    whole = decode_path(record_100)
    return core.resample(whole.signal_mv[:, : 60 * 360], whole.fs_hz, 1000)


@pytest.fixture(scope="module")
def url(pipeline):
    with live(create_app(pipeline, load_settings(max_body_mb=1))) as url:
        yield url


def without_what_differs(lines):
    for line in lines:
        for name in ("id", "request_id", "elapsed_s", "recording"):
            line.pop(name, None)
    return lines


@pytest.mark.parametrize(
    "name",
    ["beats/mitdb/100.hea", "formats/ishne/ECG_P28.01.ecg", "derived/edf/mitdb201_plus.edf"],
)
def test_here_and_by_a_server_the_same_lines(url, data_dir, name):
    path = data_dir / name
    here = run(path, "--analyze", "--json", "--window-s", 30)
    there = run(path, "--analyze", "--json", "--window-s", 30, "--server", url)
    assert (here.exit_code, there.exit_code) == (0, 0)
    lines = lines_of(here)
    first, *windows, last = lines
    assert [first["type"], last["type"]] == ["recording", "summary"]
    assert len(windows) == first["windows"] > 1
    assert {line["file"] for line in lines} == {str(path)}
    assert without_what_differs(lines) == without_what_differs(lines_of(there))


def test_predictions_here_and_by_a_server(url, data_dir):
    path = data_dir / "derived/edf/mitdb201_plus.edf"
    told = run(path, "--missing-leads", "zero")
    assert told.exit_code == 0, told.output
    asked = run(path, "--missing-leads", "zero", "--server", url)
    assert asked.stdout == told.stdout
    opening, quality, rate, anomalies, predicted, zeros, *labels, demo = told.stdout.splitlines()
    assert opening == f"{path}: edf, 2 leads, 360 Hz, 0:01:00"
    assert quality == "  quality acceptable in 6 of 6 windows of 10 s"
    assert rate == "  heart rate 89 bpm, minutes from 89 to 89; 89 beats, 0:01:00 measured"
    assert "atrial_fibrillation_suspected" in anomalies
    assert predicted == "  6 of 6 windows predicted"
    assert "zeros for" in zeros
    assert len(labels) == 17
    assert all("of them" in label for label in labels)
    assert "demo model" in demo


def test_what_was_not_predicted_and_why(data_dir, tmp_path):
    signal_mv = decode_path(data_dir / "formats/wfdb/s0010_re.hea").signal_mv[:12, :33_000]
    broken = np.array(signal_mv)
    broken[:, 10_000:20_000] = 0.0
    np.save(tmp_path / "broken.npy", broken)
    done = run(tmp_path / "broken.npy", "--fs-hz", 1000, "--units", "mV")
    assert done.exit_code == 0, done.output
    assert "2 of 4 windows predicted; not: 1 flat, 1 too_short" in done.stdout


def test_hours_in_short(tmp_path, minute_mv):
    lead = core.resample(minute_mv[:1], 1000, 100)
    np.save(tmp_path / "long.npy", np.tile(lead, (1, 70)))
    done = run(tmp_path / "long.npy", "--analyze", "--fs-hz", 100, "--leads", "II")
    assert done.exit_code == 0, done.output
    assert "1:10:00" in done.stdout
    assert "  by hour, from 0 h: 74 74\n" in done.stdout
    assert "predicted" not in done.stdout


def test_a_bad_one_keeps_no_other_from_its_answer(url, data_dir, tmp_path):
    (tmp_path / "bad.bin").write_bytes(b"\x01\x02")
    good = data_dir / "derived/edf/mitdb201_plus.edf"
    for server in ((), ("--server", url)):
        call = (tmp_path / "bad.bin", tmp_path / "none.hea", good, "--analyze", *server)
        done = run(*call)
        assert done.exit_code == 1
        assert done.stdout.startswith(f"{good}: edf")
        assert "cannot be read" in done.stderr
        assert "Send WFDB" in done.stderr
        lines = lines_of(run(*call, "--json"))
        assert [line["type"] for line in lines[:3]] == ["error", "error", "recording"]
        assert [line["code"] for line in lines[:2]] == ["invalid_format", "not_found"]


def test_leads_are_missing(url, record_100):
    for server in ((), ("--server", url)):
        done = run(record_100, "--json", *server)
        assert done.exit_code == 1
        (line,) = lines_of(done)
        assert (line["type"], line["code"]) == ("error", "invalid_signal")


@pytest.mark.parametrize("command", ["follow", "predict", "analyze"])
def test_nobody_there(record_100, command):
    """Who waits is told why, at once and once."""
    call = [*PROGRAM, command, str(record_100), "--server", "http://127.0.0.1:1"]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as process:
        first = process.stderr.readline()
        assert process.poll() is None
        (last,) = process.stderr.read().splitlines()
    assert process.returncode == 1
    assert "cannot be reached (ConnectError). It is asked again, for up to 60 s." in first
    assert "cannot be reached" in last


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("a.ecg", "--window-s", "7"),
        ("a.ecg", "--window-s", "nan"),
        ("a.ecg", "--window-s", "400"),
        ("a.ecg", "--units", "V"),
        ("a.ecg", "--model", "demo", "--server", "http://127.0.0.1:1"),
        ("a.ecg", "--model", "demo", "--analyze"),
        ("a.ecg", "--model", "no/such/folder"),
    ],
)
def test_wrong_calls_exit_with_2(wrong):
    assert run(*wrong).exit_code == 2


def test_settings_that_cannot_be_served(monkeypatch, record_100):
    monkeypatch.setenv("ECG_MAX_LONG_HOURS", "many")
    done = run(record_100, "--analyze")
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_too_large_for_one_answer_is_shown_the_way(url, record_100, tmp_path):
    with (tmp_path / "day.bin").open("wb") as file:
        file.truncate(300 << 20)
    here = run(tmp_path / "day.bin", command="predict")
    there = run(record_100, "--server", url, command="analyze")
    told = lines_of(run(record_100, "--server", url, "--json", command="analyze"))
    for hint in (here.stderr, there.stderr, told[0]["error"]["hint"]):
        assert "ecg-serve follow" in hint
    assert told[0]["error"]["code"] == "payload_too_large"
    assert run(tmp_path / "none", command="analyze").stderr.count("follow") == 0


def at_a_terminal(*arguments, out):
    """Standard error at a terminal, standard output into a file; what the terminal shows."""
    terminal, of_program = pty.openpty()
    with out.open("wb") as file:
        program = subprocess.Popen([*PROGRAM, *map(str, arguments)], stdout=file, stderr=of_program)
    os.close(of_program)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal tells that nobody is there any more
        while piece := os.read(terminal, 65536):
            shown += piece
    os.close(terminal)
    assert program.wait(timeout=60) == 0
    return shown.decode()


@pytest.mark.parametrize("command", ["follow", "analyze"])
def test_bars_are_shown_and_answers_reach_their_file(data_dir, tmp_path, command):
    paths = [data_dir / "derived/edf/mitdb201_plus.edf", data_dir / "formats/dicom/Example.dcm"]
    options = ("--json", "--analyze") if command == "follow" else ("--json",)
    shown = at_a_terminal(command, *paths, *options, out=tmp_path / "out.jsonl")
    assert "\u2501" in shown
    assert "heart_rate" not in shown
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {line["file"] for line in lines} == set(map(str, paths))


def test_it_is_ended_from_the_keyboard(record_100):
    program = subprocess.Popen(
        [*PROGRAM, "follow", str(record_100), "--missing-leads", "zero", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = [program.stdout.readline() for _ in range(3)]
    program.send_signal(signal.SIGINT)
    rest, told = program.stdout.read(), program.stderr.read()
    assert program.wait(timeout=30) == 130
    assert "Traceback" not in told
    lines = [json.loads(line) for line in [*first, *rest.splitlines()]]
    assert {line["type"] for line in lines} == {"recording", "window"}


def test_a_reader_that_goes_away(record_100):
    call = ("follow", record_100, "--analyze", "--json")
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -1', "bash", *PROGRAM, *call],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["type"] == "recording"
    assert done.stderr == ""


MEASURED = """
import atexit, sys
from pathlib import Path
from serve_app.cli import main
status = Path("/proc/self/status")
atexit.register(lambda: print(status.read_text().split("VmHWM:")[1].split()[0], file=sys.stderr))
main()
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path, minute_mv):
    most_kb = []
    for minutes in (10, 180):
        path = tmp_path / f"{minutes}.npy"
        np.save(path, np.tile(minute_mv, (1, minutes)))
        call = ("follow", "--analyze", "--fs-hz", "1000", "--leads", "I,II", path)
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *call], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        most_kb.append(int(done.stderr))
    assert path.stat().st_size > 80 << 20
    assert most_kb[1] - most_kb[0] < 32 << 10
