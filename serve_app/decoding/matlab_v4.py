"""MATLAB level 4: matrices one after the other, each with five integers and a name before it.

MathWorks, "MAT-File Format", chapter "Level 4 MAT-File Format". PhysioNet's challenges write it.
"""

import re
import struct
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from serve_app.decoding.named_arrays import Container, Stored
from serve_app.errors import CorruptedData

__all__ = ["looks_like_v4", "read_v4"]

_HEADER: Final = 20
_DTYPES: Final = ("f8", "f4", "i4", "i2", "u2", "u1")
_FULL: Final = 0
_NAME: Final = re.compile(rb"[A-Za-z]\w{0,62}\0")
_MAX_MATRICES: Final = 1000


class _Header(NamedTuple):
    """What stands before a matrix; `kind` is full, text or sparse."""

    name: str
    kind: int
    dtype: np.dtype[Any]
    shape: tuple[int, int]
    complex: bool
    start: int

    @property
    def size(self) -> int:
        """Its numbers."""
        return self.shape[0] * self.shape[1]

    @property
    def end(self) -> int:
        """Where the next matrix starts."""
        return self.start + self.size * self.dtype.itemsize * (1 + self.complex)


def looks_like_v4(data: bytes) -> bool:
    """Whether a level 4 header of a matrix with a name of letters starts here: it has no magic."""
    return _header(data, 0) is not None


def read_v4(data: bytes) -> Container:
    """The full real matrices, as views of `data`.

    Raises:
        CorruptedData: A matrix that is cut short or damaged.
    """
    arrays: dict[str, Stored] = {}
    position = 0
    while position < len(data) and len(arrays) < _MAX_MATRICES:
        header = _header(data, position)
        if header is None or header.end > len(data):
            raise CorruptedData("The MATLAB file is cut short or damaged.")
        if header.kind == _FULL and not header.complex and header.size:
            flat = np.frombuffer(data, header.dtype, header.size, header.start)
            array = flat.reshape(header.shape, order="F")
            arrays[header.name] = Stored(header.shape, header.dtype, partial(np.asarray, array))
        position = header.end
    return Container("matlab", arrays)


def _header(data: bytes, position: int) -> _Header | None:
    for order in "<>":
        if len(data) - position < _HEADER:
            return None
        kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", data, position)
        machine, zero, precision, what = (kind // 10**n % 10 for n in (3, 2, 1, 0))
        start = position + _HEADER + length
        # Of both orders a small positive number is valid in one alone.
        if (
            0 <= kind < 2000
            and (machine, zero) == ("<>".index(order), 0)
            and precision < len(_DTYPES)
            and what <= 2
            and rows >= 0
            and columns >= 0
            and imaginary in {0, 1}
            and 2 <= length <= 64
            and _NAME.fullmatch(data, position + _HEADER, start)
        ):
            name = data[position + _HEADER : start - 1].decode()
            dtype = np.dtype(order + _DTYPES[precision])
            return _Header(name, what, dtype, (rows, columns), imaginary == 1, start)
    return None
