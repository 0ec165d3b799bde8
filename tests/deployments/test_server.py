"""A real `ecg-serve up`, over HTTP and over deployment handles, and what it survives."""

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import numpy as np
import psutil
import pytest

from benchmarks.server import running_server
from serve_app.client import Client, ServerProblem
from serve_app.decoding import Upload

pytestmark = pytest.mark.ray


@pytest.fixture
def http(server):
    with httpx2.Client(base_url=server, timeout=60) as client:
        yield client


HANDLE_SCRIPT = """
import json, sys
import ray
from ray import serve
from serve_app.errors import CorruptedData
from serve_app.recording import STANDARD_LEADS, make_recording
from serve_app.decoding import decode

ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
handle = serve.get_app_handle("ecg")
sent = open(sys.argv[1], "rb").read()
answers = {
    "bytes": handle.predict.remote(sent).result(),
    "recording": handle.predict.remote(decode(sent)).result(),
    "analysis": handle.analyze.remote(sent).result(),
    "embedding": handle.embed.remote(sent).result(),
    "embedding_of_recording": handle.embed.remote(decode(sent)).result(),
    "two_leads": handle.predict.remote(
        make_recording(
            decode(sent).signal_mv[:2], fs_hz=1000, leads=("I", "II"), format="array", sha256="0"
        ),
        missing_leads="zero",
        embedding=True,
    ).result(),
}
try:
    handle.predict.remote(sent[:5000]).result()
except CorruptedData as error:
    raised = error.code
batch = handle.options(stream=True).predict_batch.remote([sent, sent[:5000], decode(sent)])
codes = [getattr(outcome, "code", "done") for outcome in batch]
print(json.dumps({"raised": raised, "batch": codes} | {k: v.to_dict() for k, v in answers.items()}))
"""


