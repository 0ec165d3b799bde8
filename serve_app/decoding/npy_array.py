"""NumPy's npy: an array and nothing else, so rate, leads and units come as hints."""

import math
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from serve_app.decoding.blocks import Blocks, Content, WholeOnly
from serve_app.decoding.decoded import Decoded, missing_parameter
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal
from serve_app.recording import STANDARD_LEADS

__all__ = ["decode_npy", "leads_first", "looks_like_npy", "open_npy", "read_npy"]

_MAGIC: Final = b"\x93NUMPY"
_MAX_HEADER_BYTES: Final = 1 << 17


def looks_like_npy(data: bytes) -> bool:
    """Whether the magic string is there."""
    return data.startswith(_MAGIC)


def decode_npy(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode ``(leads, samples)``, ``(samples, leads)`` or one lead's ``(samples,)``.

    Raises:
        InvalidFormat: No npy, or an array of something else than real numbers.
        CorruptedData: A header that cannot be read, or fewer bytes than it promises.
        InvalidSignal: No dimension, or more than two.
        MissingParameter: Integers without ``units``.
    """
    array = read_npy(data)
    if array.dtype.kind not in "iuf":
        raise InvalidFormat(
            "The array does not hold real numbers.", hint="Save float32 in millivolts."
        )
    limits.check_samples(array.size)
    if array.dtype.kind in "iu" and hints.units is None:
        raise missing_parameter("npy", "units")
    return Decoded(leads_first(array, hints.leads), None, None, frozenset(), "npy")


def read_npy(data: bytes) -> npt.NDArray[Any]:
    """The array as a view of `data`; nothing is unpickled, no shape believed before its bytes.

    Raises:
        InvalidFormat: No npy, or an array of objects.
        CorruptedData: A header that cannot be read, or fewer bytes than it promises.
    """
    shape, fortran_order, dtype, start = _read_header(data)
    if dtype.hasobject:
        raise InvalidFormat(
            "The array does not hold real numbers.", hint="Save float32 in millivolts."
        )
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize > len(data) - start:
        raise CorruptedData("The array is cut short: its header promises more than there is.")
    if count == 0 or dtype.itemsize == 0:
        return np.empty(shape, dtype)
    flat = np.frombuffer(data, dtype, count, start)
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _read_header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    stream = BytesIO(data)
    try:
        version = npy_format.read_magic(stream)
        # Version 3 only adds field names in UTF-8, and records are no signals.
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read(stream)
    except KeyError:
        raise InvalidFormat("This version of npy is not read here.") from None
    except Exception:  # many kinds, some quoting the header
        if not looks_like_npy(data):
            raise InvalidFormat("This is no npy file.") from None
        raise CorruptedData("The npy header cannot be read.") from None
    return shape, fortran_order, dtype, stream.tell()


def leads_first(array: npt.NDArray[Any], leads: tuple[str, ...] | None) -> npt.NDArray[Any]:
    """``(leads, samples)`` of an array of one or two dimensions, whichever of them is which.

    Raises:
        InvalidSignal: No dimension, or more than two.
    """
    if array.ndim == 1:
        return array[np.newaxis]
    if array.ndim != 2:
        raise InvalidSignal(
            f"The array has {array.ndim} dimensions.", hint="Send (leads, samples)."
        )
    rows, columns = array.shape
    wanted = len(leads) if leads else len(STANDARD_LEADS)
    if rows == wanted:
        return array
    return array.T if columns == wanted or columns < rows else array


def open_npy(content: Content, limits: Limits) -> Blocks:
    """Open an array of floats, to be read a stretch at a time.

    Raises:
        WholeOnly: Of anything but floats, `decode_npy` can tell more.
        CorruptedData: As there.
        InvalidSignal: As there.
    """
    shape, fortran_order, dtype, start = _read_header(bytes(content[:_MAX_HEADER_BYTES]))
    count = math.prod(shape)
    if dtype.kind != "f" or min(shape, default=0) < 0:
        raise WholeOnly
    if count * dtype.itemsize > len(content) - start:
        raise CorruptedData("The array is cut short: its header promises more than there is.")
    limits.check_samples(count)
    flat = np.frombuffer(content, dtype, count, start)
    signal = leads_first(flat.reshape(shape, order="F" if fortran_order else "C"), None)

    def read(start: int, stop: int) -> npt.NDArray[np.float32]:
        return signal[:, start:stop].astype(np.float32)

    return Blocks(read, signal.shape[1], None, None, frozenset(), "npy")
