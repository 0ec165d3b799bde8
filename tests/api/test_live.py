"""What only a real server can show: lines that come one by one, and headers that it adds."""

import http.client
import json
import socket
import time
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pytest

pytestmark = pytest.mark.ray


@pytest.fixture
def live(server):
    with httpx2.Client(base_url=server, timeout=60) as client:
        yield client


def test_a_batch_comes_line_by_line(live, zipped, dicom_bytes):
    files = {f"{i:03}.dcm": dicom_bytes for i in range(40)} | {"bad.dcm": dicom_bytes[:5000]}
    came_s = []
    with live.stream("POST", "/v1/predict:batch?analysis=false", content=zipped(files)) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        told = []
        for line in answer.iter_lines():
            came_s.append(time.perf_counter())
            told.append(json.loads(line))
    assert [line["index"] for line in told] == list(range(41))
    assert [line["name"] for line in told if "error" in line] == ["bad.dcm"]
    # The first line was here long before the last one was worked out.
    assert came_s[20] - came_s[0] > 0.2 * (came_s[-1] - came_s[0]) > 0


def test_who_leaves_a_batch_gives_its_place_back(server, live, zipped, dicom_bytes):
    address = urlsplit(server)
    body = zipped({f"{i:03}.dcm": dicom_bytes for i in range(400)})
    asked = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    asked.request("POST", "/v1/predict:batch", body)
    answer = asked.getresponse()
    assert answer.readline().startswith(b'{"index": 0')
    before = recordings(live)
    asked.sock.shutdown(socket.SHUT_RDWR)
    answer.close()
    asked.close()
    for _ in range(50):
        time.sleep(0.2)
        after = recordings(live)
        if after == before:
            break
        before = after
    assert after == before
    assert after < 400


def recordings(live):
    lines = live.get("/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith('ecg_recordings_total{format="dicom"}')]
    return float(counted[0].split()[-1])


def test_headers_come_once(live, dicom_bytes):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = {"traceparent": trace, "X-Request-ID": "live-1", "Idempotency-Key": "live"}
    for replayed in (None, "true"):
        answer = live.post("/v1/predict", content=dicom_bytes, headers=sent)
        assert answer.headers.get("idempotency-replayed") == replayed
        assert len(answer.headers.get_list("x-request-id")) == 1
        (parent,) = answer.headers.get_list("traceparent")
        assert parent.split("-")[1] == trace.split("-")[1]
    known = live.post(
        "/v1/predict", content=dicom_bytes, headers={"If-None-Match": answer.headers["etag"]}
    )
    assert known.status_code == 304


def test_codings_heads_and_documents_pass_the_proxy(live, dicom_bytes):
    coded = live.post("/v1/predict", content=dicom_bytes, headers={"Accept-Encoding": "gzip"})
    assert coded.headers["content-encoding"] == "gzip"
    assert coded.json()["predictions"]
    assert live.head("/livez").content == b""
    assert live.options("/v1/predict").headers["allow"] == "OPTIONS, POST"
    assert live.get("/docs").status_code == 200


def test_our_problem_comes_before_the_proxy_s_own_text(live, sinus_mv, as_npy):
    long = as_npy(np.tile(sinus_mv, 6))
    late = live.post(
        "/v1/explain?fs_hz=500&units=mV&method=integrated_gradients&steps=64",
        content=long,
        headers={"X-Request-Timeout-Seconds": "1"},
    )
    assert (late.status_code, late.json()["code"]) == (504, "inference_timeout")
