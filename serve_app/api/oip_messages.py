"""The protocol over HTTP: JSON, and behind it the tensors that are sent in binary form."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from ecg_processor_py import take_json_numbers
from msgspec import UNSET, UnsetType

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
# Far above any request; more of them in a long text is an attack on memory.
_MAX_BRACKETS, _MAX_QUOTES = 100_000, 1_000_000
_LONG_TEXT_BYTES: Final = 2 << 20
_ELSEWHERE: Final = ("shared_memory_region", "classification")

_Name = Annotated[str, msgspec.Meta(max_length=500)]
_Given = dict[str, bool | int | float | str]
_Taken = npt.NDArray[np.float64] | None


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    shape: list[int]
    datatype: _Name
    parameters: _Given | None = None
    data: list[float | str | list[float | list[float]]] | UnsetType | None = UNSET


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    parameters: _Given | None = None


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[_Input]
    outputs: list[_Output] | None = None
    id: _Name | None = None
    parameters: _Given | None = None
    # The kserve client names the model here too; the path counts.
    model_name: str | None = None
    model_version: str | None = None


_DECODER: Final = msgspec.json.Decoder(_Request)


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
    content, taken = _parse(body[:length] if length < len(body) else body, limits)
    parameters = _parameters(content.parameters)
    outputs = [(each.name, _parameters(each.parameters)) for each in content.outputs or []]
    request = InferRequest(
        model=model,
        version=version,
        id=content.id or "",
        parameters=parameters,
        inputs=_inputs(content.inputs, memoryview(body)[length:], taken, limits),
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
    head = msgspec.json.encode(content)
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


def _parse(text: bytes, limits: Limits) -> tuple[_Request, _Taken]:
    """A request, and the data that were parsed apart from it."""
    limits.check_text(len(text))
    if len(text) > _LONG_TEXT_BYTES and (
        text.count(b"[") > _MAX_BRACKETS or text.count(b'"') > _MAX_QUOTES
    ):
        raise _violation("it is far more nested than a request")
    rest, values, counts = take_json_numbers(text)
    # One flat run of numbers, as clients send it, and it can only be the data.
    if len(counts) == 1 and rest.count(b"null") == 1:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            request = _DECODER.decode(rest)
            if len(request.inputs) == 1 and request.inputs[0].data is None:
                return request, values
    try:
        return _DECODER.decode(text), None
    except msgspec.ValidationError as error:
        # Names the place and the type, never a value; an unknown member it names in full.
        raise _violation(str(error)[:200]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidFormat(
            "The body is no JSON, or cut short.",
            hint=f"Where binary data follow the JSON, {HEADER_LENGTH} tells its length.",
        ) from None


def _inputs(
    listed: Sequence[_Input], rest: memoryview, taken: _Taken, limits: Limits
) -> dict[str, Tensor]:
    inputs: dict[str, Tensor] = {}
    for entry in listed:
        given = None if entry.data is UNSET else entry.data
        data = given if taken is None else taken
        inputs[entry.name], rest = _input(entry, data, rest, limits)
    if len(inputs) < len(listed):
        raise InvalidParameter("An input is named twice.")
    if len(rest):
        raise CorruptedData(f"{len(rest)} bytes follow the JSON that no input claims.")
    return inputs


def _input(entry: _Input, data: Any, rest: memoryview, limits: Limits) -> tuple[Tensor, memoryview]:
    name, parameters = entry.name, _parameters(entry.parameters)
    described = name, entry.datatype, entry.shape
    size = parameters.get("binary_data_size")
    if (size is None) == (data is None):
        raise _violation(f"input {name!r} needs data, or binary_data_size, not both")
    if size is None:
        if entry.datatype == "BYTES":
            return tensor_of_texts(name, entry.shape, data, parameters, limits), rest
        return tensor_of_values(*described, data, parameters, limits), rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise CorruptedData(f"Tensor {name!r}: its binary_data_size is not what follows the JSON.")
    return tensor_of_raw(*described, rest[:size], parameters, limits), rest[size:]


def _parameters(given: _Given | None) -> Parameters:
    for name in _ELSEWHERE:
        if given and name in given:
            raise RequestError(
                f"The extension behind {name!r} is not offered.",
                hint="GET /v2 names the extensions that are.",
            )
    return given or {}


def _violation(what: str) -> SchemaViolation:
    return SchemaViolation(
        f"The JSON breaks the protocol's schema: {what}.",
        hint="See docs/open_inference.md for a whole request.",
        extra={"errors": [{"field": _place(what), "message": what}]},
    )


def _place(what: str) -> str:
    """Of what msgspec says: ``... - at `$.inputs[0].shape` ``."""
    return what.partition(" - at `$")[2].strip("`.") or "body"
