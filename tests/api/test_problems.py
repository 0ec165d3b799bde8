"""Bad input: each gets its problem with code and hint, nothing leaks and nothing stays on disk."""

import asyncio
import gzip
import io
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.errors import ModelUnavailable
from serve_app.pipeline import Pipeline
from serve_app.settings import load_settings


@pytest.fixture(scope="module")
def client(pipeline):
    settings = load_settings(max_body_mb=1, max_unpacked_mb=2)
    with TestClient(create_app(pipeline, settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_stays_on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


def zipped(**files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return archive.getvalue()


def assert_problem(response, status, code):
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert {"type", "title", "detail", "hint", "request_id", "error"} <= problem.keys()
    assert problem["hint"]
    assert "/tmp" not in response.text
    assert "Traceback" not in response.text
    return problem


LEADS = "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
TRAVERSAL = b"rec 1 500 1000\n../../etc/passwd 16 200 16 0 0 0 0 I\n"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_format"),
        (b"hello, world", "invalid_format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "invalid_format"),
        (zipped(a="x" * 1000)[:60], "corrupted_data"),
        (zipped(**{"../../evil.hea": TRAVERSAL}), "invalid_format"),
        (zipped(**{"rec.hea": TRAVERSAL, "rec.dat": bytes(2000)}), "invalid_format"),
        (zipped(**{"rec.hea": "rec 1 500 1000\nrec.dat 16 200 16 0 0 0 0 I\n"}), "corrupted_data"),
        (b'{"fs_hz": 500, "leads": {"I": [1, 2', "invalid_format"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/analyze"])
def test_bodies_that_cannot_be_decoded(client, path, body, code):
    assert_problem(client.post(path, content=body), 400, code)


def test_a_truncated_recording(client, dicom_bytes):
    assert_problem(client.post("/v1/predict", content=dicom_bytes[:9000]), 400, "corrupted_data")


@pytest.mark.parametrize("kind", ["text/html", "image/png", "nonsense"])
def test_a_content_type_that_is_not_read(client, dicom_bytes, kind):
    response = client.post("/v1/predict", content=dicom_bytes, headers={"Content-Type": kind})
    problem = assert_problem(response, 415, "unsupported_media_type")
    assert "application/dicom" in problem["hint"]


def test_a_content_type_of_another_format(client, dicom_bytes):
    headers = {"Content-Type": "application/json"}
    response = client.post("/v1/predict", content=dicom_bytes, headers=headers)
    assert_problem(response, 400, "invalid_format")


def test_one_lead_of_twelve(client, sinus_mv, as_npy):
    query = {"fs_hz": 500, "leads": "II"}
    response = client.post("/v1/predict", params=query, content=as_npy(sinus_mv[1:2]))
    problem = assert_problem(response, 400, "invalid_signal")
    assert "V6" in problem["missing_leads"]
    assert "II" not in problem["missing_leads"]
    assert problem["analysis_possible"] is True
    assert client.post("/v1/analyze", params=query, content=as_npy(sinus_mv[1:2])).is_success


def test_three_seconds_instead_of_five(client, sinus_mv, as_npy):
    body = as_npy(sinus_mv[:, :1500])
    response = client.post("/v1/predict?fs_hz=500", content=body)
    problem = assert_problem(response, 400, "invalid_signal")
    assert problem["duration_s"] == 3
    assert client.post("/v1/analyze?fs_hz=500", content=body).is_success


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/analyze"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite(client, sinus_mv, as_npy, path, bad):
    broken = sinus_mv.copy()
    broken[3, 100] = bad
    response = client.post(f"{path}?fs_hz=500", content=as_npy(broken))
    assert assert_problem(response, 400, "invalid_signal")["leads"] == ["aVR"]


def test_a_flat_line(client, as_npy):
    response = client.post("/v1/predict?fs_hz=500", content=as_npy(np.zeros((12, 2500), "f4")))
    assert "flat" in assert_problem(response, 400, "invalid_signal")["detail"]


def test_no_sampling_rate(client, sinus_mv, as_npy):
    response = client.post("/v1/predict", content=as_npy(sinus_mv))
    assert "fs_hz" in assert_problem(response, 400, "missing_parameter")["detail"]


def test_a_body_over_the_limit_as_declared_and_as_streamed(client):
    body = bytes((1 << 20) + 1)
    assert_problem(client.post("/v1/predict", content=body), 413, "payload_too_large")
    chunks = (body[:1000] for _ in range(1100))
    assert_problem(client.post("/v1/predict", content=chunks), 413, "payload_too_large")


def test_what_decompresses_to_more_than_the_limit(client):
    bomb = gzip.compress(bytes(500 << 20), 1)[: 1 << 20]
    response = client.post("/v1/predict", content=bomb, headers={"Content-Encoding": "gzip"})
    assert_problem(response, 413, "payload_too_large")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_compressed_data_that_is_none_or_cut_short(client, dicom_bytes, coding):
    headers = {"Content-Encoding": coding}
    response = client.post("/v1/predict", content=b"plain bytes", headers=headers)
    assert_problem(response, 400, "corrupted_data")
    cut = gzip.compress(dicom_bytes)[:-5000]
    if coding == "gzip":
        response = client.post("/v1/predict", content=cut, headers=headers)
        assert_problem(response, 400, "corrupted_data")


def test_a_coding_that_is_not_read(client):
    response = client.post("/v1/predict", content=b"x", headers={"Content-Encoding": "br"})
    assert_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "query",
    ["fs_hz=-1", "fs_hz=fast", "fs_hz=nan", "units=V", "missing_leads=guess", "embeding=true"],
)
def test_query_parameters_that_are_wrong_or_unknown(client, dicom_bytes, query):
    response = client.post(f"/v1/predict?{query}", content=dicom_bytes)
    problem = assert_problem(response, 400, "invalid_parameter")
    assert problem["errors"][0]["field"] == query.split("=")[0]


def test_json_that_breaks_its_schema(client):
    response = client.post("/v1/predict", json={"fs_hz": "fast", "leads": {"I": ["a"]}})
    assert assert_problem(response, 422, "schema_violation")["errors"]


def test_multipart_without_files(client):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = client.post("/v1/predict", content=b"no parts here", headers=headers)
    assert_problem(response, 400, "invalid_format")
    field = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
    response = client.post("/v1/predict", content=field, headers=headers)
    assert_problem(response, 400, "invalid_format")


def test_paths_and_methods_that_are_not(client):
    assert_problem(client.get("/v1/nothing"), 404, "not_found")
    assert_problem(client.get("/v1/models/other"), 404, "model_not_found")
    refused = client.get("/v1/predict")
    assert_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "OPTIONS, POST"


def test_another_model_or_media_type(client, dicom_bytes):
    response = client.post("/v1/predict?model=other", content=dicom_bytes)
    assert_problem(response, 404, "model_not_found")
    headers = {"Accept": "image/gif"}
    response = client.post("/v1/predict", content=dicom_bytes, headers=headers)
    assert_problem(response, 406, "not_acceptable")


class LostModel:
    async def info(self):
        raise ModelUnavailable("The model does not answer.")

    async def ask(self, segments):
        raise RuntimeError("secret of /tmp/patient")


def test_a_lost_model_is_told_and_analysis_goes_on(settings, dicom_bytes):
    app = create_app(Pipeline(settings, LostModel()), settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        lost = client.get("/readyz")
        assert_problem(lost, 503, "model_unavailable")
        assert int(lost.headers["retry-after"]) > 0
        assert client.get("/livez").is_success
        assert client.post("/v1/analyze", content=dicom_bytes).is_success
        unforeseen = client.post("/v1/predict", content=dicom_bytes)
        assert "secret" not in unforeseen.text
        assert_problem(unforeseen, 500, "processing_failed")


class HeldModel:
    def __init__(self):
        self.go_on = threading.Event()

    async def info(self):
        raise ModelUnavailable("Not now.")

    async def ask(self, segments):
        await asyncio.to_thread(self.go_on.wait, 10)
        raise ModelUnavailable("Not now.")


def test_overload_is_told_with_retry_after_and_probes_go_on(dicom_bytes):
    settings, model = load_settings(max_ongoing_requests=2), HeldModel()
    app = create_app(Pipeline(settings, model), settings)
    with (
        TestClient(app, raise_server_exceptions=False) as client,
        ThreadPoolExecutor(2) as others,
    ):
        held = [others.submit(client.post, "/v1/predict", content=dicom_bytes) for _ in range(2)]
        time.sleep(0.5)
        refused = client.post("/v1/analyze", content=dicom_bytes)
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert client.get("/livez").is_success
        model.go_on.set()
        assert [each.result().json()["code"] for each in held] == ["model_unavailable"] * 2
        assert client.post("/v1/analyze", content=dicom_bytes).is_success


def test_the_server_lives_on(client, dicom_bytes):
    small = client.post("/v1/predict", content=dicom_bytes)
    assert small.is_success