@pytest.fixture(scope="module")
def by_handle(server, dicom_path):
    """What a program of its own gets from the deployment handle."""
    done = subprocess.run(
        [sys.executable, "-c", HANDLE_SCRIPT, dicom_path],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return json.loads(done.stdout.splitlines()[-1])


def replicas(server, name):
    """Processes of a deployment that belong to this server's own Ray."""
    port = server.rsplit(":", 1)[1]
    up = next(each for each in psutil.process_iter() if f" up --port {port}" in _title(each))
    return [each for each in up.children(recursive=True) if f"ecg:{name}" in _title(each)]


def _title(process):
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def test_a_dicom_file_over_http(http, dicom_bytes):
    response = http.post("/v1/predict", content=dicom_bytes)
    assert response.status_code == 200
    result = response.json()
    assert result["model"]["demo"] is True
    assert len(result["predictions"]) == 17
    assert result["analysis"]["backend"] == "rust"
    assert response.headers.get_list("x-request-id") == [result["request_id"]]


def test_the_graph_answers_as_plain_calls_do(http, pipeline, dicom_bytes):
    over_http = http.post("/v1/predict?embedding=true", content=dicom_bytes).json()
    plain = asyncio.run(pipeline.predict(dicom_bytes)).to_dict()
    for one, other in zip(over_http["predictions"], plain["predictions"], strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
    assert over_http["analysis"] == plain["analysis"]
    assert over_http["quality"] == plain["quality"]


def test_handles_answer_as_http_does(http, by_handle, dicom_bytes):
    over_http = http.post("/v1/predict", content=dicom_bytes).json()
    for way in ("bytes", "recording"):
        of_handle = by_handle[way]
        assert of_handle.keys() == over_http.keys()
        assert of_handle["analysis"] == over_http["analysis"]
        for one, other in zip(of_handle["predictions"], over_http["predictions"], strict=True):
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
    assert by_handle["analysis"]["model"] is None


def test_handles_answer_many_in_their_order(by_handle):
    assert by_handle["batch"] == ["done", "corrupted_data", "done"]


def test_features_over_http_by_handle_and_by_the_client(server, http, by_handle, dicom_bytes):
    response = http.post("/v1/embed", content=dicom_bytes, headers={"Accept": "application/x-npy"})
    segments = np.load(io.BytesIO(response.content))
    assert len(response.headers.get_list("x-request-id")) == 1
    assert response.headers["x-model-name"] == "demo"
    predicted = http.post("/v1/predict?embedding=true", content=dicom_bytes).json()
    over_http = http.post("/v1/embed", content=dicom_bytes).json()
    with Client(server) as client:
        of_client = client.embed(Upload((("", dicom_bytes),)), missing_leads="zero").to_dict()
    ways = (over_http, of_client, by_handle["embedding"], by_handle["embedding_of_recording"])
    for told in ways:
        assert told.keys() == over_http.keys()
        assert told["model"] == predicted["model"]
        assert told["recording"]["sha256"] == predicted["recording"]["sha256"]
        np.testing.assert_allclose(told["embedding"], predicted["embedding"], atol=1e-5)
        np.testing.assert_allclose(told["segments"], segments, atol=1e-5)


def test_handles_take_options_and_raise_the_errors_of_the_tree(by_handle):
    assert len(by_handle["two_leads"]["recording"]["zero_filled_leads"]) == 10
    assert by_handle["two_leads"]["embedding"]
    assert by_handle["raised"] == "corrupted_data"


def test_bad_input_leaves_the_server_alive_and_nothing_on_disk(http, dicom_bytes):
    def leftovers():
        folder = Path(tempfile.gettempdir())
        return {path.name for path in folder.iterdir() if path.name.startswith("ecg-")}

    before = leftovers()
    bodies = [b"", b"garbage", dicom_bytes[:7000], b"PK\x03\x04" + bytes(50), os.urandom(10_000)]
    for body in bodies:
        problem = http.post("/v1/predict", content=body)
        assert problem.status_code == 400
        assert problem.json()["hint"]
    assert http.post("/v1/predict", content=dicom_bytes).is_success
    assert leftovers() <= before


def test_200_mb_are_refused_at_once(http):
    started_s = time.perf_counter()
    response = http.post("/v1/predict", content=bytes(200 << 20))
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert time.perf_counter() - started_s < 5


@pytest.mark.integration
@pytest.mark.parametrize(
    ("folder", "names", "heart_rate_bpm"),
    [
        ("twelve_lead/ptbxl/records500/00000", ("00014_hr.hea", "00014_hr.dat"), 74),
        ("twelve_lead/ludb/data", ("101.hea", "101.dat"), None),
        ("twelve_lead/cinc2021", ("A0001.hea", "A0001.mat"), None),
    ],
)
def test_twelve_lead_records_of_public_sets(http, data_dir, folder, names, heart_rate_bpm):
    files = [("file", (name, (data_dir / folder / name).read_bytes())) for name in names]
    response = http.post("/v1/predict", files=files)
    assert response.status_code == 200, response.text
    result = response.json()
    assert result["recording"]["format"] == "wfdb"
    assert result["recording"]["missing_leads"] == []
    assert len(result["segments"]) == int(result["recording"]["duration_s"] // 5)
    assert len(result["predictions"]) == 17
    assert result["quality"]["acceptable"]
    if heart_rate_bpm:
        assert result["analysis"]["heart_rate_bpm"] == pytest.approx(heart_rate_bpm, abs=2)


def test_a_half_hour_of_two_leads(http, data_dir):
    record = data_dir / "beats" / "mitdb"
    files = [("file", (name, (record / name).read_bytes())) for name in ("100.hea", "100.dat")]
    analyzed = http.post("/v1/analyze", files=files).json()
    assert len(analyzed["analysis"]["r_peaks_s"]) == pytest.approx(2273, abs=5)
    predicted = http.post("/v1/predict?missing_leads=zero", files=files).json()
    assert len(predicted["segments"]) == 361
    assert predicted["recording"]["unpredicted_s"] == pytest.approx(0.556, abs=0.01)


def test_the_client_tells_results_and_problems(server, dicom_bytes):
    with Client(server) as client:
        assert client.predict(Upload((("", dicom_bytes),))).model.name == "demo"
        with pytest.raises(ServerProblem, match="empty") as told:
            client.analyze(Upload((("", b""),)))
    assert told.value.problem["code"] == "invalid_format"


async def _load(url, body, count, at_once, during=None):
    """Statuses of ``count`` requests, ``at_once`` at a time; ``during`` runs amid them."""
    gate, statuses = asyncio.Semaphore(at_once), []
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:

        async def one(number):
            async with gate:
                if number == count // 3 and during:
                    during()
                response = await client.post("/v1/predict", content=body)
                statuses.append(response.status_code)

        await asyncio.gather(*(one(number) for number in range(count)))
    return statuses


def test_many_at_once(server, dicom_bytes):
    assert asyncio.run(_load(server, dicom_bytes, 200, 32)) == [200] * 200


def test_a_killed_model_replica_costs_no_request(server, dicom_bytes):
    def kill():
        replicas(server, "EcgFm")[0].send_signal(signal.SIGKILL)

    statuses = asyncio.run(_load(server, dicom_bytes, 300, 8, during=kill))
    assert statuses == [200] * 300


@pytest.mark.slow
def test_mono_answers_as_the_graph_does_and_stops_clean(http, dicom_bytes):
    graph = http.post("/v1/predict?embedding=true", content=dicom_bytes).json()
    with running_server("--profile", "mono") as (url, _, _):
        mono = httpx2.post(f"{url}/v1/predict", content=dicom_bytes, timeout=60).json()
        embedded = httpx2.post(f"{url}/v1/embed", content=dicom_bytes, timeout=60).json()
    assert embedded["embedding"] == pytest.approx(graph["embedding"], abs=1e-5)
    for one, other in zip(graph["predictions"], mono["predictions"], strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"{url}/livez")


@pytest.mark.slow
def test_replicas_follow_the_load_and_share_it(monkeypatch, dicom_bytes):
    small = {
        "PREPROCESSOR_MIN_REPLICAS": 2,
        "PREPROCESSOR_MAX_REPLICAS": 2,
        "PREPROCESSOR_CPUS": 0.25,
        "MODEL_CPUS": 0.25,
        "MODEL_MAX_REPLICAS": 2,
        "MAX_BATCH_SEGMENTS": 2,
        "DOWNSCALE_DELAY_S": 2,
    }
    for name, value in small.items():
        monkeypatch.setenv(f"ECG_{name}", str(value))
    with running_server() as (url, _, _):
        assert len(replicas(url, "EcgFm")) == 1
        _load_until(url, dicom_bytes, lambda: len(replicas(url, "EcgFm")) == 2)
        assert all(each.cpu_times().user > 1 for each in replicas(url, "Preprocessor"))
        _wait_until(lambda: len(replicas(url, "EcgFm")) == 1)
        assert httpx2.post(f"{url}/v1/predict", content=dicom_bytes, timeout=60).is_success


def _load_until(url, body, condition):
    for _ in range(20):
        assert set(asyncio.run(_load(url, body, 300, 32))) == {200}
        if condition():
            return
    pytest.fail("the load changed nothing")


def _wait_until(condition, limit_s=60):
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about"
        time.sleep(0.5)
