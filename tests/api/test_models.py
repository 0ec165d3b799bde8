"""?model=NAME[@REVISION] over HTTP, and what is answered while a model is not there."""

import shutil
import threading
import time

import pytest
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.api.declarations import MODEL_HEADERS
from serve_app.engine.identity import ModelSource, identify
from serve_app.engine.loading import load_engine
from serve_app.engine.registry import ModelRegistry, registry_of
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.results import Result
from serve_app.settings import load_settings


def client_of(settings, registry=None):
    model = InProcessModel(registry or registry_of(settings))
    app = create_app(Pipeline(settings, model), settings)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory, write_tiny):
    """Two revisions of `ecg`."""
    folder = tmp_path_factory.mktemp("models")
    return [write_tiny(folder / name, seed) for seed, name in enumerate(("one/ecg", "two/ecg"))]


@pytest.fixture(scope="module")
def client(models):
    with client_of(load_settings(models=models)) as client:
        yield client


def predict(client, body, **query):
    return client.post("/v1/predict", params=query, content=body)


def test_every_answer_says_revision_and_sha256(client, models, dicom_bytes):
    for path in models:
        known = identify(path)
        answer = predict(client, dicom_bytes, model=f"ecg@{known.sha256[:9]}")
        model = Result.model_validate_json(answer.content).model
        assert (model.name, model.revision, model.sha256) == ("ecg", known.revision, known.sha256)
        query = {"model": f"ecg@{known.revision}"}
        embedded = client.post(
            "/v1/embed", params=query, content=dicom_bytes, headers={"Accept": "application/x-npy"}
        )
        told = [embedded.headers[name] for name in MODEL_HEADERS]
        assert told == ["ecg", known.revision, known.sha256]


def test_the_default_answers_where_none_is_named(client, dicom_bytes):
    assert predict(client, dicom_bytes).json()["model"]["name"] == "demo"
    named = predict(client, dicom_bytes, model="demo", precision="fp32")
    assert named.json()["model"]["demo"] is True


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/embed"])
@pytest.mark.parametrize("name", ["other", "ecg@0000000", "ecg@ab", "demo@", "../ecg", "hf:a/b"])
def test_a_model_that_is_not_served(client, dicom_bytes, path, name):
    answer = client.post(path, params={"model": name}, content=dicom_bytes)
    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")


def test_paths_of_models_are_neither_taken_nor_told(client, models, dicom_bytes):
    refused = predict(client, dicom_bytes, model=models[0])
    assert refused.json()["code"] == "model_not_found"
    told = client.get("/v1/models").text + client.get("/v1/models/ecg").text
    assert models[0].rpartition("/")[0] not in told


def test_the_list_tells_loaded_from_not_loaded(models, dicom_bytes):
    with client_of(load_settings(models=models)) as client:
        one, two = (identify(path) for path in models)
        predict(client, dicom_bytes, model=f"ecg@{two.revision}")
        cards = client.get("/v1/models").json()["models"]
        assert [(each["name"], each["default"], each["loaded"]) for each in cards] == [
            ("demo", True, True),
            ("ecg", False, False),
            ("ecg", False, True),
        ]
        assert [each["sha256"] for each in cards[1:]] == [one.sha256, two.sha256]
        assert [each["loaded_at"] is None for each in cards] == [False, True, False]
        by_revision = client.get(f"/v1/models/ecg@{two.revision}").json()
        assert by_revision == cards[2]
        assert client.get("/v1/models/ecg").json() == cards[1]
        assert client.get("/v1/models/ecg@0000000").status_code == 404
        series = client.get("/metrics").text
        assert "ecg_models_loaded 2.0" in series
        assert "ecg_models_loads 2.0" in series


@pytest.fixture
def lost(tmp_path, write_tiny):
    """A model whose files are gone."""
    path = write_tiny(tmp_path / "ecg", 3)
    shutil.rmtree(path)
    return path


def test_refuse_tells_a_problem_with_retry_after(lost, dicom_bytes):
    with client_of(load_settings(model=lost)) as client:
        for answer in (
            predict(client, dicom_bytes),
            client.post("/v1/embed", content=dicom_bytes),
            client.get("/readyz"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert lost not in answer.text
        assert client.post("/v1/analyze", content=dicom_bytes).is_success


def test_signal_only_answers_without_the_model(lost, dicom_bytes, sinus_mv, as_npy):
    with client_of(load_settings(model=lost, when_model_fails="signal_only")) as client:
        result = predict(client, dicom_bytes).json()
        analyzed = client.post("/v1/analyze", content=dicom_bytes).json()
        assert (result["degraded"], result["model"], result["predictions"]) == (
            "signal_only",
            None,
            [],
        )
        assert analyzed["degraded"] is None
        for member in ("analysis", "quality", "recording"):
            assert result[member] == analyzed[member]
        assert client.get("/readyz").json()["status"] == "degraded"
        assert client.post("/v1/embed", content=dicom_bytes).status_code == 503
        # What is wrong with the request is told all the same.
        assert predict(client, dicom_bytes, model="nobody").status_code == 404
        short = client.post("/v1/predict?fs_hz=500", content=as_npy(sinus_mv[:, :1500]))
        assert short.json()["code"] == "invalid_signal"


def test_a_slow_load_may_cost_its_first_request_but_not_the_next(models, dicom_bytes):
    settings = load_settings(request_timeout_s=0.5)
    released = threading.Event()

    def load(source):
        if source.source != "demo":
            assert released.wait(30)
        return load_engine(settings, source.source)

    registry = ModelRegistry([ModelSource("demo"), ModelSource(models[0])], load)
    registry.load_default()
    with client_of(settings, registry) as client:
        timed_out = predict(client, dicom_bytes, model="ecg")
        assert (timed_out.status_code, timed_out.json()["code"]) == (504, "inference_timeout")
        assert predict(client, dicom_bytes).is_success
        released.set()
        deadline_s = time.monotonic() + 30
        while registry.counts.loads < 2:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert predict(client, dicom_bytes, model="ecg").is_success
