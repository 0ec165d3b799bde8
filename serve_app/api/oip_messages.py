"""The protocol over HTTP: JSON, and behind it the tensors that are sent in binary form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json, to_json

from serve_app.api.oip_tensors import (
    InferRequest,
    Parameters,
    Tensor,
    tensor_of_raw,
    tensor_of_texts,
    tensor_of_values,
)
from serve_app.decoding import Limits
from serve_app.errors import (
    CorruptedData,
    InvalidFormat,
    InvalidParameter,
    RequestError,
    SchemaViolation,
)

__all__ = ["HEADER_LENGTH", "Message", "parse_message", "write_message"]

# Length of the JSON; the binary tensors come after it.
HEADER_LENGTH: Final = "Inference-Header-Content-Length"
# Far above any request; more of them is an attack on memory.
_MAX_BRACKETS, _MAX_QUOTES = 100_000, 1_000_000
# The kserve client names the model here too; the path counts.
_REQUEST_KEYS: Final = {"id", "parameters", "inputs", "outputs", "model_name", "model_version"}
_INPUT_KEYS: Final = {"name", "shape", "datatype", "parameters", "data"}
_OUTPUT_KEYS: Final = {"name", "parameters"}
_SCALARS: Final = (str, int, float, bool)
_ELSEWHERE: Final = ("shared_memory_region", "classification")


@dataclass(frozen=True, eq=False)
class Message:
    """A request, and in which form its answer is wanted.

    Attributes:
        request: What is asked.
        binary: For each output that was named, whether its data follow in binary form.
        binary_otherwise: The same for outputs that do not say.
    """

    request: InferRequest
    binary: Mapping[str, bool]
    binary_otherwise: bool


def parse_message(
    body: bytes, header_length: str | None, model: str, version: str, limits: Limits
) -> Message:
    """The request in a body.

    Args:
        body: Decompressed.
        header_length: The header ``Inference-Header-Content-Length``, if there is one.
        model: The path's.
        version: The path's, or "".
        limits: How much is taken.

    Raises:
        InvalidFormat: The JSON cannot be read.
        SchemaViolation: It can, but is no such request.
        InvalidParameter: A tensor, an output or the header's length that is not taken.
        CorruptedData: Binary data that do not fit what the JSON says of them.
        PayloadTooLarge: More text or elements than `limits` allow.
    """
    length = _header_length(header_length, len(body))
    content = _parse(body[:length] if length < len(body) else body, limits)
    parameters = _parameters(content, "parameters")
    outputs = _outputs(content.get("outputs"))
    request = InferRequest(
        model=model,
        version=version,
        id=_text(content.get("id") or "", "id"),
        parameters=parameters,
        inputs=_inputs(content.get("inputs"), memoryview(body)[length:], limits),
        outputs=tuple(name for name, _ in outputs) or None,
    )
    binary_otherwise = parameters.get("binary_data_output") is True
    binary = {name: bool(says.get("binary_data", binary_otherwise)) for name, says in outputs}
    return Message(request, binary, binary_otherwise)


def write_message(
    message: Message, model: str, version: str, outputs: Sequence[Tensor]
) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON where binary data follow it."""
    described, raws = [], []
    for tensor in outputs:
        entry: dict[str, Any] = {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
        }
        if message.binary.get(tensor.name, message.binary_otherwise):
            raws.append(tensor.raw())
            entry["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            entry["data"] = tensor.listed()
        described.append(entry)
    content = {"model_name": model, "model_version": version, "outputs": described}
    if message.request.id:
        content["id"] = message.request.id
    head = to_json(content)
    return b"".join([head, *raws]), len(head) if raws else None


def _header_length(declared: str | None, size: int) -> int:
    if declared is None:
        return size
    if not (declared.isascii() and declared.isdigit() and len(declared) < 12):
        raise InvalidParameter(f"{HEADER_LENGTH} must be a whole number of bytes.")
    if int(declared) > size:
        raise CorruptedData(
            f"{HEADER_LENGTH} is {int(declared)}, but the body holds {size} bytes.",
            hint="It is the length of the JSON alone, before compression.",
        )
    return int(declared)


def _parse(text: bytes, limits: Limits) -> dict[str, Any]:
    limits.check_text(len(text))
    if text.count(b"[") + text.count(b"{") > _MAX_BRACKETS or text.count(b'"') > _MAX_QUOTES:
        raise _violation("body", "is far more nested than a request")
    try:
        content = from_json(text, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        raise InvalidFormat(
            "The body is no JSON, or cut short.",
            hint=f"Where binary data follow the JSON, {HEADER_LENGTH} tells its length.",
        ) from None
    return _object(content, "body", _REQUEST_KEYS)


def _inputs(listed: Any, rest: memoryview, limits: Limits) -> dict[str, Tensor]:
    inputs: dict[str, Tensor] = {}
    for entry in _objects(listed, "inputs", _INPUT_KEYS):
        tensor, rest = _input(entry, rest, limits)
        if tensor.name in inputs:
            raise _violation("inputs", "names a tensor twice")
        inputs[tensor.name] = tensor
    if len(rest):
        raise CorruptedData(f"{len(rest)} bytes follow the JSON that no input claims.")
    return inputs


def _input(entry: dict[str, Any], rest: memoryview, limits: Limits) -> tuple[Tensor, memoryview]:
    name, datatype = _text(entry.get("name"), "name"), _text(entry.get("datatype"), "datatype")
    shape = entry.get("shape")
    if not isinstance(shape, list):
        raise _violation("shape", "must be an array")
    parameters = _parameters(entry, "parameters")
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in entry):
        raise _violation("data", "or binary_data_size must be given, not both")
    if size is None:
        data = entry["data"]
        if datatype == "BYTES":
            return tensor_of_texts(name, shape, data, parameters, limits), rest
        return tensor_of_values(name, datatype, shape, data, parameters, limits), rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise CorruptedData(f"Tensor {name!r}: its binary_data_size is not what follows the JSON.")
    return tensor_of_raw(name, datatype, shape, rest[:size], parameters, limits), rest[size:]


def _outputs(listed: Any) -> list[tuple[str, Parameters]]:
    if listed is None:
        return []
    return [
        (_text(entry.get("name"), "name"), _parameters(entry, "parameters"))
        for entry in _objects(listed, "outputs", _OUTPUT_KEYS)
    ]


def _parameters(entry: Mapping[str, Any], field: str) -> Parameters:
    parameters = entry.get(field) or {}
    if not isinstance(parameters, dict) or not all(
        isinstance(value, _SCALARS) for value in parameters.values()
    ):
        raise _violation(field, "must be an object of numbers, strings and booleans")
    for name in _ELSEWHERE:
        if name in parameters:
            raise RequestError(
                f"The extension behind {name!r} is not offered.",
                hint="GET /v2 names the extensions that are.",
            )
    return parameters


def _objects(listed: Any, field: str, keys: set[str]) -> list[dict[str, Any]]:
    if not isinstance(listed, list):
        raise _violation(field, "must be an array of objects")
    return [_object(entry, field, keys) for entry in listed]


def _object(content: Any, field: str, keys: set[str]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise _violation(field, "must be an object")
    unknown = sorted(content.keys() - keys)
    if unknown:
        raise _violation(unknown[0][:40], "is unknown")
    return content


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or len(value) > 500:
        raise _violation(field, "must be a string of at most 500 characters")
    return value


def _violation(field: str, message: str) -> SchemaViolation:
    return SchemaViolation(
        f"The JSON breaks the protocol's schema: {field} {message}.",
        hint="See docs/open_inference.md for a whole request.",
        extra={"errors": [{"field": field, "message": message}]},
    )
