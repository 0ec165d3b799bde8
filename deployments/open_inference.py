"""The Open Inference Protocol over gRPC: messages to what HTTP answers alike, errors to codes."""

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import grpc  # type: ignore[import-untyped]
from ray.serve.grpc_util import RayServegRPCContext

from deployments import open_inference_pb2 as messages
from deployments.peers import is_of_this_machine
from serve_app.api.declarations import Services
from serve_app.api.oip_inference import infer, limits_of
from serve_app.api.oip_models import SERVER, find_model
from serve_app.api.oip_tensors import (
    InferAnswer,
    InferRequest,
    Tensor,
    tensor_of_raw,
    tensor_of_texts,
    tensor_of_values,
)
from serve_app.decoding import Limits
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InferenceTimeout,
    InvalidParameter,
    NotFound,
    NotInstalled,
    PayloadTooLarge,
    RecordingError,
    RequestError,
    Unavailable,
)

__all__ = ["InferenceService", "add_to_server"]

_log = logging.getLogger(__name__)
_Message = TypeVar("_Message")
_SERVICE: Final = "inference.GRPCInferenceService"
_METHODS: Final[Mapping[str, tuple[Any, Any]]] = {
    name: (getattr(messages, f"{name}Request"), getattr(messages, f"{name}Response"))
    for name in (
        *("ServerLive", "ServerReady", "ServerMetadata"),
        *("ModelReady", "ModelMetadata", "ModelInfer"),
    )
}
# The first that fits counts.
_CODES: Final[tuple[tuple[type[EcgServeError], grpc.StatusCode], ...]] = (
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (PayloadTooLarge, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (RecordingError, grpc.StatusCode.INVALID_ARGUMENT),
    (RequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
    (InferenceTimeout, grpc.StatusCode.DEADLINE_EXCEEDED),
    (NotInstalled, grpc.StatusCode.UNIMPLEMENTED),
    (EcgServeError, grpc.StatusCode.INTERNAL),
)
_CONTENTS: Final[Mapping[str, str]] = {
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "BYTES": "bytes_contents",
}


def add_to_server(servicer: Any, server: Any) -> None:
    """Register the service; Ray Serve puts its own handlers in the place of the servicer's."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, name),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )
        for name, (request, response) in _METHODS.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))


class InferenceService:
    """Answers messages.

    Args:
        services: Those of the HTTP application: one admission, one set of counts.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def server_live(
        self, request: messages.ServerLiveRequest, context: RayServegRPCContext
    ) -> messages.ServerLiveResponse:
        """The process answers."""
        del request

        async def answer() -> messages.ServerLiveResponse:
            return messages.ServerLiveResponse(live=True)

        return await self._told(answer, context, messages.ServerLiveResponse)

    async def server_ready(
        self, request: messages.ServerReadyRequest, context: RayServegRPCContext
    ) -> messages.ServerReadyResponse:
        """False, and no error, where the default model does not answer."""
        del request

        async def answer() -> messages.ServerReadyResponse:
            try:
                await self._services.pipeline.default_model()
            except Unavailable:
                return messages.ServerReadyResponse(ready=False)
            return messages.ServerReadyResponse(ready=True)

        return await self._told(answer, context, messages.ServerReadyResponse)

    async def server_metadata(
        self, request: messages.ServerMetadataRequest, context: RayServegRPCContext
    ) -> messages.ServerMetadataResponse:
        """Name and version; the extensions that HTTP has are none here."""
        del request

        async def answer() -> messages.ServerMetadataResponse:
            return messages.ServerMetadataResponse(name=SERVER[0], version=SERVER[1])

        return await self._told(answer, context, messages.ServerMetadataResponse)

    async def model_ready(
        self, request: messages.ModelReadyRequest, context: RayServegRPCContext
    ) -> messages.ModelReadyResponse:
        """It can be asked; one that is not loaded yet loads with its first question."""

        async def answer() -> messages.ModelReadyResponse:
            await find_model(self._services.pipeline, request.name, request.version)
            return messages.ModelReadyResponse(ready=True)

        return await self._told(answer, context, messages.ModelReadyResponse)

    async def model_metadata(
        self, request: messages.ModelMetadataRequest, context: RayServegRPCContext
    ) -> messages.ModelMetadataResponse:
        """Inputs and outputs: names, datatypes and shapes."""

        async def answer() -> messages.ModelMetadataResponse:
            model = await find_model(self._services.pipeline, request.name, request.version)
            return messages.ModelMetadataResponse(**model.metadata())

        return await self._told(answer, context, messages.ModelMetadataResponse)

    async def model_infer(
        self, request: messages.ModelInferRequest, context: RayServegRPCContext
    ) -> messages.ModelInferResponse:
        """Tensors in; out they go in binary form."""

        async def answer() -> messages.ModelInferResponse:
            started_s = time.perf_counter()
            with self._services.admission.enter():
                asked = _request(request, limits_of(self._services))
                request_id = context.request_id() or uuid.uuid4().hex
                found = await infer(self._services, asked, request_id)
            self._services.statistics.count(found, started_s)
            return _response(request.id, found)

        return await self._told(answer, context, messages.ModelInferResponse)

    async def _told(
        self,
        answer: Callable[[], Awaitable[_Message]],
        context: RayServegRPCContext,
        empty: Callable[[], _Message],
    ) -> _Message:
        """The answer, or its error as a status: raised, it would be logged with its trace."""
        if self._services.settings.on_loopback and not is_of_this_machine(context.peer()):
            context.set_code(grpc.StatusCode.PERMISSION_DENIED)
            context.set_details("Only this machine is answered.")
            return empty()
        try:
            return await answer()
        except EcgServeError as error:
            told = error
        except Exception:
            _log.exception("a gRPC request failed")
            told = EcgServeError("The server failed on this request.")
        context.set_code(next(code for kind, code in _CODES if isinstance(told, kind)))
        context.set_details(f"{told.detail} {told.hint}")
        context.set_trailing_metadata([("code", told.code)])
        return empty()


def _request(message: messages.ModelInferRequest, limits: Limits) -> InferRequest:
    raws = message.raw_input_contents
    if raws and len(raws) != len(message.inputs):
        raise CorruptedData(
            f"{len(message.inputs)} inputs, but {len(raws)} raw_input_contents.",
            hint="Send raw contents for all inputs or for none.",
        )
    inputs = {
        each.name: _input(each, raws[i] if raws else None, limits)
        for i, each in enumerate(message.inputs)
    }
    if len(inputs) != len(message.inputs):
        raise InvalidParameter("An input is named twice.")
    return InferRequest(
        model=message.model_name,
        version=message.model_version,
        id=message.id,
        parameters=_parameters(message.parameters),
        inputs=inputs,
        outputs=tuple(each.name for each in message.outputs) or None,
    )


def _input(
    message: messages.ModelInferRequest.InferInputTensor, raw: bytes | None, limits: Limits
) -> Tensor:
    name, datatype, shape = message.name, message.datatype, list(message.shape)
    parameters = _parameters(message.parameters)
    if raw is not None:
        return tensor_of_raw(name, datatype, shape, memoryview(raw), parameters, limits)
    values = getattr(message.contents, _CONTENTS.get(datatype, "fp32_contents"))
    if datatype == "BYTES":
        return tensor_of_texts(name, shape, list(values), parameters, limits)
    return tensor_of_values(name, datatype, shape, values, parameters, limits)


def _parameters(given: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    return {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in given.items()
        if value.WhichOneof("parameter_choice")
    }


def _response(request_id: str, answer: InferAnswer) -> messages.ModelInferResponse:
    return messages.ModelInferResponse(
        model_name=answer.model,
        model_version=answer.version,
        id=request_id,
        outputs=[
            messages.ModelInferResponse.InferOutputTensor(
                name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
            )
            for tensor in answer.outputs
        ],
        raw_output_contents=[tensor.raw() for tensor in answer.outputs],
    )
