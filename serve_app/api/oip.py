"""/v2: the Open Inference Protocol over HTTP, for unmodified `tritonclient` and `kserve`."""

import time
import zlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import Headers

from serve_app.api.bodies import read_body
from serve_app.api.declarations import BINARY, JSON, PRIVATE, PROBLEMS, Services, ServicesOf
from serve_app.api.examples import PREDICT_EXAMPLE
from serve_app.api.oip_inference import infer, limits_of
from serve_app.api.oip_messages import HEADER_LENGTH, Message, parse_message, write_message
from serve_app.api.oip_models import EXTENSIONS, SERVER, ServedModel, find_model, served_models
from serve_app.api.problems import problem_response
from serve_app.errors import EcgServeError, RequestError

__all__ = ["oip_router"]

# A shorter answer is not worth compressing.
_LEAST_COMPRESSED: Final = 1400


class _Route(APIRoute):
    """Problems as plain JSON: the kserve client reads the `error` of no other media type."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except EcgServeError as error:
                response = problem_response(error, request.scope)
                response.headers["Content-Type"] = JSON
                return response

        return answer


_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "description": problem["description"],
        "content": {JSON: next(iter(problem["content"].values()))},
    }
    for status, problem in PROBLEMS.items()
}
# Bottom up: a path with a version is tried before the one that would take it for a name.
_ASKED: Final[dict[int | str, dict[str, Any]]] = {
    status: _PROBLEMS[status] for status in (400, 404, 500, 503)
}
oip_router = APIRouter(route_class=_Route, tags=["Open Inference Protocol"])

Name = Annotated[str, Path(description="NAME or NAME@REVISION.", examples=["demo"])]


class _ModelName(Convertor[str]):
    """Names have slashes: all that is behind /v2/models/, but for another method's path."""

    regex = r"(?!.*/infer$).+"

    def convert(self, value: str) -> str:
        """As it stands."""
        return value

    def to_string(self, value: str) -> str:
        """As it stands."""
        return value


register_url_convertor("model_name", _ModelName())
_METADATA: Final = "/v2/models/{name:model_name}"
_MODEL: Final = "/v2/models/{name:path}"
_VERSION: Final = "/v2/models/{name:path}/versions/{version}"


@oip_router.get("/v2", summary="Server metadata", responses=_ASKED)
async def server() -> dict[str, Any]:
    """Name, version and which extensions of the protocol are offered."""
    name, version = SERVER
    return {"name": name, "version": version, "extensions": list(EXTENSIONS)}


@oip_router.get("/v2/health/live", summary="Server live", responses=_ASKED)
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@oip_router.get("/v2/health/ready", summary="Server ready", responses=_ASKED)
async def ready(services: ServicesOf) -> dict[str, bool]:
    """The default model is loaded and warm, or settings allow answers without it."""
    await services.pipeline.default_model()
    return {"ready": True}


@oip_router.post("/v2/repository/index", summary="Models", responses=_ASKED)
async def index(services: ServicesOf) -> list[dict[str, str]]:
    """Every model that can be asked, the default first; what a body says is not looked at."""
    return [_indexed(model) for model in await served_models(services.pipeline)]


@oip_router.post(
    "/v2/repository/models/{name:path}/load",
    summary="Refused",
    status_code=400,
    responses=_ASKED,
)
@oip_router.post(
    "/v2/repository/models/{name:path}/unload",
    summary="Refused",
    status_code=400,
    responses=_ASKED,
)
async def load_or_unload(services: ServicesOf, name: Name) -> None:
    """No request decides what is loaded: models load when they are first asked."""
    await find_model(services.pipeline, name)
    raise RequestError(
        "Models are not loaded or unloaded by requests.",
        hint="ECG_MODELS names what can be asked; `ecg-serve model use` changes the default.",
    )


@oip_router.get("/v2/models/stats", summary="Statistics of all models", responses=_ASKED)
async def all_statistics(services: ServicesOf) -> dict[str, Any]:
    """Counts and times of the replica that answers."""
    models = await served_models(services.pipeline)
    return {"model_stats": [services.statistics.of(each.name, each.version) for each in models]}


@oip_router.get(f"{_MODEL}/stats", summary="Statistics of a model", responses=_ASKED)
@oip_router.get(f"{_VERSION}/stats", summary="Statistics of a version", responses=_ASKED)
async def statistics(services: ServicesOf, name: Name, version: str = "") -> dict[str, Any]:
    """Counts and times of the replica that answers."""
    model = await find_model(services.pipeline, name, version)
    return {"model_stats": [services.statistics.of(model.name, model.version)]}


