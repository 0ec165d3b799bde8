"""Tensors of the Open Inference Protocol: names, shapes and bytes to arrays, and back."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding import Limits
from serve_app.errors import CorruptedData, InvalidParameter

__all__ = [
    "InferAnswer",
    "InferRequest",
    "Parameters",
    "Tensor",
    "check_shape",
    "tensor_of_raw",
    "tensor_of_texts",
    "tensor_of_values",
]

Parameters = Mapping[str, bool | int | float | str]
Values = npt.NDArray[Any] | tuple[bytes, ...]

BYTES: Final = "BYTES"
_DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
}
_MAX_DIMENSIONS: Final = 3
_MAX_ITEMS: Final = 1000
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, eq=False)
class Tensor:
    """A named tensor.

    Attributes:
        name: As in the model's metadata.
        datatype: ``FP16``, ``FP32``, ``FP64``, ``INT16``, ``INT32`` or ``BYTES``.
        shape: Lengths of the dimensions.
        values: An array of that shape; of ``BYTES`` the elements in row-major order.
        parameters: What was said beside it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values
    parameters: Parameters = field(default_factory=dict)

    @classmethod
    def of_array(cls, name: str, array_: npt.NDArray[Any], datatype: str = "FP32") -> "Tensor":
        """A tensor to be sent, of any real array."""
        return cls(name, datatype, array_.shape, array_.astype(_DTYPES[datatype], copy=False))

    @classmethod
    def of_bytes(cls, name: str, items: Sequence[bytes]) -> "Tensor":
        """A tensor of ``BYTES`` to be sent, ``(items,)``."""
        return cls(name, BYTES, (len(items),), tuple(items))

    def raw(self) -> bytes:
        """Row-major, little-endian; elements of ``BYTES`` after their length in 4 bytes."""
        if isinstance(self.values, tuple):
            return b"".join(_LENGTH.pack(len(item)) + item for item in self.values)
        return self.values.tobytes()

    def listed(self) -> list[Any]:
        """Row-major, as JSON has it; ``BYTES`` are UTF-8."""
        if isinstance(self.values, tuple):
            return [item.decode() for item in self.values]
        values: list[Any] = self.values.ravel().tolist()
        return values


@dataclass(frozen=True, eq=False)
class InferRequest:
    """What a model is asked, over HTTP or gRPC.

    Attributes:
        model: ``NAME``, or ``NAME@REVISION``.
        version: The revision, or "".
        id: Comes back with the answer.
        parameters: For all inputs.
        inputs: By their names.
        outputs: Names of those wanted; None: all that there are.
    """

    model: str
    version: str
    id: str
    parameters: Parameters
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class InferAnswer:
    """An answer, over HTTP or gRPC.

    Attributes:
        model: Name of the model that answered.
        version: Its revision.
        rows: Recordings, or segments that were sent as such.
        outputs: What was asked for, in that order.
        queue_ms: How long the model let a row wait, at most.
        inference_ms: How long it worked for a row, at most.
    """

    model: str
    version: str
    rows: int
    outputs: tuple[Tensor, ...]
    queue_ms: float
    inference_ms: float


def check_shape(
    name: str, datatype: str, shape: Sequence[Any], limits: Limits
) -> tuple[tuple[int, ...], int]:
    """A declared shape and its count of elements, before anything is allocated for it.

    Raises:
        InvalidParameter: A datatype, rank or length that is not taken.
        PayloadTooLarge: More elements than `limits` allow.
    """
    if datatype != BYTES and datatype not in _DTYPES:
        raise InvalidParameter(
            f"Tensor {name!r}: datatype {str(datatype)[:20]!r} is not taken.",
            hint=f"Send one of: {', '.join([*_DTYPES, BYTES])}.",
        )
    if not 1 <= len(shape) <= _MAX_DIMENSIONS or not all(
        type(length) is int and length >= 0 for length in shape
    ):
        raise InvalidParameter(
            f"Tensor {name!r}: the shape must be 1 to {_MAX_DIMENSIONS} whole numbers, none "
            "negative."
        )
    count = math.prod(shape)
    if datatype == BYTES and count > _MAX_ITEMS:
        raise InvalidParameter(f"Tensor {name!r}: at most {_MAX_ITEMS} elements are taken.")
    limits.check_samples(count)
    return tuple(shape), count


