"""A real `ecg-serve up` whose model cannot be had: degraded or refused, and whole again."""

import time
from pathlib import Path

import httpx2
import pytest

from benchmarks.server import running_server
from serve_app.engine.identity import identify
from tests.deployments.operator import use, wait_until
from tests.deployments.test_server import replicas

# Apart from the tests of `several`, whose server and environment last as long as their file.
pytestmark = [pytest.mark.ray, pytest.mark.slow]


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
