"""The description: valid, complete, and every example in it is answered as it says."""

import json
from urllib.parse import urlencode

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

PROBLEM = "application/problem+json"
# A client of the Open Inference Protocol reads the error of no other type.
JSON = "application/json"
# STOW-RS tells what failed in a document of its own.
DICOM_JSON = "application/dicom+json"


@pytest.fixture(scope="module")
def described(client):
    return client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def operations(described):
    return {
        (method, path): operation
        for path, item in described["paths"].items()
        for method, operation in item.items()
    }


def test_it_is_valid_openapi_3_1(described):
    assert described["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(described).iter_errors()] == []


def test_every_reference_leads_somewhere(described):
    for found in references(described):
        place = described
        for name in found.removeprefix("#/").split("/"):
            place = place[name]


def references(part):
    if isinstance(part, dict):
        yield from [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_operation_is_described_in_full(operations):
    assert len(operations) >= 9
    for (method, path), operation in operations.items():
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path
        answered = operation["responses"].get("200", {"description": "Never."})
        assert (
            answered["description"] != "Successful Response"
            or method == "get"
            or path.startswith("/v2")
        )
        for status, response in operation["responses"].items():
            assert response["description"], (path, status)
            if status >= "400":
                kinds = {JSON} if path.startswith("/v2") else {PROBLEM, DICOM_JSON}
                assert set(response["content"]) <= kinds, (path, status)
        assert {"400", "500"} <= operation["responses"].keys(), path
        if "requestBody" in operation:
            told = {"406", "413", "415", "503", "504"} | (
                set() if path.startswith("/v2") else {"422"}
            )
            assert told <= operation["responses"].keys(), path


def resolved(described, schema):
    return {**schema, "components": described["components"]}


def shown_parameters(described, operation, revision):
    """(where, name, example) of each parameter that has one; a version is this model's own."""
    for parameter in operation.get("parameters", []):
        name = parameter.get("$ref", "").rpartition("/")[2]
        told = described["components"]["parameters"][name] if name else parameter
        several = told["schema"].get("examples", []) or list(told.get("examples", {}))
        shown = told.get("example", several[0] if several else None)
        if told["name"] == "version":
            shown = revision
        assert shown or told["in"] != "path", f"{told['name']} has no example"
        if shown:
            yield told["in"], told["name"], shown


def examples(described, operations, dicom_bytes, revision):
    """Every request that is shown: method, path, query, headers, type and body, its operation.

    What takes nothing that text can show gets a real DICOM file.
    """
    for (method, path), operation in operations.items():
        if "200" not in operation["responses"]:
            continue  # the protocol's loading of models, which is always refused
        query, headers, address = {}, {}, path
        for place, name, shown in shown_parameters(described, operation, revision):
            if place == "path":
                address = address.replace("{" + name + "}", shown)
            else:
                (query if place == "query" else headers)[name] = shown
        content = operation.get("requestBody", {}).get("content", {})
        bodies = {kind: each["example"] for kind, each in content.items() if "example" in each}
        if not bodies and "application/dicom" in content:
            bodies = {"application/dicom": dicom_bytes}
        assert bodies or not content, f"{path} has no example"
        for kind, body in bodies.items() or [(None, None)]:
            address = f"{address}?{urlencode(query)}" if query else address
            yield method, address, kind, body, headers, operation


def test_every_example_is_answered_as_described(client, described, operations, dicom_bytes):
    tried = set()
    revision = client.get("/v1/models/demo").json()["revision"]
    for method, address, kind, body, headers, operation in examples(
        described, operations, dicom_bytes, revision
    ):
        content = json.dumps(body) if isinstance(body, (dict, list)) else body
        sent = headers | ({"Content-Type": kind} if kind else {})
        sent.pop("Idempotency-Key", None)
        response = client.request(method, address, content=content, headers=sent)
        assert response.status_code == 200, (address, kind, response.text)
        answered_as_described(described, operation, response)
        tried.add((method, address.partition("?")[0], kind))
    assert len(tried) >= 25
    assert ("post", "/v1/analyze", "text/csv") in tried


def answered_as_described(described, operation, response):
    kind = response.headers["content-type"].partition(";")[0]
    content = operation["responses"][str(response.status_code)]["content"]
    assert kind in content, f"{kind} is not described"
    if kind == "application/x-ndjson":
        schema = resolved(described, {"$ref": "#/components/schemas/BatchLine"})
        for line in response.text.splitlines():
            jsonschema.validate(json.loads(line), schema)
            assert "result" in json.loads(line)
    elif kind == "application/json":
        jsonschema.validate(response.json(), resolved(described, content[kind]["schema"]))


def test_examples_of_answers_fit_their_schemas(described, operations):
    shown = 0
    for operation in operations.values():
        for kind, each in operation["responses"].get("200", {}).get("content", {}).items():
            if "example" in each and kind == "application/json":
                shown += 1
                jsonschema.validate(each["example"], resolved(described, each["schema"]))
    assert shown >= 2


def test_examples_of_bodies_fit_their_schemas(described, operations):
    for operation in operations.values():
        content = operation.get("requestBody", {}).get("content", {})
        shown = content.get("application/json", {})
        if "example" in shown:
            jsonschema.validate(shown["example"], resolved(described, shown["schema"]))


def test_every_problem_has_the_described_form(client, described, dicom_bytes):
    schema = resolved(described, {"$ref": "#/components/schemas/Problem"})
    for response in (
        client.get("/nothing"),
        client.get("/v1/predict"),
        client.post("/v1/predict", content=b""),
        client.post("/v1/predict?fs_hz=x", content=dicom_bytes),
        client.post("/v1/predict", json={"fs_hz": "x"}),
    ):
        assert response.headers["content-type"] == PROBLEM
        jsonschema.validate(response.json(), schema)


@pytest.mark.slow
def test_requests_made_up_from_the_description(repo_root, tmp_path, server):
    """Schemathesis against a live server: see docs/http.md for the same command by hand."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file",
         str(repo_root / "tests" / "api" / "schemathesis.toml"), "run", f"{server}/openapi.json",
         "--max-examples", "25", "--seed", "7"],
        cwd=tmp_path, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
