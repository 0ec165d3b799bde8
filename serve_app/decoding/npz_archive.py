"""NumPy's npz: a zip archive of npy files, each a named array."""

from functools import partial
from typing import Final

import numpy as np

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.named_arrays import (
    MAX_TEXTS,
    Container,
    Stored,
    decode_container,
    is_text_name,
)
from serve_app.decoding.npy_array import read_npy
from serve_app.decoding.upload import Files, Hints, Limits

__all__ = ["decode_npz", "is_npz"]

_SUFFIX: Final = ".npy"
_TEXT: Final = "US"


def is_npz(files: Files) -> bool:
    """Whether an archive's files are arrays, all of them."""
    return all(name.endswith(_SUFFIX) for name, _ in files)


def decode_npz(files: Files, hints: Hints, limits: Limits) -> Decoded:
    """Decode the archive's files: the signal, or an array for each lead, and perhaps ``fs``.

    Nothing is unpickled.

    Raises:
        InvalidFormat: An array of objects, no array of numbers, or several that could be it.
        CorruptedData: An array that is cut short or damaged.
        EcgServeError: As `decode_container`.
    """
    arrays: dict[str, Stored] = {}
    texts: dict[str, tuple[str, ...]] = {}
    for file_name, content in files:
        name = file_name.removesuffix(_SUFFIX)
        array = read_npy(content)
        if array.dtype.kind in _TEXT:
            if is_text_name(name.casefold()) and array.size <= MAX_TEXTS:
                texts[name.casefold()] = tuple(array.astype(str).reshape(-1).tolist())
        else:
            arrays[name] = Stored(array.shape, array.dtype, partial(np.asarray, array))
    return decode_container(Container("npz", arrays, texts), hints, limits)
