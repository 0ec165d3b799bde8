"""Around every request: traces, HEAD and OPTIONS, oddities, deadlines, codings, other origins."""

import functools
import gzip
import json
import logging

import pytest
from backports import zstd
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.api.tracing import trace_of
from serve_app.engine.loading import load_engine
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.settings import load_settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def problem(response, status, code):
    told = response.json()
    assert (response.status_code, told["code"]) == (status, code), told
    assert response.headers["content-type"] == "application/problem+json"
    assert told["hint"]
    return told


def test_a_trace_goes_on(client):
    response = client.get("/livez", headers={"traceparent": PARENT})
    version, trace, span, flags = response.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span != "00f067aa0ba902b7"


def test_a_problem_names_the_trace(client):
    response = client.get("/v1/nothing", headers={"traceparent": PARENT})
    assert problem(response, 404, "not_found")["trace_id"] == TRACE
    started = client.get("/v1/nothing")
    assert started.json()["trace_id"] in started.headers["traceparent"]


@pytest.mark.parametrize(
    "header",
    ["", "nonsense", PARENT.upper(), PARENT + "-more", "ff" + PARENT[2:], "1" * 10_000,
     PARENT.replace(TRACE, "0" * 32), PARENT.replace("00f067aa0ba902b7", "0" * 16), PARENT[:-3]],
)  # fmt: skip
def test_a_malformed_trace_starts_another(header):
    trace = trace_of(header)
    assert trace.trace_id not in header
    assert trace.flags == 0
    assert len(trace.traceparent) == 55


def test_later_versions_of_the_header_are_read():
    assert trace_of("cc" + PARENT[2:] + "-what-comes-later").trace_id == TRACE
    assert trace_of(PARENT[:-2] + "ff").flags == 1


def test_the_log_of_a_failure_names_request_and_trace(settings, dicom_bytes, caplog):
    class Broken:
        async def info(self, model=None):
            raise RuntimeError("broken")

    app = create_app(Pipeline(settings, Broken()), settings)
    with (
        TestClient(app, raise_server_exceptions=False) as client,
        caplog.at_level(logging.ERROR, "serve_app"),
    ):
        failed = client.get("/readyz", headers={"traceparent": PARENT, "X-Request-ID": "r-1"})
    assert problem(failed, 500, "processing_failed")["trace_id"] == TRACE
    assert any("r-1" in record.getMessage() and TRACE in record.getMessage()
               for record in caplog.records)  # fmt: skip


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/models", "/docs", "/openapi.json"])
def test_head_is_get_without_the_body(client, path):
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/predict", "OPTIONS, POST"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/v1/models/demo", "GET, HEAD, OPTIONS"),
        ("/web/docs.js", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_and_other_methods_tell_what_is_allowed(client, path, allowed):
    asked = client.options(path)
    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, allowed, b"")
    for method in ("DELETE", "PATCH", "TRACE", "BREW"):
        refused = client.request(method, path)
        assert allowed in problem(refused, 405, "method_not_allowed")["hint"]
        assert refused.headers["allow"] == allowed
    assert client.options("/nothing").status_code == 404


def test_head_of_what_takes_none(client):
    refused = client.head("/v1/predict")
    assert (refused.status_code, refused.content) == (405, b"")


def test_a_slash_at_the_end_is_told_not_redirected(client, dicom_bytes):
    response = client.post("/v1/predict/", content=dicom_bytes, follow_redirects=False)
    assert "slash" in problem(response, 404, "not_found")["hint"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/livez?" + "x" * 9000, {}, 414, "address_too_long"),
        ("/" + "x" * 9000, {}, 414, "address_too_long"),
        ("/livez", {"X-Large": "x" * 40_000}, 431, "headers_too_large"),
        ("/livez", [(f"X-{i}", "y" * 100) for i in range(400)], 431, "headers_too_large"),
        ("/livez", {"Host": "a b"}, 400, "bad_request"),
        ("/livez", {"Host": "evil.example/path"}, 400, "bad_request"),
        ("/livez", {"Host": ""}, 400, "bad_request"),
    ],
)
def test_requests_that_are_too_much_or_odd(client, path, headers, status, code):
    problem(client.get(path, headers=headers), status, code)


@pytest.mark.parametrize("host", ["ecg.example", "10.0.0.1:8000", "[::1]:80", "a_b-c.example:80"])
def test_hosts_as_they_are(client, host):
    assert client.get("/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/models/%00", "/v1/models/%ff%fe", "/%2e%2e/etc/passwd"),
        *("/web/..%2f..%2ferrors.py", "/web/vendor", "//livez"),
    ],
)
def test_odd_paths_lead_nowhere(client, path):
    assert client.get(path).status_code == 404


class Slow(InProcessModel):
    async def ask(self, segments, model=None):
        import asyncio

        await asyncio.sleep(5)
        raise AssertionError("too late")


def test_the_sender_may_wait_less_than_settings_allow(settings, dicom_bytes, client):
    app = create_app(Pipeline(settings, Slow(lambda: None)), settings)
    with TestClient(app) as slow:
        headers = {"X-Request-Timeout-Seconds": "0.3"}
        late = slow.post("/v1/predict", content=dicom_bytes, headers=headers)
        assert "within 0.2" in problem(late, 504, "inference_timeout")["detail"]
    patient = {"X-Request-Timeout-Seconds": "100000"}
    assert client.post("/v1/predict", content=dicom_bytes, headers=patient).status_code == 200


