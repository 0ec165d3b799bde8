"""/v1/predict and /v1/analyze in this process: bodies, codings, options."""

import gzip
import io
import zipfile
import zlib

import numpy as np
import pytest
from backports import zstd
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.recording import STANDARD_LEADS
from serve_app.results import Result


@pytest.fixture(scope="module")
def client(pipeline, settings):
    with TestClient(create_app(pipeline, settings), raise_server_exceptions=False) as client:
        yield client


def test_a_dicom_file_recognised_by_content(client, dicom_bytes):
    response = client.post("/v1/predict", content=dicom_bytes)
    assert response.status_code == 200
    result = Result.model_validate_json(response.content)
    assert result.recording.format == "dicom"
    assert len(result.predictions) == 17
    assert response.headers["cache-control"] == "private, no-store"
    assert result.request_id == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("zstd", zstd.compress),
        ("gzip, zstd", lambda body: zstd.compress(gzip.compress(body))),
        ("identity", bytes),
    ],
)
def test_content_codings(client, dicom_bytes, coding, compress):
    headers = {"Content-Encoding": coding}
    response = client.post("/v1/predict", content=compress(dicom_bytes), headers=headers)
    assert response.status_code == 200, response.text


def test_json_and_npy_of_one_signal_answer_alike(client, sinus_mv, as_npy):
    rounded = sinus_mv.round(4)
    leads = {name: row.tolist() for name, row in zip(STANDARD_LEADS, rounded, strict=True)}
    of_json = client.post("/v1/predict", json={"fs_hz": 500, "units": "mV", "leads": leads})
    of_npy = client.post(
        "/v1/predict?fs_hz=500&units=mV",
        content=as_npy(rounded.astype(np.float32)),
        headers={"Content-Type": "application/x-npy"},
    )
    assert of_json.status_code == of_npy.status_code == 200
    pairs = zip(of_json.json()["predictions"], of_npy.json()["predictions"], strict=True)
    for one, other in pairs:
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_a_wfdb_record_as_multipart_and_as_zip(client, data_dir):
    record = data_dir / "twelve_lead" / "ptbxl" / "records500" / "00000"
    files = {name: (record / name).read_bytes() for name in ("00014_hr.hea", "00014_hr.dat")}
    multipart = client.post(
        "/v1/predict", files=[("file", (name, content)) for name, content in files.items()]
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    of_zip = client.post("/v1/predict", content=archive.getvalue())
    assert multipart.status_code == of_zip.status_code == 200
    assert multipart.json()["recording"]["format"] == "wfdb"
    assert multipart.json()["predictions"] == of_zip.json()["predictions"]


def test_two_leads_are_analysed_and_predicted_only_with_zeros(client, data_dir):
    record = data_dir / "beats" / "mitdb"
    files = [("file", (name, (record / name).read_bytes())) for name in ("100.hea", "100.dat")]
    analyzed = client.post("/v1/analyze", files=files)
    assert analyzed.status_code == 200
    assert analyzed.json()["analysis"]["heart_rate_bpm"] == pytest.approx(76, abs=2)
    assert analyzed.json()["model"] is None
    refused = client.post("/v1/predict", files=files)
    assert refused.status_code == 400
    assert refused.json()["analysis_possible"] is True


def test_options_of_the_query(client, dicom_bytes):
    response = client.post("/v1/predict?analysis=false&embedding=true", content=dicom_bytes)
    assert response.json()["analysis"] is None
    assert len(response.json()["embedding"]) > 16


def test_missing_leads_as_zeros_are_named(client, sinus_mv, as_npy):
    query = {"fs_hz": 500, "leads": "I,II", "missing_leads": "zero"}
    response = client.post("/v1/predict", params=query, content=as_npy(sinus_mv[:2]))
    assert response.status_code == 200, response.text
    assert response.json()["recording"]["zero_filled_leads"] == list(STANDARD_LEADS[2:])


def test_curl_s_default_type_claims_nothing(client, dicom_bytes):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/v1/predict", content=dicom_bytes, headers=headers).status_code == 200


def test_models_health_and_metrics(client):
    card = client.get("/v1/models").json()["models"][0]
    assert card["demo"] is True
    assert card["labels"][0] == "Poor data quality"
    assert client.get(f"/v1/models/{card['name']}").json() == card
    assert client.get("/livez").json() == {"status": "live"}
    assert client.get("/readyz").json()["revision"] == card["revision"]
    text = client.get("/metrics").text
    assert 'ecg_http_requests_total{route="/v1/predict",status="200"}' in text


def test_a_given_request_id_comes_back(client):
    response = client.get("/livez", headers={"X-Request-ID": "cart-7.2026:1"})
    assert response.headers["x-request-id"] == "cart-7.2026:1"
    strange = client.get("/livez", headers={"X-Request-ID": "a b" * 100})
    assert strange.headers["x-request-id"].isalnum()
