"""What OpenAPI says beyond the handlers: schemas and parameters that all operations share."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serve_app.api.problems import Problem

__all__ = ["RECORDING_SCHEMA", "install"]

_SAMPLES: Final = {"type": "array", "items": {"type": ["number", "null"]}, "minItems": 1}
_COMMON: Final[dict[str, Any]] = {
    "fs_hz": {
        "type": "number",
        "minimum": 1,
        "maximum": 100_000,
        "description": "Samples a second; here or in the query.",
    },
    "units": {"enum": ["mV", "uV"], "description": "Millivolts are taken where nothing says."},
}
RECORDING_SCHEMA: Final[dict[str, Any]] = {
    "description": "A recording: leads by name, or a matrix and their names. null: no sample.",
    "anyOf": [
        {
            "type": "object",
            "required": ["leads"],
            "properties": _COMMON
            | {"leads": {"type": "object", "additionalProperties": _SAMPLES, "minProperties": 1}},
            "additionalProperties": False,
        },
        {
            "type": "object",
            "required": ["signal"],
            "properties": _COMMON
            | {
                "lead_names": {"type": "array", "items": {"type": "string"}},
                "signal": {"type": "array", "items": _SAMPLES, "minItems": 1, "maxItems": 256},
            },
            "additionalProperties": False,
        },
    ],
}
_PARAMETERS: Final[dict[str, Any]] = {
    "Timeout": {
        "name": "X-Request-Timeout-Seconds",
        "in": "header",
        "description": "No answer later than this: 504. Settings may allow less; a batch is one "
        "request.",
        "schema": {"type": "string", "pattern": "^(?=.*[1-9])[0-9]{1,6}(\\.[0-9]{1,6})?$"},
        "example": "30",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same request with the same key gets the same answer, from one replica.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,255}$"},
        "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "ETags of answers that are there already: 304 where it is one.",
        "schema": {"type": "string", "pattern": '^"[!#-~]{1,64}"$'},
        "example": '"33a64df551425fcc55e4d42a148795d9"',
    },
}
_TAGS: Final = [
    {"name": "Recordings", "description": "One recording, or many, and what is found in it."},
    {"name": "Models", "description": "What can be asked."},
    {"name": "Operation", "description": "For whoever runs the server."},
]


def install(app: FastAPI, lines: Sequence[type[BaseModel]]) -> None:
    """Have /openapi.json say all of it.

    Args:
        app: With all its routes.
        lines: Models of bodies that OpenAPI 3.1 has no words for, as they are streamed.
    """
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(described(), lines)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(schema: dict[str, Any], lines: Sequence[type[BaseModel]]) -> None:
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    models: list[type[BaseModel]] = [Problem, *lines]
    _, more = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    schemas.update(more["$defs"])
    components["parameters"] = _PARAMETERS
    schema["tags"] = _TAGS
    for operation in _operations(schema):
        _drop_validation_error(operation)
    # Ours is 400, as a problem.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


def _operations(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in schema["paths"].values():
        yield from path.values()


def _drop_validation_error(operation: dict[str, Any]) -> None:
    told = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
    if told.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
        del operation["responses"]["422"]
