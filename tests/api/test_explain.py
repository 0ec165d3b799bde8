"""/v1/explain in this process: what is told, what is refused, and that nothing waits for it."""

import asyncio
import inspect
import io
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from deployments.ecg_fm import LocalModel
from deployments.preprocessor import Preprocessor
from serve_app.api import create_app
from serve_app.client import Client
from serve_app.decoding import Upload, decode
from serve_app.engine.explaining import Explainer, Wish
from serve_app.engine.loading import load_engine
from serve_app.engine.registry import registry_of
from serve_app.errors import (
    InferenceTimeout,
    InvalidParameter,
    Overloaded,
)
from serve_app.explanations import Explanation
from serve_app.model import saliency
from serve_app.model.checkpoints import load_model
from serve_app.model.network import output_length
from serve_app.model.saliency import attention_by_token
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.preprocessing import prepare
from serve_app.recording import STANDARD_LEADS
from serve_app.settings import load_settings

NPY = {"Accept": "application/x-npy"}
GRADIENT = "/v1/explain?method=gradient"
INTEGRATED = "/v1/explain?method=integrated_gradients&label=Infarction"


def pipeline_of(settings):
    """The whole way in this process, explanations included."""
    return Pipeline(settings, InProcessModel(registry_of(settings)))


# Of a segment, in the demo.
TOKENS = output_length(2500, load_model("demo").config.conv_feature_layers)