def tensor_of_raw(
    name: str,
    datatype: str,
    shape: Sequence[Any],
    raw: memoryview,
    parameters: Parameters,
    limits: Limits,
) -> Tensor:
    """A tensor of its binary form; an array is a view of `raw`.

    Raises:
        InvalidParameter: A shape or datatype that is not taken.
        CorruptedData: Another count of bytes than the shape wants.
        PayloadTooLarge: More elements than `limits` allow.
    """
    lengths, count = check_shape(name, datatype, shape, limits)
    if datatype == BYTES:
        return Tensor(name, datatype, lengths, _items(name, raw, count), parameters)
    dtype = _DTYPES[datatype]
    if len(raw) != count * dtype.itemsize:
        raise _another_size(name, f"{len(raw)} bytes", f"{count * dtype.itemsize}")
    values = np.frombuffer(raw, dtype).reshape(lengths)
    return Tensor(name, datatype, lengths, values, parameters)


def tensor_of_values(
    name: str,
    datatype: str,
    shape: Sequence[Any],
    values: Any,
    parameters: Parameters,
    limits: Limits,
) -> Tensor:
    """A tensor of numbers, flat or nested as its shape is.

    Raises:
        InvalidParameter: A shape or datatype that is not taken, or something else than numbers.
        CorruptedData: Another count of numbers than the shape wants.
        PayloadTooLarge: More elements than `limits` allow.
    """
    lengths, count = check_shape(name, datatype, shape, limits)
    if datatype == "FP16":
        raise InvalidParameter(f"Tensor {name!r}: FP16 is sent in the binary form only.")
    try:
        result = _fitting(_numbers(values, lengths), _DTYPES[datatype])
    except (TypeError, ValueError, OverflowError, struct.error):
        raise InvalidParameter(
            f"Tensor {name!r}: its data must be numbers that {datatype} can hold, flat or nested "
            "as its shape is; null is none."
        ) from None
    if len(result) != count:
        raise _another_size(name, f"{len(result)} numbers", f"{count}")
    return Tensor(name, datatype, lengths, result.reshape(lengths), parameters)


def tensor_of_texts(
    name: str, shape: Sequence[Any], values: Any, parameters: Parameters, limits: Limits
) -> Tensor:
    """A tensor of ``BYTES`` as JSON has it (strings) or gRPC (bytes).

    Raises:
        InvalidParameter: A shape that is not taken, or something else than strings.
        CorruptedData: Another count of elements than the shape wants.
    """
    lengths, count = check_shape(name, BYTES, shape, limits)
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise InvalidParameter(f"Tensor {name!r}: its data must be an array of strings.")
    items = tuple(_encoded(name, value) for value in values)
    if len(items) != count:
        raise _another_size(name, f"{len(items)} elements", f"{count}")
    return Tensor(name, BYTES, lengths, items, parameters)


def _items(name: str, raw: memoryview, count: int) -> tuple[bytes, ...]:
    items: list[bytes] = []
    offset = 0
    for _ in range(count):
        if len(raw) - offset < _LENGTH.size:
            raise _another_size(name, f"{len(items)} elements", f"{count}")
        (length,) = _LENGTH.unpack_from(raw, offset)
        offset += _LENGTH.size
        if length > len(raw) - offset:
            raise CorruptedData(f"Tensor {name!r}: an element is longer than the data.")
        items.append(bytes(raw[offset : offset + length]))
        offset += length
    if offset != len(raw):
        raise CorruptedData(f"Tensor {name!r}: data follow its last element.")
    return tuple(items)


def _numbers(values: Any, lengths: tuple[int, ...]) -> npt.NDArray[np.float64]:
    if isinstance(values, np.ndarray):
        return values
    flat = _flat(values, lengths)
    # Twice as fast as NumPy is on a list.
    return np.frombuffer(struct.pack(f"<{len(flat)}d", *flat), "<f8")


def _flat(values: Any, lengths: tuple[int, ...]) -> Any:
    """Rows of rows as one run; raises TypeError where they are not nested as the shape is."""
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise TypeError
    rows = 1
    for outer, inner in pairwise(lengths):
        if not values or not isinstance(values[0], list):
            break
        rows *= outer
        if len(values) != rows or not all(
            isinstance(row, list) and len(row) == inner for row in values
        ):
            raise TypeError
        values = list(chain.from_iterable(values))
    return values


def _fitting(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """In the datatype that was declared; what leaves float32 becomes infinite and is told later."""
    if dtype.kind == "i" and values.size:
        bounds = np.iinfo(dtype)
        if not (
            values.min() >= bounds.min
            and values.max() <= bounds.max
            and (values == np.rint(values)).all()
        ):
            raise ValueError
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def _encoded(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise InvalidParameter(f"Tensor {name!r}: its data must be an array of strings.")


def _another_size(name: str, sent: str, wanted: str) -> CorruptedData:
    return CorruptedData(
        f"Tensor {name!r}: {sent} were sent, its shape and datatype want {wanted}.",
        hint="Let shape, datatype and data agree.",
    )
