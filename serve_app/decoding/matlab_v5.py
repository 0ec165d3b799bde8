"""MATLAB level 5 (v5 to v7): tagged elements, each variable perhaps deflated.

MathWorks, "MAT-File Format", chapter "Level 5 MAT-File Format". Read here, since SciPy's reader
inflates without bound and allocates what dimensions claim before their bytes are there.
"""

import struct
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from serve_app.decoding.named_arrays import MAX_TEXTS, Container, Stored, is_text_name
from serve_app.decoding.upload import Limits
from serve_app.errors import CorruptedData, InvalidFormat, PayloadTooLarge

__all__ = ["looks_like_v5", "read_v5"]

_HEADER: Final = 128
_MATRIX, _DEFLATED, _UTF8, _UTF16 = 14, 15, 16, 17
_CELL, _STRUCT, _CHAR, _FIRST_NUMERIC, _LAST_NUMERIC = 1, 2, 4, 6, 15
_COMPLEX, _LOGICAL = 0x800, 0x200
# By type of element, and by class of array: a double is stored as int16 where that is enough.
_STORED: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8",
                  12: "i8", 13: "u8"}  # fmt: skip
_CLASSES: Final = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
_MAX_DEPTH, _MAX_MATRICES, _MAX_TEXT_BYTES = 4, 2000, 4096


class _Element(NamedTuple):
    """A tag's type and its bytes."""

    kind: int
    content: memoryview


_NOTHING: Final = _Element(0, memoryview(b""))


class _Matrix(NamedTuple):
    """An array of any class; `rest` starts behind its name."""

    flags: int
    shape: tuple[int, ...]
    name: str
    rest: memoryview

    @property
    def what(self) -> int:
        """Its class."""
        return self.flags & 0xFF


def looks_like_v5(data: bytes) -> bool:
    """Whether the header's version and mark of byte order are there."""
    return data[:6] == b"MATLAB" and data[124:128] in {b"\0\x01IM", b"\x01\0MI"}


def read_v5(data: bytes, limits: Limits) -> Container:
    """The real arrays, in structures too, whose fields stand beside the variables.

    Raises:
        CorruptedData: An element that is cut short or damaged.
        InvalidFormat: More arrays than a recording has, or two of one name.
        PayloadTooLarge: It inflates to more than `limits` allow.
    """
    reader = _Reader(data[126:128] == b"MI", limits.max_unpacked_bytes)
    try:
        for element in reader.elements(memoryview(data)[_HEADER:]):
            variable = reader.inflated(element)
            if variable.kind == _MATRIX:
                reader.take(reader.matrix(variable.content), "", 0)
    except (struct.error, zlib.error, LookupError, ValueError):
        raise CorruptedData("The MATLAB file is cut short or damaged.") from None
    return Container("matlab", reader.arrays, reader.texts)


