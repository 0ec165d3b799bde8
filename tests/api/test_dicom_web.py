"""STOW-RS: by dicomweb-client against a live server, and by hand against the rules."""

import io
import json

import pydicom
import pytest
import requests
from dicomweb_client import DICOMwebClient
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.errors import ModelUnavailable
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.results import Result
from tests.live_app import live

REFERENCED, FAILED = "00081199", "00081198"
RESULT, PROBLEM = "00991001", "00991002"
PATH = "/v1/dicom-web/studies"


@pytest.fixture(scope="module")
def app(pipeline, settings):
    return create_app(pipeline, settings)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def url(app):
    with live(app) as url:
        yield f"{url}/v1/dicom-web"


@pytest.fixture
def dataset(dicom_bytes):
    return pydicom.dcmread(io.BytesIO(dicom_bytes))


def stow(client, *objects, path=PATH, **headers):
    boundary = b"0f3cf5c0-70e0-41ef"
    head = b"\r\n--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(head + content for content in objects) + b"\r\n--" + boundary + b"--"
    kind = f'multipart/related; type="application/dicom"; boundary="{boundary.decode()}"'
    return client.post(path, content=body, headers={"Content-Type": kind, **headers})


def result_of(item):
    return Result.model_validate_json(item[RESULT]["Value"][0])


def reason_of(item):
    return item["00081197"]["Value"][0], json.loads(item[PROBLEM]["Value"][0])


def test_dicomweb_client_stores_and_reads_the_result(url, dataset):
    answer = DICOMwebClient(url).store_instances([dataset])
    (item,) = answer.ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == dataset.SOPInstanceUID
    assert "FailedSOPSequence" not in answer
    block = item.private_block(0x0099, "ECG-FM SERVE")
    result = Result.model_validate_json(block[0x01].value)
    assert max(result.predictions, key=lambda each: each.probability).label == "Sinus rhythm"


def test_dicomweb_client_stores_in_chunks_into_a_study(url, dataset):
    second = pydicom.dcmread(io.BytesIO(_bytes(dataset)))
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    client = DICOMwebClient(url, chunk_size=10_000)
    answer = client.store_instances([dataset, second], dataset.StudyInstanceUID)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [
        dataset.SOPInstanceUID,
        "1.2.3.4",
    ]


def test_dicomweb_client_learns_of_another_study(url, dataset):
    client = DICOMwebClient(url)
    with pytest.raises(requests.HTTPError) as caught:
        client.store_instances([dataset], "1.2.3")
    assert caught.value.response.status_code == 409
    (item,) = caught.value.response.json()[FAILED]["Value"]
    reason, problem = reason_of(item)
    assert (reason, problem["code"]) == (0xA900, "other_study")


def _bytes(dataset):
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_one_bad_object_harms_no_other(client, dicom_bytes, data_dir, dataset):
    holter = (data_dir / "derived/dicom/ambulatory_ecg_mitdb208.dcm").read_bytes()
    picture = pydicom.dcmread(io.BytesIO(dicom_bytes))
    del picture.WaveformSequence
    picture.SOPClassUID = picture.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    response = stow(client, dicom_bytes, b"no DICOM", _bytes(picture), dicom_bytes[:9000], holter)
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/dicom+json"
    assert response.headers["cache-control"] == "private, no-store"
    told = response.json()
    predicted, analysed = map(result_of, told[REFERENCED]["Value"])
    assert predicted.predictions
    assert analysed.model is None
    reasons = [reason_of(item)[0] for item in told[FAILED]["Value"]]
    assert reasons == [0xC000, 0x0122, 0xC000]
    assert list(told) == ["00081190", FAILED, REFERENCED]


def test_the_answer_names_no_patient(client, dicom_bytes):
    text = stow(client, dicom_bytes).text
    for secret in ("642341", "19710123", "03028041970546"):
        assert secret not in text


def test_a_single_object_needs_no_parts(client, dicom_bytes):
    response = client.post(PATH, content=dicom_bytes, headers={"Content-Type": "application/dicom"})
    assert response.status_code == 200
    assert len(response.json()[REFERENCED]["Value"]) == 1


def test_a_content_coding_is_undone(client, dicom_bytes):
    import gzip

    response = client.post(
        PATH,
        content=gzip.compress(dicom_bytes),
        headers={"Content-Type": "application/dicom", "Content-Encoding": "gzip"},
    )
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"x", "multipart/related; type=application/dicom", 400),
        (b"x", "multipart/related; type=application/dicom; boundary=b", 400),
        (b"", "multipart/related; type=application/dicom; boundary=b", 400),
        (b"--b--", "multipart/related; type=application/dicom; boundary=b", 400),
        (b"--b\r\n\r\ncut", "multipart/related; type=application/dicom; boundary=b", 400),
        (b"--b\r\n" + b"h" * 99_999, "multipart/related; boundary=b", 400),
        (b"x", "multipart/related; boundary=" + "b" * 5000, 400),
        (b"--b\r\n\r\nx\r\n" * 101 + b"--b--", "multipart/related; boundary=b", 413),
        (b"x", 'multipart/related; type="application/dicom+json"; boundary=b', 415),
        (b"x", "image/png", 415),
        (b"x", "application/octet-stream", 409),
        (b"", "application/dicom", 400),
    ],
)
def test_malformed_requests(client, body, content_type, status):
    response = client.post(PATH, content=body, headers={"Content-Type": content_type})
    assert response.status_code == status, response.text


def test_form_fields_are_no_objects(client, dicom_bytes):
    response = client.post(PATH, files=[("file", dicom_bytes), ("file", dicom_bytes)])
    assert response.status_code == 400


@pytest.mark.parametrize("study", ["x", "1.2.3%00", "..%2f..", "9" * 65])
def test_a_study_is_a_uid(client, dicom_bytes, study):
    assert stow(client, dicom_bytes, path=f"{PATH}/{study}").status_code in {400, 404}


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/dicom+json", 200), ("application/json", 200), ("application/dicom+xml", 406)],
)
def test_accept(client, dicom_bytes, accept, status):
    response = stow(client, dicom_bytes, Accept=accept)
    assert response.status_code == status
    if status == 200:
        assert response.headers["content-type"] == accept


def test_without_a_model_the_client_is_told_to_come_back(settings, dicom_bytes):
    def unavailable():
        raise ModelUnavailable("No model.")

    app = create_app(Pipeline(settings, InProcessModel(unavailable)), settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = stow(client, dicom_bytes, b"no DICOM")
    assert response.status_code == 503
    assert response.headers["retry-after"]


def test_the_description_tells_the_paths(client):
    paths = client.get("/openapi.json").json()["paths"]
    for path in (PATH, f"{PATH}/{{study}}"):
        assert set(paths[path]["post"]["responses"]) >= {"200", "202", "409"}
