"""Recordings of any length: in this process, and answered in lines over HTTP."""

import asyncio
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest
from backports import zstd
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.decoding import Hints, decode_path
from serve_app.errors import InvalidParameter, InvalidSignal, ModelUnavailable
from serve_app.pipeline import Options, Pipeline
from serve_app.recording import STANDARD_LEADS, make_recording
from serve_app.settings import load_settings
from serve_app.streaming.following import follow
from serve_app.streaming.lines import SummaryLine, WindowLine
from serve_app.streaming.source import open_path, open_sent

NDJSON = {"Accept": "application/x-ndjson"}


@pytest.fixture(autouse=True)
def nothing_stays_on_disk(monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spool")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def lines_of(sent, pipeline, settings, hints=None, **wanted):
    async def collect():
        with open_sent(sent, settings, hints or Hints()) as recording:
            return [line async for line in follow(recording, pipeline, **wanted)]

    return asyncio.run(collect())


@pytest.fixture(scope="module")
def twelve_leads(data_dir):
    """(12, 35000) millivolts: 35 s of PTB record s0010 at 1 kHz."""
    whole = decode_path(data_dir / "formats/wfdb/s0010_re.hea")
    return whole.signal_mv[:12, :35_000]


@pytest.fixture(scope="module")
def half_hour(data_dir, settings, pipeline):
    """The lines of MIT-BIH 100 without a model."""
    return lines_of(data_dir / "beats/mitdb/100.hea", pipeline, settings)


def of_array(signal_mv, fs_hz=1000.0, leads=STANDARD_LEADS):
    return make_recording(signal_mv, fs_hz=fs_hz, leads=leads, format="npy", sha256="0" * 64)


def test_lines_come_in_order(half_hour):
    first, *windows, last = half_hour
    assert first.type == "recording"
    assert first.windows == len(windows) == last.windows == 181
    assert all(isinstance(window, WindowLine) for window in windows)
    assert isinstance(last, SummaryLine)
    assert [window.start_s for window in windows] == [10.0 * i for i in range(181)]
    assert windows[-1].end_s == pytest.approx(first.recording.duration_s)
    assert first.model is None
    assert {window.not_predicted for window in windows} == {None}


def test_beats_are_those_of_the_annotations(half_hour, data_dir):
    summary = half_hour[-1]
    # MIT-BIH 100 has 2273 annotated beats, 33 + 1 of them premature.
    assert summary.rhythm.beats == pytest.approx(2273, abs=2)
    assert summary.rhythm.anomaly_counts["premature_beat"] == pytest.approx(34, abs=3)
    in_windows = [at for window in half_hour[1:-1] for at in window.r_peaks_s]
    assert len(in_windows) == summary.rhythm.beats
    assert in_windows == sorted(in_windows)


def test_the_whole_says_what_analysis_of_the_whole_says(half_hour, data_dir, pipeline):
    whole = asyncio.run(pipeline.analyze(decode_path(data_dir / "beats/mitdb/100.hea")))
    told = half_hour[-1].rhythm
    assert told.heart_rate.mean_bpm == pytest.approx(whole.analysis.heart_rate_bpm, rel=1e-3)
    for name in ("sdnn_ms", "rmssd_ms", "mean_nn_ms"):
        assert told.hrv[name] == pytest.approx(whole.analysis.hrv[name], rel=0.02), name


def test_a_window_is_predicted_as_a_recording_of_its_own(twelve_leads, pipeline, settings):
    lines = lines_of(of_array(twelve_leads), pipeline, settings, options=Options())
    windows = lines[1:-1]
    assert [window.not_predicted for window in windows] == [None] * 4
    for window in windows:
        part = twelve_leads[:, int(window.start_s * 1000) : int(window.end_s * 1000)]
        alone = asyncio.run(pipeline.predict(of_array(part)))
        assert [each.probability for each in window.predictions] == pytest.approx(
            [each.probability for each in alone.predictions], abs=1e-4
        )
        assert window.quality == alone.quality
    summary = lines[-1]
    assert summary.windows_predicted == 4
    assert len(summary.predictions) == len(summary.burden) == 17
    sinus = next(each for each in summary.predictions if each.label == "Sinus rhythm")
    of_windows = [
        each.probability for w in windows for each in w.predictions if each.label == sinus.label
    ]
    # Of the last window's 5 s there is one segment, of the others there are two.
    assert sinus.probability == pytest.approx(
        np.average(of_windows, weights=[2, 2, 2, 1]), abs=1e-5
    )


def test_gaps_are_marked_and_the_rest_goes_on(twelve_leads, pipeline, settings):
    broken = np.array(twelve_leads)
    broken[:, 12_000:14_000] = np.nan
    broken[3, 20_000:22_500] = np.nan
    lines = lines_of(of_array(broken), pipeline, settings, options=Options())
    first, second, third, last = lines[1:-1]
    assert [w.not_predicted for w in (first, second, third, last)] == [
        *(None, "missing_samples", "missing_samples", None)
    ]
    assert second.missing == dict.fromkeys(STANDARD_LEADS, 0.2)
    assert second.quality is None
    assert third.missing == {"aVR": 0.25}
    assert set(third.quality.leads) == set(STANDARD_LEADS) - {"aVR"}
    assert first.predictions
    assert last.predictions
    assert not second.predictions
    summary = lines[-1]
    assert summary.windows_not_predicted == {"missing_samples": 2}
    assert summary.degraded is None
    assert summary.rhythm.measured_s == 25
    assert not [at for at in second.r_peaks_s if 12.3 < at < 14]


def test_flat_windows_and_remainders_are_not_predicted(twelve_leads, pipeline, settings):
    broken = np.array(twelve_leads[:, :33_000])
    broken[:, 10_000:20_000] = 0.0
    lines = lines_of(of_array(broken), pipeline, settings, options=Options())
    reasons = [window.not_predicted for window in lines[1:-1]]
    assert reasons == [None, "flat", None, "too_short"]


def test_leads_may_be_given_as_zeros(data_dir, pipeline, settings, tmp_path):
    path = data_dir / "beats/mitdb/100.hea"
    with pytest.raises(InvalidSignal, match="leads missing"):
        lines_of(path, pipeline, settings, options=Options())
    recording = decode_path(path)
    part = of_array(recording.signal_mv[:, : 360 * 40], 360.0, recording.leads)
    lines = lines_of(part, pipeline, settings, options=Options(missing_leads="zero"), window_s=20.0)
    assert len(lines[0].recording.zero_filled_leads) == 11
    assert [len(window.predictions) for window in lines[1:-1]] == [17, 17]


@pytest.mark.parametrize("window_s", [0.0, 4.0, 12.0, 305.0, float("nan")])
def test_windows_that_cannot_be(twelve_leads, pipeline, settings, window_s):
    with pytest.raises(InvalidParameter):
        lines_of(of_array(twelve_leads), pipeline, settings, window_s=window_s)


def test_microvolts_taken_for_millivolts_are_refused_at_once(twelve_leads, pipeline, settings):
    with pytest.raises(InvalidSignal, match="200 mV"):
        lines_of(of_array(twelve_leads * 1000), pipeline, settings)


class FailingModel:
    """Answers some questions, and no more."""

    def __init__(self, model, answers):
        self._model, self._answers = model, answers

    async def info(self, model=None):
        return await self._model.info(model)

    async def ask(self, segments, model=None):
        self._answers -= 1
        if self._answers < 0:
            raise ModelUnavailable("gone")
        return await self._model.ask(segments, model)


def test_a_model_that_goes_away(twelve_leads, pipeline):
    long = of_array(np.tile(twelve_leads[:, ::4], (1, 12)), 250.0)  # 420 s: three questions
    model = pipeline._model
    strict = load_settings()
    with pytest.raises(ModelUnavailable):
        lines_of(long, Pipeline(strict, FailingModel(model, 1)), strict, options=Options())
    lenient = load_settings(when_model_fails="signal_only")
    lines = lines_of(long, Pipeline(lenient, FailingModel(model, 1)), lenient, options=Options())
    summary = lines[-1]
    assert summary.degraded == "signal_only"
    assert summary.windows_predicted == 16
    assert summary.windows_not_predicted == {"model_unavailable": 26}
    assert summary.predictions
    assert summary.rhythm.measured_s == pytest.approx(420)


async def count_lines(path, hints, pipeline, settings):
    with open_path(path, settings, hints) as recording:
        return len([0 async for _ in follow(recording, pipeline)])


def test_memory_does_not_grow_with_the_recording(data_dir, pipeline, settings, tmp_path):
    signal_mv = decode_path(data_dir / "beats/mitdb/100.hea").signal_mv
    hints = Hints(fs_hz=360, leads=("a", "b"))
    peaks = []
    for minutes in (10, 40):
        np.save(tmp_path / "long.npy", np.tile(signal_mv, 2)[:, : minutes * 60 * 360])
        tracemalloc.start()
        lines = asyncio.run(count_lines(tmp_path / "long.npy", hints, pipeline, settings))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert lines == minutes * 6 + 2
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 0.7 * 8 * 40 * 60 * 360


# Over HTTP.


@pytest.fixture(scope="module")
def client(pipeline):
    settings = load_settings(max_long_body_mb=8, max_body_mb=1, client_timeout_s=1.0)
    with TestClient(create_app(pipeline, settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def record_100(data_dir):
    return [
        ("file", (name, (data_dir / "beats/mitdb" / name).read_bytes()))
        for name in ("100.hea", "100.dat")
    ]


def read_lines(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def assert_problem(response, status, code):
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert "/tmp" not in response.text


def test_a_record_in_lines(client, record_100, half_hour):
    # Larger than what is taken of a recording that is answered as JSON.
    lines = read_lines(client.post("/v1/analyze", files=record_100, headers=NDJSON))
    expected = [line.to_dict() for line in half_hour]
    assert lines[1:-1] == expected[1:-1]
    assert lines[0]["recording"] == expected[0]["recording"]
    assert lines[-1]["rhythm"] == expected[-1]["rhythm"]


def test_as_json_it_is_too_large(client, record_100):
    assert_problem(client.post("/v1/analyze", files=record_100), 413, "payload_too_large")


def test_who_takes_both_gets_json_unless_lines_are_wanted_more(client, dicom_bytes):
    answers = {
        "application/json, application/x-ndjson": "application/json",
        "*/*": "application/json",
        "application/json;q=0.5, application/x-ndjson": "application/x-ndjson",
    }
    for accept, kind in answers.items():
        response = client.post("/v1/analyze", content=dicom_bytes, headers={"Accept": accept})
        assert response.headers["content-type"] == kind


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("zstd", zstd.compress),
        ("gzip, zstd", lambda data: zstd.compress(gzip.compress(data))),
    ],
)
def test_compressed_bodies(client, dicom_bytes, coding, compress):
    headers = NDJSON | {"Content-Encoding": coding}
    lines = read_lines(client.post("/v1/predict", content=compress(dicom_bytes), headers=headers))
    assert [line["type"] for line in lines] == ["recording", "window", "summary"]
    assert lines[0]["model"]["demo"] is True
    cut = client.post("/v1/predict", content=compress(dicom_bytes)[:-20], headers=headers)
    assert_problem(cut, 400, "corrupted_data")


def test_a_bomb_is_defused(client):
    bomb = gzip.compress(bytes(64 << 20))
    headers = NDJSON | {"Content-Encoding": "gzip"}
    assert_problem(
        client.post("/v1/analyze", content=bomb, headers=headers), 413, "payload_too_large"
    )


def test_what_is_refused_before_the_first_line(client, dicom_bytes, sinus_mv, as_npy):
    def ask(content, query="", **headers):
        return client.post(f"/v1/predict{query}", content=content, headers=NDJSON | headers)

    assert_problem(ask(b""), 400, "invalid_format")
    assert_problem(ask(b"hello, world"), 400, "invalid_format")
    assert_problem(ask(dicom_bytes[:9000]), 400, "corrupted_data")
    assert_problem(ask(bytes(9 << 20)), 413, "payload_too_large")
    assert_problem(ask(as_npy(sinus_mv)), 400, "missing_parameter")
    assert_problem(ask(as_npy(sinus_mv[:2]), "?fs_hz=500&leads=I,II"), 400, "invalid_signal")
    assert_problem(ask(dicom_bytes, "?window_s=7"), 400, "invalid_parameter")
    assert_problem(ask(dicom_bytes, "?window=10"), 400, "invalid_parameter")
    assert_problem(ask(dicom_bytes, "?model=other"), 404, "model_not_found")
    assert_problem(ask(dicom_bytes, **{"Content-Encoding": "br"}), 415, "unsupported_media_type")
    assert_problem(ask(dicom_bytes, **{"Content-Type": "text/html"}), 415, "unsupported_media_type")


def test_an_error_in_the_midst_is_the_last_line(pipeline, twelve_leads, as_npy):
    settings = load_settings()
    failing = Pipeline(settings, FailingModel(pipeline._model, 1))
    content = as_npy(np.tile(twelve_leads[:, ::4], (1, 12)))
    with TestClient(create_app(failing, settings)) as client:
        lines = read_lines(client.post("/v1/predict?fs_hz=250", content=content, headers=NDJSON))
    assert [line["type"] for line in lines] == ["recording", *["window"] * 16, "error"]
    assert lines[-1]["code"] == "model_unavailable"
    assert {"status", "title", "detail", "hint", "request_id"} <= lines[-1].keys()


def test_a_full_disk_is_told(client, dicom_bytes):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        response = client.post("/v1/analyze", content=dicom_bytes, headers=NDJSON)
        parts = {"file": ("a.dcm", dicom_bytes * 20)}
        in_parts = client.post("/v1/analyze", files=parts, headers=NDJSON)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for each in (response, in_parts):
        assert_problem(each, 503, "resource_exhausted")
        assert each.headers["retry-after"]


def test_a_client_that_stops_sending(client, dicom_bytes):
    # TestClient reads the whole body first, so this goes to the application itself.
    async def ask():
        sent = iter([{"type": "http.request", "body": dicom_bytes[:1000], "more_body": True}])

        async def receive():
            message = next(sent, None)
            if message is None:
                await asyncio.sleep(30)
            return message

        told = []
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/analyze",
            "raw_path": b"/v1/analyze",
            "query_string": b"",
            "headers": [(b"accept", b"application/x-ndjson")],
            "http_version": "1.1",
            "scheme": "http",
            "server": ("test", 80),
            "root_path": "",
        }

        async def send(message):
            told.append(message)

        await client.app(scope, receive, send)
        return told

    start, body, *_ = asyncio.run(ask())
    assert start["status"] == 408
    assert json.loads(body["body"])["code"] == "client_timeout"


def test_only_so_many_at_once(pipeline, record_100):
    settings = load_settings(max_long_recordings=1)
    with TestClient(create_app(pipeline, settings)) as client:

        def ask():
            return client.post("/v1/analyze", files=record_100, headers=NDJSON)

        with ThreadPoolExecutor(3) as threads:
            answers = [each.result() for each in [threads.submit(ask) for _ in range(3)]]
        assert sorted(each.status_code for each in answers) == [200, 503, 503]
        refused = next(each for each in answers if each.status_code == 503)
        assert_problem(refused, 503, "overloaded")
        # The place is given back.
        again = client.post("/v1/analyze", content=b"none", headers=NDJSON)
        assert_problem(again, 400, "invalid_format")


# A real server.

HANDLE_SCRIPT = """
import sys
from pathlib import Path
import ray
from ray import serve

ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
handle = serve.get_app_handle("ecg").options(stream=True)
for line in handle.follow.remote(Path(sys.argv[1]), missing_leads="zero"):
    print(line.type)
"""


@pytest.mark.ray
def test_lines_come_while_the_recording_is_read(server, record_100, half_hour):
    with httpx2.Client(base_url=server, timeout=60) as http:
        request = http.build_request(
            "POST", "/v1/predict?missing_leads=zero", files=record_100, headers=NDJSON
        )
        response = http.send(request, stream=True)
        arrived_s, lines = [], []
        for line in response.iter_lines():
            arrived_s.append(time.perf_counter())
            lines.append(json.loads(line))
    assert [line["type"] for line in lines] == ["recording", *["window"] * 181, "summary"]
    assert all(len(line["predictions"]) == 17 for line in lines[1:-1])
    assert lines[-1]["rhythm"] == half_hour[-1].to_dict()["rhythm"]
    # Not all at the end: the first windows come before the last half of the work is done.
    assert arrived_s[1] - arrived_s[0] < 0.6 * (arrived_s[-1] - arrived_s[0])


@pytest.mark.ray
def test_who_goes_away_leaves_his_place(server, record_100):
    """Two are taken on at once: were they not given up, the third would be refused."""
    url = "/v1/predict?missing_leads=zero&window_s=5"
    with httpx2.Client(base_url=server, timeout=60) as http:
        for _ in range(4):
            with http.stream("POST", url, files=record_100, headers=NDJSON) as response:
                assert response.status_code == 200
                assert json.loads(next(response.iter_lines()))["type"] == "recording"
            time.sleep(0.3)


@pytest.mark.ray
def test_by_a_deployment_handle(server, data_dir):
    path = (data_dir / "beats/mitdb/100.hea").resolve()
    done = subprocess.run(
        [sys.executable, "-c", HANDLE_SCRIPT, path], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split().count("window") == 181
