"""Accept on /v1/predict and /v1/analyze: arrays and documents beside JSON."""

import io

import numpy as np
import pytest

from serve_app import rendering

NPY = {"Accept": "application/x-npy"}


def test_the_array_holds_the_segments_probabilities(client, dicom_bytes):
    told = client.post("/v1/predict", content=dicom_bytes).json()
    response = client.post("/v1/predict", content=dicom_bytes, headers=NPY)
    assert response.headers["content-type"] == "application/x-npy"
    array = np.load(io.BytesIO(response.content), allow_pickle=False)
    assert (array.dtype, array.shape) == (np.float32, (2, 17))
    of_json = np.float32([segment["probabilities"] for segment in told["segments"]])
    assert (array == of_json).all()
    assert response.headers["x-model-sha256"] == told["model"]["sha256"]
    assert response.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("media_type", rendering.MEDIA_TYPES)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/analyze"])
def test_every_document_can_be_had(client, dicom_bytes, media_type, path):
    headers = {"Accept": f"{media_type}, application/json;q=0.5"}
    response = client.post(path, content=dicom_bytes, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == media_type
    assert response.content
    assert "Accept" in response.headers["vary"]
    described = client.get("/openapi.json").json()["paths"][path]["post"]
    assert media_type in described["responses"]["200"]["content"]


@pytest.mark.parametrize("accept", ["*/*", "application/*", "", "application/json, */*;q=0.1"])
def test_json_is_what_is_given_where_nothing_else_is_wished(client, dicom_bytes, accept):
    for path in ("/v1/predict", "/v1/analyze"):
        response = client.post(path, content=dicom_bytes, headers={"Accept": accept})
        assert response.headers["content-type"] == "application/json"


def test_what_cannot_be_given_is_told_with_what_can(client, dicom_bytes):
    headers = {"Accept": "image/x-photo, text/plain"}
    refused = client.post("/v1/predict", content=dicom_bytes, headers=headers).json()
    assert (refused["status"], refused["code"]) == (406, "not_acceptable")
    for media_type in ("application/json", "application/x-npy", *rendering.MEDIA_TYPES):
        assert media_type in refused["hint"]


def test_a_problem_is_a_problem_whatever_is_accepted(client):
    response = client.post("/v1/predict", content=b"", headers={"Accept": "text/csv"})
    assert response.headers["content-type"] == "application/problem+json"