@oip_router.get(f"{_MODEL}/config", summary="Configuration of a model", responses=_ASKED)
@oip_router.get(f"{_VERSION}/config", summary="Configuration of a version", responses=_ASKED)
async def configuration(services: ServicesOf, name: Name, version: str = "") -> dict[str, Any]:
    """Inputs and outputs in the terms of Triton, and the names of the labels in their order."""
    return (await find_model(services.pipeline, name, version)).configuration()


@oip_router.get(f"{_MODEL}/ready", summary="Model ready", responses=_ASKED)
@oip_router.get(f"{_VERSION}/ready", summary="Version ready", responses=_ASKED)
async def model_ready(services: ServicesOf, name: Name, version: str = "") -> dict[str, Any]:
    """It can be asked; one that is not loaded yet loads with its first question."""
    model = await find_model(services.pipeline, name, version)
    return {"name": model.name, "ready": True}


# What is optional may be null: clients write their unset members so.
_GIVEN: Final = {"type": ["object", "null"]}
_TEXT: Final = {"type": ["string", "null"]}
_TENSOR: Final = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"enum": ["FP16", "FP32", "FP64", "INT16", "INT32", "BYTES"]},
        "parameters": _GIVEN,
        "data": {"type": ["array", "null"]},
    },
}
_WANTED: Final = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "parameters": _GIVEN},
}
_REQUEST: Final = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        "id": _TEXT,
        "model_name": _TEXT,
        "model_version": _TEXT,
        "parameters": _GIVEN,
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": ["array", "null"], "items": _WANTED},
    },
}
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": _REQUEST,
                "example": {
                    "inputs": [
                        {
                            "name": "signal",
                            "shape": [12, 500],
                            "datatype": "FP32",
                            "parameters": {"fs_hz": PREDICT_EXAMPLE["fs_hz"]},
                            "data": list(PREDICT_EXAMPLE["leads"].values()),
                        }
                    ],
                    "outputs": [{"name": "probabilities"}],
                },
            },
            "application/octet-stream": BINARY,
        },
    }
}


@oip_router.post(f"{_MODEL}/infer", summary="Ask a model", responses=_PROBLEMS, openapi_extra=_BODY)
@oip_router.post(
    f"{_VERSION}/infer", summary="Ask a version", responses=_PROBLEMS, openapi_extra=_BODY
)
async def ask(request: Request, services: ServicesOf, name: Name, version: str = "") -> Response:
    """Tensors in, tensors out: as JSON, or as binary data behind the JSON."""
    started_s = time.perf_counter()
    with services.admission.enter():
        message = await _message(request, services, name, version)
        answer = await infer(services, message.request, request.scope["request_id"])
    services.statistics.count(answer, started_s)
    content, length = write_message(message, answer.model, answer.version, answer.outputs)
    return _response(content, length, request.headers)


@oip_router.get(_METADATA, summary="Metadata of a model", responses=_ASKED)
@oip_router.get(_VERSION, summary="Metadata of a version", responses=_ASKED)
async def metadata(services: ServicesOf, name: Name, version: str = "") -> dict[str, Any]:
    """Inputs and outputs: names, datatypes and shapes."""
    return (await find_model(services.pipeline, name, version)).metadata()


def _indexed(model: ServedModel) -> dict[str, str]:
    reason = "" if model.loaded else "loads with its first question"
    return {"name": model.name, "version": model.version, "state": "READY", "reason": reason}


async def _message(request: Request, services: Services, name: str, version: str) -> Message:
    body = await read_body(request, services.settings)
    length = request.headers.get(HEADER_LENGTH)
    # In no thread: decoding JSON keeps the interpreter to itself wherever it is done.
    return parse_message(body, length, name, version, limits_of(services))


def _response(content: bytes, header_length: int | None, asked: Headers) -> Response:
    headers = {**PRIVATE, "Vary": "Accept-Encoding"}
    if header_length is not None:
        headers[HEADER_LENGTH] = str(header_length)
    coding = _coding(asked.get("accept-encoding", ""))
    if coding and len(content) >= _LEAST_COMPRESSED:
        headers["Content-Encoding"] = coding
        bits = zlib.MAX_WBITS | 16 if coding == "gzip" else zlib.MAX_WBITS
        content = zlib.compress(content, 1, bits)
    media_type = JSON if header_length is None else "application/octet-stream"
    return Response(content, headers=headers, media_type=media_type)


def _coding(accepted: str) -> str | None:
    """What the client takes of gzip and deflate, gzip rather."""
    wished = [part.replace(" ", "").lower().partition(";") for part in accepted.split(",")]
    taken = {name for name, _, weight in wished if weight not in ("q=0", "q=0.0", "q=0.00")}
    return next((coding for coding in ("gzip", "deflate") if coding in taken), None)
