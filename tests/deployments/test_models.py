"""A real `ecg-serve up` with several models: asked by name, dropped, replaced under load, lost."""

import asyncio
import json

import httpx2
import numpy as np
import pytest

from benchmarks.server import running_server
from serve_app.engine.identity import identify
from tests.deployments.operator import use

pytestmark = [pytest.mark.ray, pytest.mark.slow]


async def load_while(url, bodies, act):
    """Answers of eight clients for as long as ``act`` takes, and a bit more."""
    answers, ended = [], asyncio.Event()
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:

        async def client(number):
            body = bodies[number % len(bodies)]
            while not ended.is_set():
                response = await http.post("/v1/predict?fs_hz=500", content=body)
                model = response.json().get("model") or {}
                answers.append((response.status_code, model.get("revision"), model.get("sha256")))

        clients = [asyncio.create_task(client(number)) for number in range(8)]
        await asyncio.sleep(1)
        returned = await asyncio.to_thread(act)
        await asyncio.sleep(1)
        ended.set()
        await asyncio.gather(*clients)
    return returned, answers


@pytest.fixture(scope="module")
def models(tmp_path_factory, write_tiny):
    """Paths of three models; two of them are called `ecg`."""
    folder = tmp_path_factory.mktemp("models")
    return [
        write_tiny(folder / name, seed) for seed, name in enumerate(("one/ecg", "two/ecg", "other"))
    ]


@pytest.fixture(scope="module", params=["graph", "mono"])
def several(request, models):
    """A server of the demo and three further models, two replicas of what holds them."""
    environment = {
        "ECG_MODELS": json.dumps(models),
        "ECG_MODEL_MIN_REPLICAS": "2" if request.param == "graph" else "1",
        "ECG_PREPROCESSOR_MIN_REPLICAS": "2" if request.param == "mono" else "1",
        "ECG_MODEL_CPUS": "0.25",
        "ECG_PREPROCESSOR_CPUS": "0.25",
        "ECG_MODEL_MAX_REPLICAS": "2",
        "ECG_PREPROCESSOR_MAX_REPLICAS": "2",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with running_server("--profile", request.param) as (url, _, _):
            yield url


@pytest.fixture
def http(several):
    with httpx2.Client(base_url=several, timeout=60) as client:
        yield client


def test_models_by_name_and_revision(http, models, dicom_bytes):
    revisions = [identify(each).revision for each in models]
    asked = [*(f"ecg@{each}" for each in revisions[:2]), "other", "demo"]
    answers = [http.post(f"/v1/predict?model={each}", content=dicom_bytes) for each in asked]
    assert [each.status_code for each in answers] == [200] * 4
    assert [each.json()["model"]["revision"] for each in answers[:3]] == revisions
    scores = [[row["probability"] for row in each.json()["predictions"]] for each in answers]
    assert len({tuple(row) for row in scores}) == 4
    cards = http.get("/v1/models").json()["models"]
    assert [each["name"] for each in cards] == ["demo", "ecg", "ecg", "other"]
    assert [each["default"] for each in cards] == [True, False, False, False]
    # Two fit into a replica: the default, and who was asked last.
    assert sum(each["loaded"] for each in cards) <= 2
    for path in models:
        refused = http.post("/v1/predict", params={"model": path}, content=dicom_bytes)
        assert refused.json()["code"] == "model_not_found"
    assert "ecg_models_evictions" in http.get("/metrics").text


def test_a_swap_under_load_fails_no_request(several, http, models, dicom_bytes, sinus_mv, as_npy):
    before = http.get("/readyz").json()["revision"]
    # The long one is scored in pieces, by several replicas: all by one model, or not at all.
    short = as_npy(sinus_mv)
    bodies = [short, short, short, as_npy(np.tile(sinus_mv, 10))]
    (code, told, error), answers = asyncio.run(load_while(several, bodies, lambda: use(models[0])))
    assert code == 0, error
    new = identify(models[0])
    assert json.loads(told) | {"replicas": 2} == json.loads(told)
    assert {status for status, _, _ in answers} == {200}
    assert {revision for _, revision, _ in answers} == {before, new.revision}
    assert answers[0][1] == before
    assert answers[-1][1:] == (new.revision, new.sha256)
    assert http.get("/readyz").json()["revision"] == new.revision
    old = http.post("/v1/predict?model=demo", content=dicom_bytes)
    assert old.json()["model"]["revision"] == before


def test_a_model_that_cannot_load_leaves_the_old_one_serving(
    several, http, tmp_path, sinus_mv, as_npy
):
    before = http.get("/readyz").json()["revision"]
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"PK\x03\x04 no checkpoint")
    (code, _, error), answers = asyncio.run(
        load_while(several, [as_npy(sinus_mv)], lambda: use(damaged))
    )
    assert code == 2
    assert "cannot be loaded" in error
    assert {(status, revision) for status, revision, _ in answers} == {(200, before)}
    assert [use("nowhere.pt")[0], use("hf:no name")[0], use("demo", "--revision", "f" * 8)[0]] == [
        2
    ] * 3
    assert http.get("/readyz").json()["revision"] == before
