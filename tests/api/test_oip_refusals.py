"""/v2 in this process: what is wrong is told, in JSON with an `error`, before it costs anything."""

import json
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.settings import load_settings

HEADER_LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/demo/infer"
SIGNAL = {"name": "signal", "shape": [12, 2500], "datatype": "FP32", "parameters": {"fs_hz": 500}}
FILE = {"name": "recording", "shape": [1], "datatype": "BYTES"}
SEGMENTS = {"name": "segments", "shape": [1, 12, 2500], "datatype": "FP32"}
FLOATS = np.linspace(-1, 1, 30000).tolist()
RAW = np.linspace(-1, 1, 30000, dtype="<f4").tobytes()


@pytest.fixture(scope="module")
def client(pipeline, settings):
    with TestClient(create_app(pipeline, settings), raise_server_exceptions=False) as client:
        yield client


def as_json(**members):
    return json.dumps(members).encode(), {}


def as_binary(described, data, **members):
    parameters = {"binary_data_size": len(data)} | described.get("parameters", {})
    entry = described | {"parameters": parameters}
    head = json.dumps({"inputs": [entry], **members}).encode()
    return head + data, {HEADER_LENGTH: str(len(head))}


def with_header(message, length):
    return message[0], {HEADER_LENGTH: length}


def with_samples(*special):
    values = np.frombuffer(RAW, "<f4").copy()
    values[: len(special)] = special
    return values.tobytes()


