"""/v1/embed in this process: the features as JSON and as an array."""

import dataclasses
import functools
import gzip
import io

import numpy as np
import pytest
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.api.declarations import MODEL_HEADERS
from serve_app.engine.loading import load_engine
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.recording import STANDARD_LEADS
from serve_app.results import Embedding

NPY = {"Accept": "application/x-npy"}


@pytest.fixture(scope="module")
def client(pipeline, settings):
    with TestClient(create_app(pipeline, settings), raise_server_exceptions=False) as client:
        yield client


def array(response):
    assert response.headers["content-type"] == "application/x-npy", response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def test_the_features_of_a_recording(client, dicom_bytes):
    response = client.post("/v1/embed", content=dicom_bytes)
    assert response.status_code == 200, response.text
    told = response.json()
    predicted = client.post("/v1/predict?embedding=true", content=dicom_bytes).json()
    assert told["embedding"] == predicted["embedding"]
    assert told["model"] == predicted["model"]
    assert told["recording"] == predicted["recording"]
    assert told["request_id"] == response.headers["x-request-id"]
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["vary"] == "Accept, Accept-Encoding"
    assert Embedding.model_validate_json(response.content).to_dict() == told


def test_the_array_holds_the_segments(client, dicom_bytes):
    as_json = client.post("/v1/embed", content=dicom_bytes).json()
    response = client.post("/v1/embed", content=dicom_bytes, headers=NPY)
    segments = array(response)
    assert segments.dtype == np.float32
    assert segments.tolist() == as_json["segments"]
    assert segments.mean(axis=0).tolist() == as_json["embedding"]
    assert response.headers["x-request-id"]
    assert response.headers["x-model-name"] == as_json["model"]["name"]
    assert response.headers["x-model-revision"] == as_json["model"]["revision"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "json"),
        ("", "json"),
        ("application/*", "json"),
        ("application/x-npy, application/json", "json"),
        ("application/json;q=0.5, application/x-npy", "x-npy"),
        ("application/json, application/x-npy;q=0.9", "json"),
        ("application/x-npy, */*", "x-npy"),
        ("text/html, application/x-npy;q=0.1", "x-npy"),
        ("application/json;q=0, */*", "x-npy"),
        ("APPLICATION/X-NPY ; Q=1.0", "x-npy"),
        ("application/json; charset=utf-8", "json"),
    ],
)
def test_accept_chooses(client, dicom_bytes, accept, kind):
    response = client.post("/v1/embed", content=dicom_bytes, headers={"Accept": accept})
    assert response.headers["content-type"] == f"application/{kind}"


@pytest.mark.parametrize("accept", ["text/csv", "*/*;q=0", "application/json;q=0", "nonsense"])
def test_accept_that_nothing_fits(client, dicom_bytes, accept):
    problem = client.post("/v1/embed", content=dicom_bytes, headers={"Accept": accept}).json()
    assert (problem["status"], problem["code"]) == (406, "not_acceptable")
    assert "application/x-npy" in problem["hint"]


def test_accept_on_several_lines(client, dicom_bytes):
    lines = [("Accept", "text/html"), ("Accept", "application/x-npy")]
    assert array(client.post("/v1/embed", content=dicom_bytes, headers=lines)).ndim == 2


def test_other_paths_heed_a_quality_of_nought(client, dicom_bytes):
    headers = {"Accept": "application/json;q=0, text/html"}
    assert client.post("/v1/predict", content=dicom_bytes, headers=headers).status_code == 406
    assert client.post("/v1/analyze", content=dicom_bytes, headers=NPY).status_code == 406


def test_bodies_and_queries_are_those_of_predict(client, sinus_mv, as_npy, dicom_bytes):
    query = {"fs_hz": 500, "units": "mV", "leads": "I,II", "missing_leads": "zero"}
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/x-npy"}
    sent = {"content": gzip.compress(as_npy(sinus_mv[:2])), "headers": packed}
    told = client.post("/v1/embed", params=query, **sent).json()
    assert told["recording"]["zero_filled_leads"] == list(STANDARD_LEADS[2:])
    assert len(told["segments"]) == 2
    files = client.post("/v1/embed", files={"file": ("a.dcm", dicom_bytes)})
    assert files.json()["recording"]["format"] == "dicom"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("model=other", 404, "model_not_found"),
        ("precision=int3", 400, "invalid_parameter"),
        ("fs_hz=-1", 400, "invalid_parameter"),
        ("analysis=true", 400, "invalid_parameter"),
        ("embedding=true", 400, "invalid_parameter"),
    ],
)
def test_problems_stay_problems_whatever_is_accepted(client, dicom_bytes, query, status, code):
    response = client.post(f"/v1/embed?{query}", content=dicom_bytes, headers=NPY)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"


def test_bad_bodies_get_the_problems_of_predict(client, dicom_bytes, sinus_mv, as_npy):
    for body in (b"", b"hello, world", dicom_bytes[:9000], as_npy(sinus_mv)):
        embedded, predicted = (
            client.post(path, content=body).json() for path in ("/v1/embed", "/v1/predict")
        )
        assert embedded["status"] == 400
        no_ids = {"request_id": "", "trace_id": ""}
        assert embedded | no_ids == predicted | no_ids
    unread = client.post("/v1/embed", content=dicom_bytes, headers={"Content-Type": "image/png"})
    assert unread.json()["code"] == "unsupported_media_type"


def test_a_model_s_name_of_any_letters_fits_a_header(settings, dicom_bytes):
    class Renamed(InProcessModel):
        async def ask(self, segments, model=None):
            answer = await super().ask(segments, model)
            named = dataclasses.replace(answer.model, name="hf:münchen/ecg\r\nX-Evil: 1")
            return dataclasses.replace(answer, model=named)

    model = Renamed(functools.partial(load_engine, settings))
    with TestClient(create_app(Pipeline(settings, model), settings)) as client:
        response = client.post("/v1/embed", content=dicom_bytes, headers=NPY)
    assert response.headers["x-model-name"] == "hf:m%C3%BCnchen/ecg%0D%0AX-Evil:%201"
    assert "x-evil" not in response.headers


def test_the_description_names_both_forms(client):
    described = client.get("/openapi.json").json()["paths"]["/v1/embed"]["post"]
    answer = described["responses"]["200"]
    assert answer["content"].keys() == {"application/json", "application/x-npy"}
    assert answer["headers"].keys() == {"ETag", *MODEL_HEADERS}
    assert "406" in described["responses"]


def test_embeddings_are_counted(client, dicom_bytes):
    client.post("/v1/embed", content=dicom_bytes, headers=NPY)
    text = client.get("/metrics").text
    assert 'ecg_http_requests_total{route="/v1/embed",status="200"}' in text