@pytest.fixture(scope="module")
def client(settings):
    app = create_app(pipeline_of(settings), settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def segments(dicom_bytes):
    return prepare(decode(dicom_bytes)).segments


def array(response):
    assert response.headers["content-type"] == "application/x-npy", response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def test_attention_is_the_default(client, dicom_bytes, segments):
    response = client.post("/v1/explain", content=dicom_bytes)
    assert response.status_code == 200, response.text
    told = response.json()
    assert (told["method"], told["label"], told["steps"]) == ("attention", None, None)
    token_ms = 2 * saliency.token_stride(load_model("demo").config)  # at 500 Hz
    assert (told["leads"], told["resolution_ms"]) == ([], token_ms)
    assert [(each["start_s"], each["end_s"]) for each in told["segments"]] == [(0, 5), (5, 10)]
    values = np.array([each["values"] for each in told["segments"]])
    want = attention_by_token(load_model("demo").model, torch.from_numpy(segments)).numpy()
    np.testing.assert_allclose(values, want, rtol=1e-4)
    assert {each["logit"] for each in told["segments"]} == {None}
    assert (told["model"]["precision"], told["model"]["engine"]) == ("fp32", "torch")
    assert told["model"]["demo"]
    assert told["request_id"] == response.headers["x-request-id"]
    assert response.headers["cache-control"] == "private, no-store"
    assert Explanation.model_validate_json(response.content).to_dict() == told


def test_integrated_gradients_per_lead_and_time(client, dicom_bytes):
    told = client.post(INTEGRATED + "&steps=128", content=dicom_bytes).json()
    assert (told["label"], told["steps"], told["resolution_ms"]) == ("Infarction", 128, 20.0)
    assert told["leads"] == list(STANDARD_LEADS)
    predicted = client.post("/v1/predict", content=dicom_bytes).json()
    index = [each["label"] for each in predicted["predictions"]].index("Infarction")
    for own, scored in zip(told["segments"], predicted["segments"], strict=True):
        values = np.array(own["values"])
        assert values.shape == (12, 250)
        probability = 1 / (1 + np.exp(-own["logit"]))
        assert probability == pytest.approx(scored["probabilities"][index], abs=1e-6)
        gap = own["logit"] - own["baseline_logit"]
        assert abs(abs(values.sum() - gap) - own["completeness_error"]) < 1e-4
        assert own["completeness_error"] < 0.02 * abs(gap) + 1e-3


def test_gradients_at_any_resolution_are_the_same_gradients(client, dicom_bytes, segments):
    url = GRADIENT + "&label=infarction&resolution_ms="
    fine = array(client.post(url + "2", content=dicom_bytes, headers=NPY))
    coarse = array(client.post(url + "100", content=dicom_bytes, headers=NPY))
    assert (fine.shape, coarse.shape) == ((2, 12, 2500), (2, 12, 50))
    np.testing.assert_allclose(fine.reshape(2, 12, 50, 50).mean(3), coarse, rtol=1e-3)
    x = torch.from_numpy(segments).requires_grad_()
    load_model("demo").model(x)[0][:, 15].sum().backward()
    np.testing.assert_allclose(fine, x.grad.abs().numpy(), rtol=1e-3, atol=1e-7)
    summed = array(
        client.post(INTEGRATED + "&resolution_ms=1000", content=dicom_bytes, headers=NPY)
    )
    parts = array(client.post(INTEGRATED + "&resolution_ms=20", content=dicom_bytes, headers=NPY))
    np.testing.assert_allclose(parts.reshape(2, 12, 5, 50).sum(3), summed, atol=1e-4)


def test_without_a_label_the_highest_scoring_one_is_explained(client, dicom_bytes):
    predictions = client.post("/v1/predict", content=dicom_bytes).json()["predictions"]
    highest = max(predictions, key=lambda each: each["probability"])["label"]
    response = client.post(GRADIENT, content=dicom_bytes, headers=NPY)
    assert response.headers["x-explain-label"] == highest.replace(" ", "%20")
    assert response.headers["x-model-name"] == "demo"
    assert response.headers["vary"] == "Accept"


def test_leads_that_are_zero_get_nothing(client, sinus_mv, as_npy):
    query = "&fs_hz=500&units=mV&leads=I,II&missing_leads=zero&steps=4"
    packed = {"Content-Type": "application/x-npy", **NPY}
    values = array(client.post(INTEGRATED + query, content=as_npy(sinus_mv[:2]), headers=packed))
    assert (values[:, 2:] == 0).all()
    assert (values[:, :2] != 0).any()


@pytest.mark.parametrize(
    ("query", "code", "told"),
    [
        ("label=Infarction", "invalid_parameter", "method=attention has no label"),
        ("resolution_ms=20", "invalid_parameter", "no resolution_ms"),
        ("steps=8", "invalid_parameter", "no steps"),
        ("method=gradient&steps=8", "invalid_parameter", "no steps"),
        ("method=gradient&label=Infarcton", "invalid_parameter", "no label of this model"),
        ("method=gradient&resolution_ms=3", "invalid_parameter", "does not divide"),
        ("method=gradient&resolution_ms=0", "invalid_parameter", "resolution_ms"),
        ("method=integrated_gradients&steps=0", "invalid_parameter", "steps"),
        ("method=integrated_gradients&steps=9999", "invalid_parameter", "steps"),
        ("method=integrated_gradients&steps=2.5", "invalid_parameter", "steps"),
        ("method=lime", "invalid_parameter", "method"),
        ("depth=3", "invalid_parameter", "depth"),
        ("precision=bf16", "invalid_parameter", "in fp32"),
        ("model=other", "model_not_found", "not served"),
    ],
)
def test_wishes_that_cannot_be_had(client, dicom_bytes, query, code, told):
    response = client.post(f"/v1/explain?{query}", content=dicom_bytes, headers=NPY)
    problem = response.json()
    assert (response.headers["content-type"], problem["code"]) == ("application/problem+json", code)
    assert told in problem["detail"]
    assert problem["hint"]


def test_more_than_a_minute_is_refused(client, sinus_mv, as_npy):
    long = as_npy(np.tile(sinus_mv, 7))
    problem = client.post("/v1/explain?fs_hz=500&units=mV", content=long).json()
    assert (problem["status"], problem["code"]) == (400, "invalid_signal")
    assert "60 s" in problem["detail"]


def test_bad_bodies_get_the_problems_of_predict(client, dicom_bytes):
    for body in (b"", b"hello, world", dicom_bytes[:9000]):
        explained, predicted = (
            client.post(path, content=body).json() for path in ("/v1/explain", "/v1/predict")
        )
        no_ids = {"request_id": "", "trace_id": ""}
        assert explained | no_ids == predicted | no_ids


def test_the_description_names_both_forms_and_its_example_is_answered(client):
    described = client.get("/openapi.json").json()["paths"]["/v1/explain"]["post"]
    answer = described["responses"]["200"]
    assert answer["content"].keys() == {"application/json", "application/x-npy"}
    assert "X-Explain-Label" in answer["headers"]
    assert {"501", "504"} <= described["responses"].keys()
    example = described["requestBody"]["content"]["application/json"]["example"]
    assert client.post("/v1/explain", json=example).status_code == 200


def test_time_that_is_over_is_a_problem_with_a_way_out(dicom_bytes):
    settings = load_settings(explain_timeout_s=0.2)
    with TestClient(create_app(pipeline_of(settings), settings)) as client:
        client.post("/v1/explain", content=dicom_bytes)  # loads
        started_s = time.perf_counter()
        response = client.post(INTEGRATED + "&steps=256&resolution_ms=2", content=dicom_bytes)
        assert time.perf_counter() - started_s < 10
        problem = response.json()
        assert (problem["status"], problem["code"]) == (504, "inference_timeout")
        assert "ECG_EXPLAIN_TIMEOUT_S" in problem["hint"]
        # The thread is free again at once.
        assert client.post("/v1/explain", content=dicom_bytes).status_code == 200


class Slow(torch.nn.Module):
    """The demo, each pass of which takes so long; counts them."""

    def __init__(self, seconds):
        super().__init__()
        self.inner = load_model("demo").model
        self.config = self.inner.config
        self.seconds, self.passes = seconds, 0

    def forward(self, x):
        self.passes += 1
        time.sleep(self.seconds)
        return self.inner(x)


WISH = Wish("integrated_gradients", "Infarction", steps=200)


def explainer_of(network, timeout_s):
    return Explainer(lambda: network, load_engine(load_settings()).info, timeout_s)


def test_work_is_cut_off_between_steps(segments):
    slow = Slow(0.05)
    with pytest.raises(InferenceTimeout):
        asyncio.run(explainer_of(slow, 0.5).explain(segments, WISH))
    assert 3 < slow.passes < 20
    passes = slow.passes
    time.sleep(0.3)
    assert slow.passes == passes


def test_work_ends_when_its_caller_is_gone(segments):
    slow = Slow(0.05)

    async def give_up():
        explaining = asyncio.create_task(explainer_of(slow, 60).explain(segments, WISH))
        await asyncio.sleep(0.5)
        explaining.cancel()
        await asyncio.gather(explaining, return_exceptions=True)
        await asyncio.sleep(0.2)
        passes = slow.passes
        await asyncio.sleep(0.3)
        return passes

    passes = asyncio.run(give_up())
    assert 1 < passes == slow.passes < 20


def test_a_few_wait_and_the_next_is_told_to_come_back(segments):
    explainer = explainer_of(Slow(0.02), 60)

    async def ask(many):
        wish = Wish("integrated_gradients", "Infarction", steps=4)
        asked = (explainer.explain(segments[:1], wish) for _ in range(many))
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(ask(7))
    assert sum(isinstance(each, Overloaded) for each in found) == 3
    answered = [each for each in found if not isinstance(each, Overloaded)]
    assert len({each.values.tobytes() for each in answered}) == 1
    assert answered[-1].queue_ms > answered[0].queue_ms
    assert not any(isinstance(each, Overloaded) for each in asyncio.run(ask(4)))


def test_predictions_are_answered_meanwhile(dicom_bytes):
    settings = load_settings()
    with TestClient(create_app(pipeline_of(settings), settings)) as client:
        client.post(GRADIENT, content=dicom_bytes)
        with ThreadPoolExecutor(1) as pool:
            url = INTEGRATED + "&steps=48"
            explaining = pool.submit(client.post, url, content=dicom_bytes)
            answered = 0
            while not explaining.done():
                response = client.post("/v1/predict", content=dicom_bytes)
                assert response.status_code == 200
                answered += not explaining.done()
            assert explaining.result().status_code == 200
    assert answered > 2


def test_wishes_survive_a_handle():
    import pickle

    wish = Wish("gradient", "Infarction", resolution_ms=4.0)
    assert pickle.loads(pickle.dumps(wish)) == wish
    with pytest.raises(InvalidParameter):
        Wish("attention", "Infarction")


def test_without_captum_gradients_are_not_installed_and_attention_is():
    code = (
        "import sys; sys.modules['captum'] = None\n"
        "from pathlib import Path\n"
        "from pydicom.data import get_testdata_file\n"
        "from starlette.testclient import TestClient\n"
        "from serve_app.api import create_app\n"
        "from serve_app.settings import load_settings\n"
        "from tests.api.test_explain import pipeline_of\n"
        "body = Path(get_testdata_file('waveform_ecg.dcm', download=False)).read_bytes()\n"
        "settings = load_settings()\n"
        "with TestClient(create_app(pipeline_of(settings), settings)) as client:\n"
        "    for method in ('attention', 'gradient'):\n"
        "        told = client.post('/v1/explain?method=' + method, content=body)\n"
        "        print(told.status_code, told.json().get('code'), told.json().get('hint'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    attention, gradient = done.stdout.splitlines()
    assert attention.startswith("200")
    assert gradient.startswith("501 not_installed")
    assert "[explain]" in gradient


def test_the_handle_takes_what_http_takes(dicom_bytes):
    settings = load_settings()
    replica = Preprocessor(settings, lambda: LocalModel(registry_of(settings), 4))

    async def ask():
        attention = await replica.explain(dicom_bytes)
        wish = {"method": "integrated_gradients", "label": "Infarction", "steps": 4}
        return attention, await replica.explain(decode(dicom_bytes), **wish, resolution_ms=40)

    attention, found = asyncio.run(ask())
    assert attention.to_array().shape == (2, TOKENS)
    assert found.to_array().shape == (2, 12, 125)
    with pytest.raises(InvalidParameter):
        asyncio.run(replica.explain(dicom_bytes, steps=4))
    of_embed, of_explain = (
        inspect.signature(method).parameters
        for method in (Preprocessor.embed, Preprocessor.explain)
    )
    assert of_explain.keys() - of_embed.keys() == {"method", "label", "steps", "resolution_ms"}
    assert of_embed.keys() <= of_explain.keys()


@pytest.mark.ray
def test_a_real_server_explains(server, dicom_bytes, segments):
    upload = Upload((("a.dcm", dicom_bytes),))
    with Client(server) as client:
        attention = client.explain(upload)
        found = client.explain(upload, method="integrated_gradients", label="Infarction")
        with pytest.raises(Exception, match="no label of this model"):
            client.explain(upload, method="gradient", label="nothing")
    want = attention_by_token(load_model("demo").model, torch.from_numpy(segments)).numpy()
    np.testing.assert_allclose(attention.to_array(), want, rtol=1e-4)
    assert found.to_array().shape == (2, 12, 250)
    change = found.segments[0].logit - found.segments[0].baseline_logit
    assert found.segments[0].completeness_error < 0.2 * abs(change)
