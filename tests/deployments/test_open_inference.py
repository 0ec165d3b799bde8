"""Unmodified clients of the Open Inference Protocol against a real `ecg-serve up`."""

import asyncio
import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import grpc
import httpx2
import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from deployments.peers import is_of_this_machine
from serve_app.decoding import decode
from serve_app.model.labels import join_segments
from serve_app.preprocessing import prepare

pytestmark = pytest.mark.ray
ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "open_inference.md").read_text()


@pytest.fixture(scope="module")
def expected(server, dicom_bytes):
    """What /v1/predict says, as (1, 17)."""
    told = httpx2.post(f"{server}/v1/predict", content=dicom_bytes, timeout=60).json()
    return np.array([[each["probability"] for each in told["predictions"]]])


@pytest.fixture(scope="module")
def inputs(dicom_bytes):
    """Name -> array of each input, all of the same recording."""
    recording = decode(dicom_bytes)
    return {
        "signal": recording.signal_mv,
        "recording": np.array([dicom_bytes], dtype=object),
        "segments": prepare(recording).segments,
    }


@pytest.fixture
def over_http(server):
    with tritonclient.http.InferenceServerClient(server.removeprefix("http://")) as client:
        yield client


@pytest.fixture
def over_grpc(server, grpc_port):
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port}") as client:
        yield client


def infer_input(module, name, array):
    entry = module.InferInput(name, list(array.shape), "BYTES" if name == "recording" else "FP32")
    entry.set_data_from_numpy(array)
    return entry


def parameters(name):
    return {"fs_hz": 1000} if name == "signal" else {}


def joined(answer, name):
    """Probabilities of the recording; sent as segments, each is a row of its own."""
    rows = answer.as_numpy("probabilities")
    return join_segments(rows)[np.newaxis] if name == "segments" else rows


@pytest.mark.parametrize("name", ["signal", "recording", "segments"])
def test_triton_over_http_and_grpc_answers_as_v1_predict(
    over_http, over_grpc, inputs, expected, name
):
    for module, client in ((tritonclient.http, over_http), (tritonclient.grpc, over_grpc)):
        sent = [infer_input(module, name, inputs[name])]
        answer = client.infer("demo", sent, parameters=parameters(name))
        np.testing.assert_allclose(joined(answer, name), expected, atol=1e-5)
        if name != "segments":
            result = json.loads(answer.as_numpy("result")[0])
            assert result["model"]["demo"] is True


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_triton_compresses_both_ways(over_http, inputs, expected, coding):
    sent = [infer_input(tritonclient.http, "signal", inputs["signal"])]
    answer = over_http.infer(
        "demo",
        sent,
        parameters={"fs_hz": 1000},
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, atol=1e-5)


def test_triton_with_json_and_chosen_outputs(over_http, inputs, expected):
    entry = tritonclient.http.InferInput("signal", list(inputs["signal"].shape), "FP32")
    entry.set_data_from_numpy(inputs["signal"], binary_data=False)
    outputs = [
        tritonclient.http.InferRequestedOutput("probabilities", binary_data=False),
        tritonclient.http.InferRequestedOutput("logits"),
    ]
    answer = over_http.infer(
        "demo", [entry], outputs=outputs, request_id="7", parameters={"fs_hz": 1000}
    )
    assert answer.get_response()["id"] == "7"
    assert [each["name"] for each in answer.get_response()["outputs"]] == [
        *("probabilities", "logits")
    ]
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, atol=1e-5)
    assert answer.as_numpy("logits").shape == (2, 17)


def test_triton_asks_about_the_server_and_its_models(over_http, over_grpc):
    version = over_http.get_model_metadata("demo")["versions"][0]
    for client in (over_http, over_grpc):
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("demo")
        assert client.is_model_ready("demo", version)
    assert over_http.get_server_metadata()["name"] == over_grpc.get_server_metadata().name
    of_grpc = over_grpc.get_model_metadata("demo")
    of_http = over_http.get_model_metadata("demo")
    for kind in ("inputs", "outputs"):
        described = [
            {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)}
            for each in getattr(of_grpc, kind)
        ]
        assert described == of_http[kind]
    assert over_http.get_model_config("demo")["max_batch_size"] == 0
    assert over_http.get_inference_statistics("demo")["model_stats"][0]["name"] == "demo"
    assert over_http.get_model_repository_index()[0]["state"] == "READY"
    for refused in (over_http.load_model, over_http.unload_model):
        with pytest.raises(InferenceServerException, match="not loaded or unloaded"):
            refused("demo")
    assert not over_http.is_model_ready("other")