class _Reader:
    """Walks the elements of one byte order and collects what is of use.

    Every method raises struct.error, zlib.error, LookupError or ValueError on damage.
    """

    def __init__(self, big_endian: bool, budget: int) -> None:
        self._order = ">" if big_endian else "<"
        self._budget = budget
        self._matrices = 0
        self.arrays: dict[str, Stored] = {}
        self.texts: dict[str, tuple[str, ...]] = {}

    def elements(self, view: memoryview) -> Iterator[_Element]:
        """One element after the other."""
        position = 0
        while position < len(view):
            kind, size = struct.unpack_from(f"{self._order}II", view, position)
            start, stride = position + 8, 8 + size
            if kind >> 16:  # small: both in one word, the bytes in the other
                kind, size, start, stride = kind & 0xFFFF, kind >> 16, position + 4, 8
            elif kind != _DEFLATED:
                stride += -size % 8
            if start + size > len(view):
                raise ValueError
            yield _Element(kind, view[start : start + size])
            position += stride

    def inflated(self, element: _Element) -> _Element:
        """The element inside a deflated one, never more than the budget."""
        if element.kind != _DEFLATED:
            return element
        content = zlib.decompressobj().decompress(element.content, self._budget + 1)
        self._budget -= len(content)
        if self._budget < 0:
            raise PayloadTooLarge("The MATLAB file unpacks to more bytes than are taken.")
        return next(self.elements(memoryview(content)), _NOTHING)

    def matrix(self, content: memoryview) -> _Matrix:
        """Flags, dimensions and name of an array."""
        self._matrices += 1
        if self._matrices > _MAX_MATRICES:
            raise InvalidFormat("The MATLAB file holds far more arrays than a recording.")
        if not content:  # an empty cell or field
            return _Matrix(0, (0,), "", content)
        parts = self.elements(content)
        flags = struct.unpack_from(f"{self._order}I", next(parts, _NOTHING).content)[0]
        shape = self._numbers(next(parts, _NOTHING))
        name = bytes(next(parts, _NOTHING).content).decode("latin-1")
        used = _length(content, self._order, 3)
        return _Matrix(flags, tuple(map(int, shape)), name, content[used:])

    def take(self, matrix: _Matrix, name: str, depth: int) -> None:
        """Collect an array under its own name, or under that of the field it is in."""
        name = matrix.name or name
        if matrix.what == _STRUCT and depth < _MAX_DEPTH:
            self._take_fields(matrix, depth)
        elif matrix.what in {_CHAR, _CELL}:
            folded = name.casefold()
            # Of other texts no more is kept than that they are there: they may name a patient.
            self.texts[folded] = self._texts(matrix) if is_text_name(folded) else ()
        elif (
            _FIRST_NUMERIC <= matrix.what <= _LAST_NUMERIC
            and not matrix.flags & (_COMPLEX | _LOGICAL)
            and 0 not in matrix.shape
        ):
            if name in self.arrays:
                raise InvalidFormat("The MATLAB file holds two arrays of one name.")
            self.arrays[name] = self._stored(matrix)

    def _take_fields(self, matrix: _Matrix, depth: int) -> None:
        parts = self.elements(matrix.rest)
        width = int(self._numbers(next(parts, _NOTHING))[0])
        names = bytes(next(parts, _NOTHING).content)
        if not 0 < width <= 64 or set(matrix.shape) != {1}:
            return  # of an array of structures none is the recording
        for i, field in zip(range(0, len(names), width), parts, strict=False):
            name = names[i : i + width].partition(b"\0")[0].decode("latin-1")
            self.take(self.matrix(field.content), name, depth + 1)

    def _stored(self, matrix: _Matrix) -> Stored:
        numbers = self._numbers(next(self.elements(matrix.rest), _NOTHING))
        array = numbers.reshape(matrix.shape, order="F")
        dtype = np.dtype(_CLASSES[matrix.what - _FIRST_NUMERIC])
        return Stored(matrix.shape, dtype, partial(array.astype, dtype, copy=False))

    def _numbers(self, element: _Element) -> npt.NDArray[Any]:
        kind = _STORED.get(element.kind)
        if kind is None:
            raise ValueError
        return np.frombuffer(element.content, self._order + kind)

    def _texts(self, matrix: _Matrix) -> tuple[str, ...]:
        """The rows of an array of characters, or the texts of a cell array."""
        if matrix.what == _CELL:
            cells = zip(range(MAX_TEXTS), self.elements(matrix.rest), strict=False)
            inner = [self.matrix(cell.content) for _, cell in cells]
            return tuple("".join(self._texts(m)) for m in inner if m.what == _CHAR)
        element = next(self.elements(matrix.rest), _NOTHING)
        if len(element.content) > _MAX_TEXT_BYTES or len(matrix.shape) != 2:
            return ()
        if element.kind == _UTF8:
            letters = list(bytes(element.content).decode())
        else:
            kind = "u2" if element.kind == _UTF16 else _STORED[element.kind]
            letters = list(map(chr, np.frombuffer(element.content, self._order + kind)))
        rows = np.array(letters).reshape(matrix.shape, order="F")
        return tuple("".join(row).strip() for row in rows)


def _length(view: memoryview, order: str, count: int) -> int:
    """The bytes that the first elements take, padding included."""
    position = 0
    for _ in range(count):
        kind, size = struct.unpack_from(f"{order}II", view, position)
        position += 8 if kind >> 16 else 8 + size + -size % 8
    return position
