"""/v2 in this process: what is told of the models, tensors in each form, and what is refused."""

import gzip
import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.decoding import decode
from serve_app.engine.loading import load_engine
from serve_app.engine.registry import registry_of
from serve_app.errors import CheckpointError
from serve_app.pipeline import InProcessModel, Pipeline
from serve_app.preprocessing import prepare
from serve_app.recording import STANDARD_LEADS
from serve_app.settings import load_settings

HEADER_LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/demo/infer"


@pytest.fixture(scope="module")
def client(pipeline, settings):
    with TestClient(create_app(pipeline, settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def predicted(client, dicom_bytes):
    """What /v1/predict says of the same file."""
    return client.post("/v1/predict?embedding=true", content=dicom_bytes).json()


@pytest.fixture(scope="module")
def whole(dicom_bytes):
    return decode(dicom_bytes)


def signal_input(signal, fs_hz=1000, **parameters):
    return {
        "name": "signal",
        "shape": list(signal.shape),
        "datatype": "FP32",
        "parameters": {"fs_hz": fs_hz, **parameters},
        "data": signal.ravel().tolist(),
    }


def ask(client, *inputs, path=INFER, **members):
    return client.post(path, json={"inputs": list(inputs), **members})


def binary(inputs, datas, outputs=("probabilities",), **parameters):
    """A body whose tensors follow its JSON, and its header."""
    described = [
        {**each, "parameters": {**each.get("parameters", {}), "binary_data_size": len(data)}}
        for each, data in zip(inputs, datas, strict=True)
    ]
    head = json.dumps(
        {
            "inputs": described,
            "outputs": [{"name": name} for name in outputs],
            "parameters": {"binary_data_output": True, **parameters},
        }
    ).encode()
    return head + b"".join(datas), {HEADER_LENGTH: str(len(head))}


def outputs_of(response):
    """Name to array or list of bytes, from JSON or binary data."""
    assert response.status_code == 200, response.text
    length = response.headers.get(HEADER_LENGTH)
    content = json.loads(response.content[: int(length)] if length else response.content)
    rest, found = response.content[int(length or 0) :], {}
    for output in content["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[output["name"]] = np.array(output["data"]).reshape(output["shape"])
        else:
            dtype = {"FP32": "<f4", "INT32": "<i4", "BYTES": "u1"}[output["datatype"]]
            values = np.frombuffer(rest[:size], dtype)
            found[output["name"]] = values if dtype == "u1" else values.reshape(output["shape"])
            rest = rest[size:]
    return found


def assert_as_predicted(found, predicted):
    probabilities = [each["probability"] for each in predicted["predictions"]]
    segments = [each["probabilities"] for each in predicted["segments"]]
    np.testing.assert_allclose(found["probabilities"], [probabilities], atol=1e-6)
    np.testing.assert_allclose(found["segment_probabilities"], segments, atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-found["logits"])), segments, atol=1e-6)
    np.testing.assert_allclose(found["embedding"], [predicted["embedding"]], atol=1e-6)
    assert found["segment_counts"].tolist() == [len(segments)]


def test_the_server_and_its_health(client):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    told = client.get("/v2").json()
    assert told["name"] == "ecg-fm-serve"
    assert "binary_tensor_data" in told["extensions"]


def test_metadata_fit_what_is_answered(client, whole):
    told = client.get("/v2/models/demo").json()
    answer = ask(client, signal_input(whole.signal_mv)).json()
    assert [answer["model_name"], answer["model_version"]] == ["demo", *told["versions"]]
    declared = {each["name"]: each for each in told["outputs"]}
    assert [each["name"] for each in answer["outputs"]] == list(declared)
    for output in answer["outputs"]:
        shape = declared[output["name"]]["shape"]
        assert output["datatype"] == declared[output["name"]]["datatype"]
        assert all(d in (-1, length) for d, length in zip(shape, output["shape"], strict=True))
    config = client.get("/v2/models/demo/config").json()
    assert config["parameters"]["labels"]["string_value"].split(",")[1] == "Sinus rhythm"
    assert [each["name"] for each in config["input"]] == ["signal", "recording", "segments"]


def test_every_input_is_answered_as_v1_predict_does(client, whole, predicted, dicom_bytes):
    raw = struct.pack("<I", len(dicom_bytes)) + dicom_bytes
    body, headers = binary(
        [{"name": "recording", "shape": [1], "datatype": "BYTES"}], [raw], outputs=()
    )
    of_file = outputs_of(client.post(INFER, content=body, headers=headers))
    of_signal = outputs_of(ask(client, signal_input(whole.signal_mv)))
    assert_as_predicted(of_file, predicted)
    assert_as_predicted(of_signal, predicted)
    segments = prepare(whole).segments
    body, headers = binary(
        [{"name": "segments", "shape": list(segments.shape), "datatype": "FP32"}],
        [segments.tobytes()],
        outputs=("probabilities", "embedding", "segment_counts"),
    )
    of_segments = outputs_of(client.post(INFER, content=body, headers=headers))
    np.testing.assert_allclose(
        of_segments["probabilities"],
        [each["probabilities"] for each in predicted["segments"]],
        atol=1e-6,
    )
    mean = of_segments["embedding"].mean(axis=0)
    np.testing.assert_allclose(mean, predicted["embedding"], atol=1e-5)
    assert of_segments["segment_counts"].tolist() == [1, 1]


def test_the_result_is_that_of_v1_predict(client, predicted, dicom_bytes, whole):
    raw = struct.pack("<I", len(dicom_bytes)) + dicom_bytes
    recording = {"name": "recording", "shape": [1], "datatype": "BYTES"}
    body, headers = binary([recording], [raw], outputs=("result",))
    item = outputs_of(client.post(INFER, content=body, headers=headers))["result"].tobytes()
    result = json.loads(item[4:])
    assert result["analysis"] == predicted["analysis"]
    assert result["recording"] == predicted["recording"]
    assert result["predictions"] == predicted["predictions"]
    answer = ask(client, signal_input(whole.signal_mv), outputs=[{"name": "result"}]).json()
    (text,) = answer["outputs"][0]["data"]
    assert len(json.loads(text)["recording"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("datatype", "dtype", "per_mv", "parameters"),
    [
        ("FP32", "<f4", 1, {}),
        ("FP64", "<f8", 1, {}),
        ("FP16", "<f2", 1, {}),
        ("INT16", "<i2", 1000, {"units": "uV"}),
        ("INT32", "<i4", 1000, {"units": "uV"}),
    ],
)
def test_datatypes_of_signals(client, whole, predicted, datatype, dtype, per_mv, parameters):
    signal = (whole.signal_mv * per_mv).round(0 if per_mv > 1 else 6).astype(dtype)
    described = {"name": "signal", "shape": list(signal.shape), "datatype": datatype}
    body, headers = binary([described], [signal.tobytes()], fs_hz=1000, **parameters)
    found = outputs_of(client.post(INFER, content=body, headers=headers))
    wanted = [each["probability"] for each in predicted["predictions"]]
    np.testing.assert_allclose(found["probabilities"], [wanted], atol=0.02)
    if datatype.startswith("INT"):
        values = signal.ravel().tolist()
        entry = {**described, "data": values, "parameters": {"fs_hz": 1000, **parameters}}
        of_json = outputs_of(ask(client, entry))
        np.testing.assert_allclose(of_json["probabilities"], found["probabilities"], atol=1e-6)


def test_nested_data_leads_and_missing_leads(client, sinus_mv):
    two = {
        **signal_input(sinus_mv[:2], fs_hz=500, leads="II, I", missing_leads="zero"),
        "data": sinus_mv[:2].tolist(),
    }
    swapped = signal_input(sinus_mv[1::-1], fs_hz=500, leads="I,II", missing_leads="zero")
    one, other = (outputs_of(ask(client, each)) for each in (two, swapped))
    np.testing.assert_allclose(one["logits"], other["logits"], atol=1e-6)


def test_parameters_of_the_request_count_unless_the_tensor_has_them(client, sinus_mv):
    entry = signal_input(sinus_mv, fs_hz=500)
    of_tensor = outputs_of(ask(client, entry, parameters={"fs_hz": 1000, "timeout": 7}))
    del entry["parameters"]
    of_request = outputs_of(ask(client, entry, parameters={"fs_hz": 500, "priority": 1}))
    np.testing.assert_array_equal(of_tensor["logits"], of_request["logits"])


def test_batches_of_signals_and_of_recordings(client, sinus_mv, dicom_bytes, as_npy):
    batch = np.stack([sinus_mv, sinus_mv[:, ::-1], -sinus_mv])
    found = outputs_of(ask(client, signal_input(batch, fs_hz=500)))
    assert found["probabilities"].shape == (3, 17)
    assert found["segment_counts"].tolist() == [2, 2, 2]
    alone = outputs_of(ask(client, signal_input(batch[1], fs_hz=500)))
    np.testing.assert_allclose(found["probabilities"][1], alone["probabilities"][0], atol=1e-6)
    items = [dicom_bytes, as_npy(sinus_mv[:, :2500])]
    raw = b"".join(struct.pack("<I", len(item)) + item for item in items)
    described = [{"name": "recording", "shape": [2], "datatype": "BYTES"}]
    body, headers = binary(described, [raw], outputs=("segment_counts",))
    refused = client.post(INFER, content=body, headers=headers)
    assert (refused.status_code, refused.json()["index"]) == (400, 1)
    assert refused.json()["error"].startswith("Recording 1 of 2: ")


def test_text_recordings_go_as_json_strings(client, sinus_mv):
    leads = dict(zip(STANDARD_LEADS, sinus_mv.round(4).tolist(), strict=True))
    text = json.dumps({"fs_hz": 500, "units": "mV", "leads": leads})
    entry = {"name": "recording", "shape": [1], "datatype": "BYTES", "data": [text]}
    as_text = outputs_of(ask(client, entry, outputs=[{"name": "probabilities"}]))
    as_signal = outputs_of(ask(client, signal_input(sinus_mv.round(4), fs_hz=500)))
    np.testing.assert_allclose(as_text["probabilities"], as_signal["probabilities"], atol=1e-5)


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_compressed_both_ways(client, sinus_mv, coding, compress):
    described = [{"name": "signal", "shape": list(sinus_mv.shape), "datatype": "FP32"}]
    body, headers = binary(described, [sinus_mv.tobytes()], ("probabilities", "result"), fs_hz=500)
    plain = client.post(INFER, content=body, headers={**headers, "Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    headers |= {"Content-Encoding": coding, "Accept-Encoding": f"{coding}, br"}
    response = client.post(INFER, content=compress(body), headers=headers)
    assert response.headers["content-encoding"] == coding
    assert int(response.headers["content-length"]) < len(plain.content)
    np.testing.assert_array_equal(
        outputs_of(response)["probabilities"], outputs_of(plain)["probabilities"]
    )


def test_each_output_says_whether_it_is_binary(client, sinus_mv):
    wanted = [
        {"name": "logits", "parameters": {"binary_data": True}},
        {"name": "probabilities", "parameters": {"binary_data": False}},
    ]
    response = ask(client, signal_input(sinus_mv, fs_hz=500), outputs=wanted, id="42")
    head = json.loads(response.content[: int(response.headers[HEADER_LENGTH])])
    assert head["id"] == "42"
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 2 * 17 * 4}
    assert len(head["outputs"][1]["data"]) == 17
    assert list(outputs_of(response)) == ["logits", "probabilities"]


def test_statistics_count_rows_and_requests(client, sinus_mv):
    def stats():
        (told,) = client.get("/v2/models/demo/stats").json()["model_stats"]
        return told

    before = stats()
    ask(client, signal_input(np.stack([sinus_mv] * 2), fs_hz=500))
    after = stats()
    assert after["inference_count"] == before["inference_count"] + 2
    assert after["execution_count"] == before["execution_count"] + 1
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert client.get("/v2/models/stats").json()["model_stats"] == [after]


def test_models_are_listed_and_not_loaded_by_requests(client):
    (listed,) = client.post("/v2/repository/index", json={}).json()
    assert (listed["name"], listed["state"]) == ("demo", "READY")
    for what in ("load", "unload"):
        refused = client.post(f"/v2/repository/models/demo/{what}", json={})
        assert refused.status_code == 400
        assert "not loaded or unloaded" in refused.json()["error"]
        assert client.post(f"/v2/repository/models/x/{what}").status_code == 404


@pytest.fixture(scope="module")
def revisions(tmp_path_factory, write_tiny):
    """A client of two revisions of `ecg`, and of the hub's kind of name beside the demo."""
    folder = tmp_path_factory.mktemp("models")
    paths = [write_tiny(folder / name, seed) for seed, name in enumerate(("one/ecg", "two/ecg"))]
    settings = load_settings(models=paths)
    app = create_app(Pipeline(settings, InProcessModel(registry_of(settings))), settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_versions_are_revisions(revisions, sinus_mv):
    listed = revisions.post("/v2/repository/index").json()
    versions = [each["version"] for each in listed if each["name"] == "ecg"]
    assert len(set(versions)) == 2
    entry = signal_input(sinus_mv, fs_hz=500)
    for version in versions:
        for path in (f"ecg/versions/{version}", f"ecg%40{version[:8]}", f"ecg@{version}"):
            assert revisions.get(f"/v2/models/{path}/ready").json() == {
                "name": "ecg",
                "ready": True,
            }
            assert revisions.get(f"/v2/models/{path}").json()["versions"] == [version]
            answer = ask(revisions, entry, path=f"/v2/models/{path}/infer").json()
            assert (answer["model_name"], answer["model_version"]) == ("ecg", version)
    for path in ("ecg/versions/0000000", "ecg/versions/ab", "ecg@0000000", "other", "a/b@c"):
        for tail in ("", "/ready", "/config", "/stats"):
            missing = revisions.get(f"/v2/models/{path}{tail}")
            assert (missing.status_code, missing.json()["code"]) == (404, "model_not_found")
        assert ask(revisions, entry, path=f"/v2/models/{path}/infer").status_code == 404


class HubNamed:
    """An engine under a name of the Hub's kind."""

    def __init__(self, engine):
        self._engine = engine
        self.info = replace(engine.info, name="wanglab/ecg-fm")
        self.warm, self.predict = engine.warm, engine.predict


def test_names_with_slashes(settings, sinus_mv):
    pipeline = Pipeline(settings, InProcessModel(lambda: HubNamed(load_engine(settings))))
    with TestClient(create_app(pipeline, settings), raise_server_exceptions=False) as client:
        for name in ("wanglab/ecg-fm", "wanglab%2Fecg-fm"):
            assert client.get(f"/v2/models/{name}").json()["name"] == "wanglab/ecg-fm"
            path = f"/v2/models/{name}/infer"
            answer = ask(client, signal_input(sinus_mv, fs_hz=500), path=path).json()
            assert answer["model_name"] == "wanglab/ecg-fm"


def unloadable():
    raise CheckpointError("Its files are gone.")


@pytest.mark.parametrize(("when_model_fails", "ready"), [("refuse", 503), ("signal_only", 200)])
def test_while_the_model_is_not_there(sinus_mv, when_model_fails, ready):
    settings = load_settings(when_model_fails=when_model_fails)
    app = create_app(Pipeline(settings, InProcessModel(unloadable)), settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == ready
        response = ask(client, signal_input(sinus_mv, fs_hz=500))
    assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
    assert response.json()["error"]
    assert int(response.headers["retry-after"]) > 0


def test_the_example_of_the_description_works(client):
    described = client.get("/openapi.json").json()["paths"]["/v2/models/{name}/infer"]["post"]
    example = described["requestBody"]["content"]["application/json"]["example"]
    answer = client.post(INFER, json=example)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["shape"] == [1, 17]