def test_triton_s_asynchronous_clients(server, grpc_port, inputs, expected):
    async def ask(module, address):
        async with module.InferenceServerClient(address) as client:
            sent = [infer_input(module, "signal", inputs["signal"])]
            answers = [client.infer("demo", sent, parameters={"fs_hz": 1000}) for _ in range(4)]
            return await asyncio.gather(*answers)

    async def ask_both():
        return [
            *await ask(tritonclient.http.aio, server.removeprefix("http://")),
            *await ask(tritonclient.grpc.aio, f"127.0.0.1:{grpc_port}"),
        ]

    for answer in asyncio.run(ask_both()):
        np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, atol=1e-5)


def test_errors_are_told_to_triton(over_http, over_grpc, inputs):
    def errors_of(module, client):
        sent = [infer_input(module, "signal", inputs["signal"])]
        for model, given in (("other", {"fs_hz": 500}), ("demo", {}), ("demo", {"fs_hz": 1})):
            with pytest.raises(InferenceServerException) as told:
                client.infer(model, sent, parameters=given)
            yield told.value.status(), told.value.message()

    http = list(errors_of(tritonclient.http, over_http))
    assert [status for status, _ in http] == ["404", "400", "400"]
    assert "needs the parameter fs_hz" in http[1][1]
    of_grpc = list(errors_of(tritonclient.grpc, over_grpc))
    codes = [status.removeprefix("StatusCode.") for status, _ in of_grpc]
    assert codes == ["NOT_FOUND", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]
    for (_, message), (_, with_hint) in zip(http, of_grpc, strict=True):
        assert with_hint.startswith(message)


def test_grpc_metadata_name_the_error_and_limits_hold(over_grpc, grpc_port, inputs):
    stub = tritonclient.grpc.service_pb2_grpc.GRPCInferenceServiceStub
    request = tritonclient.grpc.service_pb2.ModelInferRequest
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        ask = stub(channel).ModelInfer
        with pytest.raises(grpc.RpcError) as told:
            ask(request(model_name="demo"))
        assert dict(told.value.trailing_metadata())["code"] == "invalid_parameter"
        for size, compression in ((120, None), (300, grpc.Compression.Gzip)):
            large = request(model_name="demo", raw_input_contents=[bytes(size << 20)])
            with pytest.raises(grpc.RpcError) as told:
                ask(large, compression=compression, timeout=60)
            assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as told:
            stub(channel).ModelConfig(tritonclient.grpc.service_pb2.ModelConfigRequest(name="demo"))
        assert told.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert over_grpc.is_server_live()


def test_typed_contents_over_grpc(grpc_port, server, inputs, expected):
    del server
    pb = tritonclient.grpc.service_pb2
    request = pb.ModelInferRequest(model_name="demo", id="9")
    request.parameters["fs_hz"].double_param = 1000
    entry = request.inputs.add(name="signal", datatype="FP32", shape=inputs["signal"].shape)
    entry.contents.fp32_contents.extend(inputs["signal"].ravel())
    request.outputs.add(name="probabilities")
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        stub = tritonclient.grpc.service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(request)
    assert (answer.id, len(answer.outputs)) == ("9", 1)
    found = np.frombuffer(answer.raw_output_contents[0], "<f4")
    np.testing.assert_allclose(found, expected[0], atol=1e-5)


def test_reflection_names_the_service(grpc_port, server):
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    del server
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "inference.GRPCInferenceService" in database.get_services()
        pool = DescriptorPool(database)
        found = pool.FindServiceByName("inference.GRPCInferenceService")
        ours = {each.name for each in found.methods}
        theirs = tritonclient.grpc.service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        assert ours == {
            *("ServerLive", "ServerReady", "ServerMetadata"),
            *("ModelReady", "ModelMetadata", "ModelInfer"),
        }
        # Names and numbers are the protocol's.
        for method in ours:
            for side in ("input_type", "output_type"):
                mine = getattr(found.methods_by_name[method], side)
                other = getattr(theirs.methods_by_name[method], side)
                assert fields(mine) == fields(other)


def fields(message):
    return {
        (
            *(each.name, each.number, each.type),
            frozenset(fields(each.message_type)) if each.message_type else None,
        )
        for each in message.fields
    }


