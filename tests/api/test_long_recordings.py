"""Recordings of any length, answered in lines over HTTP."""

import asyncio
import gzip
import json
import resource
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest
from backports import zstd
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.decoding import Hints
from serve_app.pipeline import Pipeline
from serve_app.settings import load_settings
from serve_app.streaming.following import follow
from serve_app.streaming.source import open_sent

pytestmark = pytest.mark.usefixtures("nothing_stays_on_disk")
NDJSON = {"Accept": "application/x-ndjson"}


def lines_of(sent, pipeline, settings, hints=None, **wanted):
    async def collect():
        with open_sent(sent, settings, hints or Hints()) as recording:
            return [line async for line in follow(recording, pipeline, **wanted)]

    return asyncio.run(collect())


@pytest.fixture(scope="module")
def half_hour(data_dir, settings, pipeline):
    """The lines of MIT-BIH 100 without a model."""
    return lines_of(data_dir / "beats/mitdb/100.hea", pipeline, settings)


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


def test_an_error_in_the_midst_is_the_last_line(failing_model, sinus_mv, as_npy):
    settings = load_settings()
    failing = Pipeline(settings, failing_model(1))
    content = as_npy(np.tile(sinus_mv[:, ::2], (1, 42)))
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