REFUSED = {
    "no JSON": ((b"", {}), "invalid_format"),
    "cut short": ((b'{"inputs": [', {}), "invalid_format"),
    "NaN in JSON": (
        (b'{"inputs": [{"name": "signal", "shape": [1], "datatype": "FP32", "data": [NaN]}]}', {}),
        "invalid_format",
    ),
    "an array": ((b"[]", {}), "schema_violation"),
    "nested": ((b'{"inputs": ' + b"[" * 150_000 + b"]" * 150_000 + b"}", {}), "schema_violation"),
    "data as parameters": (
        as_json(inputs=[SIGNAL | {"parameters": FLOATS}]),
        "schema_violation",
    ),
    "no data": (as_json(inputs=[SIGNAL | {"data": None}]), "schema_violation"),
    "a null beside the data": (
        as_json(inputs=[SIGNAL | {"data": FLOATS, "datatype": None}]),
        "schema_violation",
    ),
    "numbers for a file": (as_json(inputs=[FILE | {"data": FLOATS}]), "invalid_parameter"),
    "an unknown member": (
        as_json(inputs=[SIGNAL | {"data": FLOATS}], output=[]),
        "schema_violation",
    ),
    "no inputs": (as_json(id="7"), "schema_violation"),
    "inputs of another kind": (as_json(inputs=[7]), "schema_violation"),
    "an input without name": (as_json(inputs=[{"shape": [1]}]), "schema_violation"),
    "an input twice": (as_json(inputs=[SIGNAL | {"data": FLOATS}] * 2), "invalid_parameter"),
    "an input without data": (as_json(inputs=[SIGNAL]), "schema_violation"),
    "an id that is a number": (as_json(id=7, inputs=[]), "schema_violation"),
    "a nested parameter": (
        as_json(inputs=[SIGNAL | {"data": FLOATS, "parameters": {"fs_hz": [500]}}]),
        "schema_violation",
    ),
    "no input at all": (as_json(inputs=[]), "invalid_parameter"),
    "an unknown input": (
        as_json(inputs=[SIGNAL | {"name": "ecg", "data": FLOATS}]),
        "invalid_parameter",
    ),
    "two inputs": (
        as_json(inputs=[SIGNAL | {"data": FLOATS}, FILE | {"data": ["x"]}]),
        "invalid_parameter",
    ),
    "an unknown output": (
        as_json(inputs=[SIGNAL | {"data": FLOATS}], outputs=[{"name": "label"}]),
        "invalid_parameter",
    ),
    "an output twice": (
        as_json(inputs=[SIGNAL | {"data": FLOATS}], outputs=[{"name": "logits"}] * 2),
        "invalid_parameter",
    ),
    "a result of segments": (
        as_json(inputs=[SEGMENTS | {"data": FLOATS}], outputs=[{"name": "result"}]),
        "invalid_parameter",
    ),
    "classification": (
        as_json(
            inputs=[SIGNAL | {"data": FLOATS}],
            outputs=[{"name": "logits", "parameters": {"classification": 3}}],
        ),
        "bad_request",
    ),
    "shared memory": (
        as_json(inputs=[SIGNAL | {"parameters": {"shared_memory_region": "r"}}]),
        "bad_request",
    ),
    "an unknown parameter": (
        as_json(inputs=[SIGNAL | {"data": FLOATS}], parameters={"fs": 500}),
        "invalid_parameter",
    ),
    "a rate below zero": (
        as_json(inputs=[SIGNAL | {"data": FLOATS, "parameters": {"fs_hz": -1}}]),
        "invalid_parameter",
    ),
    "a model beside the path's": (
        as_json(inputs=[SIGNAL | {"data": FLOATS}], parameters={"model": "demo"}),
        "invalid_parameter",
    ),
    "a rate of segments": (
        as_binary(SEGMENTS, RAW, parameters={"fs_hz": 500}),
        "invalid_parameter",
    ),
    "another precision": (
        as_json(inputs=[SIGNAL | {"data": FLOATS}], parameters={"precision": "int8"}),
        "invalid_parameter",
    ),
    "an unknown datatype": (
        as_json(inputs=[SIGNAL | {"datatype": "FP128", "data": FLOATS}]),
        "invalid_parameter",
    ),
    "FP16 in JSON": (
        as_json(inputs=[SIGNAL | {"datatype": "FP16", "data": FLOATS}]),
        "invalid_parameter",
    ),
    "samples as BYTES": (
        as_json(inputs=[SIGNAL | {"shape": [1], "datatype": "BYTES", "data": ["1"]}]),
        "invalid_parameter",
    ),
    "a file as numbers": (
        as_json(inputs=[FILE | {"datatype": "FP32", "data": [1.0]}]),
        "invalid_parameter",
    ),
    "a negative length": (
        as_json(inputs=[SIGNAL | {"shape": [-1, 2500], "data": FLOATS}]),
        "invalid_parameter",
    ),
    "a broken length": (
        as_json(inputs=[SIGNAL | {"shape": [12.0, 2500], "data": FLOATS}]),
        "schema_violation",
    ),
    "a true length": (
        as_json(inputs=[SIGNAL | {"shape": [True, 30000], "data": FLOATS}]),
        "schema_violation",
    ),
    "a shape without end": (
        as_json(inputs=[SIGNAL | {"shape": [1] * 1000, "data": FLOATS}]),
        "invalid_parameter",
    ),
    "a scalar": (as_json(inputs=[SIGNAL | {"shape": [], "data": [1]}]), "invalid_parameter"),
    "strings": (as_json(inputs=[SIGNAL | {"data": ["1"] * 30000}]), "invalid_parameter"),
    "null": (as_json(inputs=[SIGNAL | {"data": [None] * 30000}]), "schema_violation"),
    "one string": (as_json(inputs=[SIGNAL | {"data": "1" * 30000}]), "schema_violation"),
    "a number": (as_json(inputs=[SIGNAL | {"data": 1}]), "schema_violation"),
    "ragged rows": (
        as_json(inputs=[SIGNAL | {"data": [FLOATS[:2500]] * 11 + [FLOATS[:2499]]}]),
        "invalid_parameter",
    ),
    "rows of other lengths": (
        as_json(inputs=[SIGNAL | {"data": [FLOATS[:12]] * 2500}]),
        "invalid_parameter",
    ),
    "a number beyond float64": (
        as_json(inputs=[SIGNAL | {"data": [10**400, *FLOATS[1:]]}]),
        "schema_violation",
    ),
    "a number beyond INT16": (
        as_json(inputs=[SIGNAL | {"datatype": "INT16", "data": [40000] * 30000}]),
        "invalid_parameter",
    ),
    "halves as INT16": (
        as_json(inputs=[SIGNAL | {"datatype": "INT16", "data": FLOATS}]),
        "invalid_parameter",
    ),
    "files that are no strings": (as_json(inputs=[FILE | {"data": [7]}]), "invalid_parameter"),
    "too many files": (
        as_json(inputs=[FILE | {"shape": [2000], "data": ["x"] * 2000}]),
        "invalid_parameter",
    ),
    "too few numbers": (as_json(inputs=[SIGNAL | {"data": FLOATS[1:]}]), "corrupted_data"),
    "too few files": (as_json(inputs=[FILE | {"shape": [2], "data": ["x"]}]), "corrupted_data"),
    "too few bytes": (as_binary(SIGNAL, RAW[4:]), "corrupted_data"),
    "bytes that nobody claims": (
        as_binary(SIGNAL | {"parameters": {"binary_data_size": len(RAW) - 4}}, RAW),
        "corrupted_data",
    ),
    "a size beyond the body": (
        as_binary(SIGNAL | {"parameters": {"binary_data_size": 10**9}}, RAW),
        "corrupted_data",
    ),
    "a size below zero": (
        as_binary(SIGNAL | {"parameters": {"binary_data_size": -4}}, RAW),
        "corrupted_data",
    ),
    "a header beyond the body": (
        with_header(as_binary(SIGNAL, RAW), "999999999"),
        "corrupted_data",
    ),
    "a header within the JSON": (with_header(as_binary(SIGNAL, RAW), "20"), "invalid_format"),
    "a header of words": (with_header(as_binary(SIGNAL, RAW), "all"), "invalid_parameter"),
    "a header without end": (with_header(as_binary(SIGNAL, RAW), "9" * 30), "invalid_parameter"),
    "an element beyond the data": (
        as_binary(FILE, struct.pack("<I", 2**32 - 1) + b"x"),
        "corrupted_data",
    ),
    "elements that are not there": (as_binary(FILE, b"\0\0"), "corrupted_data"),
    "data behind the last element": (
        as_binary(FILE, struct.pack("<I", 1) + b"xy"),
        "corrupted_data",
    ),
    "an empty file": (as_json(inputs=[FILE | {"data": [""]}]), "invalid_format"),
    "no file": (as_json(inputs=[FILE | {"shape": [0], "data": []}]), "invalid_signal"),
    "text that is no recording": (as_json(inputs=[FILE | {"data": ["hello"]}]), "invalid_format"),
    "no signal": (as_json(inputs=[SIGNAL | {"shape": [0, 12, 1], "data": []}]), "invalid_signal"),
    "no samples": (as_json(inputs=[SIGNAL | {"shape": [12, 0], "data": []}]), "invalid_signal"),
    "one dimension": (
        as_json(inputs=[SIGNAL | {"shape": [30000], "data": FLOATS}]),
        "invalid_signal",
    ),
    "NaN": (as_binary(SIGNAL, with_samples(np.nan)), "invalid_signal"),
    "infinity": (as_binary(SIGNAL, with_samples(-np.inf)), "invalid_signal"),
    "beyond float32": (as_json(inputs=[SIGNAL | {"data": [1e300, *FLOATS[1:]]}]), "invalid_signal"),
    "NaN in segments": (as_binary(SEGMENTS, with_samples(np.nan)), "invalid_signal"),
    "no segments": (
        as_json(inputs=[SEGMENTS | {"shape": [0, 12, 2500], "data": []}]),
        "invalid_signal",
    ),
    "segments of another length": (
        as_json(inputs=[SEGMENTS | {"shape": [1, 12, 2499], "data": FLOATS[:29988]}]),
        "invalid_signal",
    ),
    "segments as whole numbers": (
        as_json(inputs=[SEGMENTS | {"datatype": "INT16", "data": [1] * 30000}]),
        "invalid_signal",
    ),
    "no rate": (
        as_json(inputs=[SIGNAL | {"data": FLOATS, "parameters": {}}]),
        "missing_parameter",
    ),
    "whole numbers without units": (
        as_json(inputs=[SIGNAL | {"datatype": "INT16", "data": [1] * 30000}]),
        "missing_parameter",
    ),
    "leads without names": (
        as_json(inputs=[SIGNAL | {"shape": [10, 3000], "data": FLOATS}]),
        "missing_parameter",
    ),
    "a count of samples beyond all": (
        as_json(inputs=[SIGNAL | {"shape": [2**62, 2**62], "data": FLOATS}]),
        "payload_too_large",
    ),
    "samples that are not there": (
        as_binary(SIGNAL | {"shape": [12, 5 * 10**6]}, RAW),
        "corrupted_data",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_told(client, what):
    (body, headers), code = REFUSED[what]
    tracemalloc.start()
    response = client.post(INFER, content=body, headers=headers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    problem = response.json()
    assert (problem["code"], response.status_code) == (code, problem["status"])
    assert 400 <= response.status_code < 500
    assert problem["error"] == problem["detail"]
    # What the kserve client looks for before it reads the error.
    assert response.headers["content-type"] == "application/json"
    assert peak < 30 << 20


def test_bodies_beyond_the_limits(pipeline):
    settings = load_settings(max_body_mb=1, max_unpacked_mb=2)
    with TestClient(create_app(pipeline, settings), raise_server_exceptions=False) as client:
        sent = client.post(INFER, content=bytes(3 << 20))
        bomb = zlib.compress(bytes(64 << 20))
        inflated = client.post(INFER, content=bomb, headers={"Content-Encoding": "deflate"})
        coded = client.post(INFER, content=b"{}", headers={"Content-Encoding": "br"})
    assert [each.status_code for each in (sent, inflated, coded)] == [413, 413, 415]
    assert all(each.json()["error"] for each in (sent, inflated, coded))


def test_paths_and_methods_that_are_not_there(client):
    wrong = [
        client.get(INFER),
        client.post("/v2/models/demo"),
        client.get("/v2/nothing"),
        client.post("/v2/systemsharedmemory/unregister"),
    ]
    assert [each.status_code for each in wrong] == [405, 405, 404, 404]
    assert wrong[0].headers["allow"] == "OPTIONS, POST"
    assert all(each.json()["error"] for each in wrong)


def test_a_full_house(pipeline):
    settings = load_settings(max_ongoing_requests=1)
    app = create_app(pipeline, settings)
    with TestClient(app) as client, app.state.services.admission.enter():
        response = client.post(INFER, content=REFUSED["strings"][0][0])
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_damaged_requests_never_fail_the_server(client, dicom_bytes):
    random = np.random.default_rng(5)
    item = struct.pack("<I", len(dicom_bytes)) + dicom_bytes
    messages = [as_binary(SIGNAL, RAW), as_binary(SEGMENTS, RAW), as_binary(FILE, item)]
    statuses = []
    for number in range(300):
        body, headers = messages[number % 3]
        damaged = bytearray(body)
        # Mostly where the JSON is, and the first lengths.
        for place in random.integers(0, int(headers[HEADER_LENGTH]) + 8, random.integers(1, 6)):
            damaged[place] = random.integers(256)
        sent = bytes(damaged[: random.integers(len(damaged))] if number % 5 == 0 else damaged)
        response = client.post(INFER, content=sent, headers=headers)
        statuses.append(response.status_code)
        if response.status_code != 200:
            assert response.json()["error"]
    assert max(statuses) < 500
    assert len(set(statuses)) >= 2