def test_peers_of_this_machine_are_told_from_others():
    assert is_of_this_machine("ipv4:127.0.0.1:5000")
    assert is_of_this_machine("ipv6:%5B::1%5D:5000")
    assert is_of_this_machine("ipv6:%5B::ffff:127.0.0.1%5D:5000")
    own = [
        each.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family.name == "AF_INET"
    ]
    assert all(is_of_this_machine(f"ipv4:{address}:5000") for address in own)
    for stranger in ("ipv4:198.51.100.7:5000", "ipv6:%5B2001:db8::7%5D:5000", "", "fd:7"):
        assert not is_of_this_machine(stranger)


STRANGER_SCRIPT = """
import asyncio, functools, sys
from deployments.open_inference import InferenceService, messages
from serve_app.api import create_app
from serve_app.engine.loading import load_engine
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.settings import load_settings

class Context:
    # What Ray Serve hands over of a call.
    def __init__(self, peer):
        self.peer, self.told = lambda: peer, "OK"

    def set_code(self, code):
        self.told = code.name

    def set_details(self, details):
        pass

settings = load_settings()
pipeline = Pipeline(settings, InProcessModel(functools.partial(load_engine, settings)))
service = InferenceService(create_app(pipeline, settings).state.services)
calls = {
    service.server_live: messages.ServerLiveRequest(),
    service.server_ready: messages.ServerReadyRequest(),
    service.server_metadata: messages.ServerMetadataRequest(),
    service.model_ready: messages.ModelReadyRequest(name="demo"),
    service.model_metadata: messages.ModelMetadataRequest(name="demo"),
    service.model_infer: messages.ModelInferRequest(model_name="demo"),
}
for call, request in calls.items():
    for peer in sys.argv[1:]:
        context = Context(peer)
        asyncio.run(call(request, context))
        sys.stdout.write(context.told + " ")
"""


def test_strangers_are_answered_nothing():
    """In a process of its own: ours knows the same messages by the client's definitions."""
    done = subprocess.run(
        [sys.executable, "-c", STRANGER_SCRIPT, "ipv4:198.51.100.7:5000"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.stdout.split() == ["PERMISSION_DENIED"] * 6, done.stderr


def test_curl_of_the_guide(server, tmp_path):
    (block,) = re.findall(r"^```sh\n(curl.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        ["bash", "-euc", block.replace("http://127.0.0.1:8000", server)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"][0]["shape"] == [1, 17]


def snippets(server, grpc_port, library):
    for text in re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL):
        if library in text:
            here = text.replace("127.0.0.1:8000", server.removeprefix("http://"))
            yield here.replace("127.0.0.1:9000", f"127.0.0.1:{grpc_port}")


def run_snippets(python, found, folder):
    for text in found:
        done = subprocess.run(
            [python, "-c", text], cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "Sinus rhythm" in done.stdout or "(1, 17)" in done.stdout, done.stdout


def test_triton_snippets_of_the_guide(server, grpc_port, tmp_path):
    found = list(snippets(server, grpc_port, "tritonclient"))
    assert len(found) == 2
    run_snippets(sys.executable, found, tmp_path)


@pytest.mark.slow
def test_kserve_in_an_environment_of_its_own(server, grpc_port, tmp_path, dicom_path):
    """It brings thirty packages, and versions of some that are not ours."""
    environment = tmp_path / "kserve"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "kserve==0.21.0"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    if installed.returncode:
        pytest.skip(f"kserve cannot be installed here: {installed.stderr.strip()[-200:]}")
    found = list(snippets(server, grpc_port, "from kserve"))
    assert len(found) == 1
    run_snippets(python, found, tmp_path)
    script = Path(__file__).with_name("kserve_script.py")
    done = subprocess.run(
        [python, "-P", script, server, f"127.0.0.1:{grpc_port}", dicom_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    expected = httpx2.post(f"{server}/v1/predict", content=dicom_path.read_bytes()).json()
    for way in ("http_binary", "grpc"):
        wanted = [each["probability"] for each in expected["predictions"]]
        np.testing.assert_allclose(told[way], wanted, atol=1e-5)
    assert told["live"] == told["ready"] == told["model_ready"] == [True, True]
    assert told["other_model_ready"] is False
    assert "needs the parameter fs_hz" in told["error"]
