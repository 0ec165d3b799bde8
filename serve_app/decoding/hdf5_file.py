"""HDF5: CODE-15 %, SPH, MATLAB v7.3 and other files with one data set that is the signal."""

import math
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.hdf5_storage import check_heaps, check_storage
from serve_app.decoding.isolation import decode_apart
from serve_app.decoding.named_arrays import (
    MAX_TEXTS,
    Container,
    Stored,
    decode_container,
    is_rate_name,
    is_text_name,
)
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, EcgServeError, InvalidFormat

if TYPE_CHECKING:
    import h5py

__all__ = ["SIGNATURE", "decode_hdf5", "decode_here", "looks_like_hdf5"]

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_MAX_DEPTH, _MAX_OBJECTS, _MAX_ATTRIBUTES = 4, 200, 100
_MAX_TEXT_BYTES: Final = 4096


def looks_like_hdf5(data: bytes) -> bool:
    """Whether the signature is there; behind a block of another's own it is not looked for."""
    return data.startswith(SIGNATURE)


def decode_hdf5(data: bytes, hints: Hints, limits: Limits, format_name: str = "hdf5") -> Decoded:
    """Decode the data set that is the signal, in a group or not; in a process of its own.

    Nothing outside the file is read: no external link, external or virtual data set, no plugin.

    Raises:
        InvalidFormat: This is no HDF5, or it uses what is not read here.
        CorruptedData: Cut short or damaged.
        PayloadTooLarge: It unpacks to more than `limits` allow.
        EcgServeError: As `decode_container`.
    """
    if SIGNATURE not in data[:1024]:
        raise InvalidFormat("This is no HDF5 file.")
    return decode_apart(format_name, data, hints, limits)


def decode_here(data: bytes, hints: Hints, limits: Limits, format_name: str) -> Decoded:
    """`decode_hdf5` in this process, which the library may hold up."""
    import h5py

    check_heaps(data)
    try:
        with h5py.File(BytesIO(data), "r") as file:
            return decode_container(_container(file, limits, format_name), hints, limits)
    except (EcgServeError, MemoryError):
        raise
    except Exception:  # h5py passes on whatever the C library says, of many kinds
        raise CorruptedData("The HDF5 file is cut short or damaged.") from None


def _container(file: "h5py.File", limits: Limits, format_name: str) -> Container:
    arrays: dict[str, Stored] = {}
    texts: dict[str, tuple[str, ...]] = {}
    _take_attributes(file, arrays, texts)
    found = list(islice(_data_sets(file, 0), _MAX_OBJECTS + 1))
    if len(found) > _MAX_OBJECTS:
        raise InvalidFormat("The HDF5 file holds far more data sets than a recording.")
    for name, data_set in found:
        _take_attributes(data_set, arrays, texts)
        if _is_text(data_set):
            folded = name.casefold()
            texts[folded] = _texts(data_set) if is_text_name(folded) else ()
        elif name in arrays and arrays[name].size > 1:
            raise InvalidFormat(
                "The HDF5 file holds two data sets of one name.",
                hint="Send one recording a file.",
            )
        elif data_set.shape is not None:
            arrays[name] = _stored(data_set, limits)
    return Container(format_name, arrays, texts)


def _data_sets(group: "h5py.Group", depth: int) -> Iterator[tuple[str, "h5py.Dataset"]]:
    """Those that hard links lead to: others lead to other files, or in circles."""
    import h5py

    for name in group:
        if name.startswith("#") or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue  # MATLAB keeps what variables refer to in #refs#
        found = group[name]
        if isinstance(found, h5py.Group) and depth < _MAX_DEPTH:
            yield from _data_sets(found, depth + 1)
        elif isinstance(found, h5py.Dataset):
            yield name, found


def _stored(data_set: "h5py.Dataset", limits: Limits) -> Stored:
    # MATLAB's arrays are stored with their last dimension first.
    by_columns = "MATLAB_class" in data_set.attrs
    shape = tuple(data_set.shape)
    return Stored(
        shape[::-1] if by_columns else shape,
        data_set.dtype,
        partial(_read, data_set, limits, by_columns),
    )


def _read(data_set: "h5py.Dataset", limits: Limits, by_columns: bool) -> npt.NDArray[Any]:
    check_storage(data_set, limits)
    array: npt.NDArray[Any] = np.asarray(data_set[()])
    return array.T if by_columns else array


def _is_text(data_set: "h5py.Dataset") -> bool:
    import h5py

    return (
        h5py.check_string_dtype(data_set.dtype) is not None
        or data_set.attrs.get("MATLAB_class") == b"char"
    )


def _texts(data_set: "h5py.Dataset") -> tuple[str, ...]:
    """Few and short ones: each could refer to all of the file's bytes."""
    import h5py

    if not data_set.shape or data_set.size is None or data_set.size > MAX_TEXTS:
        return (_text(data_set[()]),) if data_set.shape == () else ()
    if h5py.check_string_dtype(data_set.dtype) is None:
        return tuple("".join(map(chr, row)).strip() for row in np.atleast_2d(data_set[()].T))
    if len(data_set.shape) != 1 or data_set.dtype.itemsize > _MAX_TEXT_BYTES:
        return ()
    return tuple(_text(data_set[i]) for i in range(data_set.size))


def _text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text[:_MAX_TEXT_BYTES]


def _take_attributes(
    owner: "h5py.Group | h5py.Dataset",
    arrays: dict[str, Stored],
    texts: dict[str, tuple[str, ...]],
) -> None:
    """Rates and units that stand beside the numbers."""
    for name in islice(owner.attrs, _MAX_ATTRIBUTES):
        folded = name.casefold()
        if not (is_rate_name(folded) or is_text_name(folded)):
            continue
        attribute = owner.attrs.get_id(name)
        if attribute.shape is None or math.prod(attribute.shape) > MAX_TEXTS:
            continue
        value = np.asarray(owner.attrs[name])
        if is_rate_name(folded):
            arrays.setdefault(name, Stored(value.shape, value.dtype, partial(np.asarray, value)))
        elif value.dtype.kind in "OSU":
            texts.setdefault(folded, tuple(map(_text, value.reshape(-1).tolist())))
