"""A real `ecg-serve up` with several models: asked by name, dropped, replaced under load, lost."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest

from benchmarks.server import running_server
from serve_app.engine.identity import identify
from tests.deployments.test_server import replicas

pytestmark = [pytest.mark.ray, pytest.mark.slow]
CLI = Path(sys.executable).with_name("ecg-serve")


def use(model, *options):
    done = subprocess.run(
        [CLI, "model", "use", str(model), "--json", *options],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def wait_until(condition, limit_s=60):
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about"
        time.sleep(0.2)


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


@pytest.fixture
def weights(tmp_path, write_tiny):
    """The weights file of a model called `ecg`."""
    return Path(write_tiny(tmp_path / "ecg", 7)) / "model.safetensors"


def assert_unavailable(response):
    problem = response.json()
    assert (response.status_code, problem["code"]) == (503, "model_unavailable"), problem
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("profile", ["graph", "mono"])
def test_signal_only_starts_without_the_model_and_heals(
    profile, weights, tmp_path, monkeypatch, dicom_bytes
):
    kept = weights.read_bytes()
    weights.write_bytes(kept[:2000])
    monkeypatch.setenv("ECG_WHEN_MODEL_FAILS", "signal_only")
    options = ("--profile", profile, "--model", str(weights.parent))
    with running_server(*options) as (url, _, _), httpx2.Client(base_url=url, timeout=60) as http:
        answer = http.post("/v1/predict", content=dicom_bytes)
        assert answer.status_code == 200, answer.text
        result = answer.json()
        assert result["degraded"] == "signal_only"
        assert result["model"] is None
        assert result["predictions"] == result["segments"] == []
        assert result["analysis"]["heart_rate_bpm"] == pytest.approx(61, abs=2)
        assert result["quality"]["acceptable"]
        assert_unavailable(http.post("/v1/embed", content=dicom_bytes))
        assert http.get("/readyz").json() == {
            "status": "degraded",
            "model": None,
            "revision": None,
        }
        (card,) = http.get("/v1/models").json()["models"]
        assert (card["name"], card["loaded"], card["loaded_at"]) == ("ecg", False, None)
        weights.write_bytes(kept)
        wait_until(lambda: http.get("/readyz").json()["status"] == "ready")
        healed = http.post("/v1/predict", content=dicom_bytes).json()
        assert healed["degraded"] is None
        assert healed["model"]["sha256"] == identify(str(weights.parent)).sha256
        text = http.get("/metrics").text
        assert 'ecg_degraded_total{how="signal_only"} 1.0' in text
        assert "ecg_models_loaded 1.0" in text


def test_refuse_starts_not_without_the_model_and_says_why(weights):
    weights.write_bytes(b"nothing")
    with (
        pytest.raises(RuntimeError, match="damaged, cut short") as refused,
        running_server("--model", str(weights.parent)),
    ):
        pass
    assert str(weights) not in str(refused.value)


def test_replicas_that_start_later_answer_with_the_chosen_model(weights, monkeypatch, dicom_bytes):
    chosen = identify(str(weights.parent))
    with running_server() as (url, _, _), httpx2.Client(base_url=url, timeout=60) as http:
        assert use(weights.parent)[0] == 0
        replicas(url, "EcgFm")[0].kill()
        assert http.post("/v1/predict", content=dicom_bytes).json()["model"]["name"] == "ecg"
        kept = weights.read_bytes()
        weights.unlink()
        # What is loaded goes on without its files.
        assert http.post("/v1/predict", content=dicom_bytes).json()["model"]["name"] == "ecg"
        replicas(url, "EcgFm")[0].kill()
        started_s = time.monotonic()
        assert_unavailable(http.post("/v1/predict", content=dicom_bytes))
        assert time.monotonic() - started_s < 30
        started_s = time.monotonic()
        assert_unavailable(http.post("/v1/predict", content=dicom_bytes))
        assert time.monotonic() - started_s < 3
        assert_unavailable(http.get("/readyz"))
        assert http.post("/v1/analyze", content=dicom_bytes).is_success
        weights.write_bytes(kept)
        wait_until(lambda: http.get("/readyz").is_success, limit_s=90)
        healed = http.post("/v1/predict", content=dicom_bytes).json()
        assert healed["model"]["sha256"] == chosen.sha256