def test_a_batch_s_time_is_for_the_whole(settings, dicom_bytes):
    app = create_app(Pipeline(settings, Slow(functools.partial(load_engine, settings))), settings)
    files = [("file", (f"{i}.dcm", dicom_bytes)) for i in range(9)]
    with TestClient(app) as slow:
        headers = {"X-Request-Timeout-Seconds": "1"}
        answer = slow.post("/v1/predict:batch", files=files, headers=headers)
    told = [json.loads(line)["error"] for line in answer.text.splitlines()]
    assert [error["code"] for error in told] == ["inference_timeout"] * 9
    assert "whole batch" in told[-1]["detail"]
    assert answer.elapsed.total_seconds() < 3


def test_no_time_left_is_told(client, dicom_bytes):
    headers = {"X-Request-Timeout-Seconds": "0.000001"}
    late = client.post("/v1/predict", content=dicom_bytes, headers=headers)
    assert "before the work began" in problem(late, 504, "inference_timeout")["detail"]


def test_settings_bound_what_the_sender_may_wish(dicom_bytes):
    settings = load_settings(request_timeout_s=0.2)
    app = create_app(Pipeline(settings, Slow(lambda: None)), settings)
    with TestClient(app) as slow:
        headers = {"X-Request-Timeout-Seconds": "50"}
        late = slow.post("/v1/predict", content=dicom_bytes, headers=headers)
    assert "0.2 s" in problem(late, 504, "inference_timeout")["detail"]


@pytest.mark.parametrize("wish", ["0", "-1", "soon", "nan", "1e3", ""])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict:batch"])
def test_deadlines_that_are_none(client, dicom_bytes, wish, path):
    headers = {"X-Request-Timeout-Seconds": wish}
    refused = client.post(path, files={"file": ("a.dcm", dicom_bytes)}, headers=headers)
    problem(refused, 400, "invalid_parameter")


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"),
        ("zstd, gzip", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("*", "zstd"),
        ("zstd;q=0, *", "gzip"),
        ("br", None),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("", None),
    ],
)
def test_answers_are_coded_as_accepted(client, dicom_bytes, accept, coding):
    headers = {"Accept-Encoding": accept}
    with client.stream("POST", "/v1/analyze", content=dicom_bytes, headers=headers) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers.get("content-encoding") == coding
    assert int(response.headers["content-length"]) == len(raw)
    assert response.headers["vary"] == "Accept, Accept-Encoding"
    plain = {"gzip": gzip.decompress, "zstd": zstd.decompress, None: bytes}[coding](raw)
    assert json.loads(plain)["analysis"]


def test_small_answers_arrays_and_lines_are_not_coded(client, dicom_bytes):
    both = {"Accept-Encoding": "gzip, zstd"}
    assert "content-encoding" not in client.get("/livez", headers=both).headers
    array = client.post("/v1/embed", content=dicom_bytes,
                        headers=both | {"Accept": "application/x-npy"})  # fmt: skip
    assert "content-encoding" not in array.headers
    files = [("file", (f"{i}.dcm", dicom_bytes)) for i in range(2)]
    lines = client.post("/v1/predict:batch", files=files, headers=both)
    assert lines.status_code == 200
    assert "content-encoding" not in lines.headers


def test_large_answers_are_coded_too(client, dicom_bytes):
    ask = {"Accept-Encoding": "gzip"}
    large = client.post(
        "/v1/explain?method=gradient&resolution_ms=4", content=dicom_bytes, headers=ask
    )
    assert large.headers["content-encoding"] == "gzip"
    assert len(large.content) > 1 << 17
    assert large.json()["segments"]


@pytest.fixture(scope="module")
def named(pipeline):
    origins = ["https://viewer.example", "https://second.example"]
    app = create_app(pipeline, load_settings(cors_origins=origins))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_pages_of_named_origins_may_ask(named):
    wanted = ["content-type", "content-encoding", "if-none-match", "idempotency-key",
              "x-request-id", "x-request-timeout-seconds", "traceparent", "tracestate"]  # fmt: skip
    for origin in ("https://viewer.example", "https://second.example"):
        asked = named.options(
            "/v1/predict:batch",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": ", ".join(wanted),
            },
        )
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == origin
        allowed = asked.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in wanted)
        assert "Origin" in asked.headers["vary"]


def test_pages_of_named_origins_may_read_answers_and_problems(named, dicom_bytes):
    origin = {"Origin": "https://viewer.example"}
    for response in (
        named.post("/v1/analyze", content=dicom_bytes, headers=origin),
        named.post("/v1/analyze", content=b"", headers=origin),
        named.get("/livez?" + "x" * 9000, headers=origin),
    ):
        assert response.headers["access-control-allow-origin"] == "https://viewer.example"
        exposed = response.headers["access-control-expose-headers"].lower()
        for name in ("etag", "retry-after", "x-request-id", "traceparent", "x-model-sha256",
                     "idempotency-replayed", "x-explain-label"):  # fmt: skip
            assert name in exposed


@pytest.mark.parametrize(("origin", "method", "header"), [
    ("https://other.example", "POST", "content-type"),
    ("https://viewer.example", "DELETE", "content-type"),
    ("https://viewer.example", "POST", "x-strange"),
])  # fmt: skip
def test_others_and_other_wishes_are_refused(named, origin, method, header):
    asked = named.options("/v1/predict", headers={
        "Origin": origin, "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": header,
    })  # fmt: skip
    assert asked.status_code == 400
    read = named.get("/livez", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in read.headers


def test_without_named_origins_no_page_may_ask(client):
    read = client.get("/livez", headers={"Origin": "https://viewer.example"})
    assert "access-control-allow-origin" not in read.headers
