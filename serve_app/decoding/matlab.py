"""MATLAB's .mat files of every version: v4, v5 to v7, and v7.3, which is HDF5."""

from typing import Final

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.hdf5_file import SIGNATURE, decode_hdf5
from serve_app.decoding.matlab_v4 import looks_like_v4, read_v4
from serve_app.decoding.matlab_v5 import looks_like_v5, read_v5
from serve_app.decoding.named_arrays import decode_container
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat

__all__ = ["decode_matlab", "looks_like_matlab"]

_V73: Final = b"MATLAB 7.3"
_USER_BLOCK: Final = 512


def looks_like_matlab(data: bytes) -> bool:
    """Whether a MATLAB file of any version starts here."""
    return data.startswith(_V73) or looks_like_v5(data) or looks_like_v4(data)


def decode_matlab(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the variable that is the signal, in a structure or not.

    Raises:
        InvalidFormat: This is no MATLAB file.
        CorruptedData: Cut short or damaged.
        PayloadTooLarge: It unpacks to more than `limits` allow.
        EcgServeError: As `decode_container`.
    """
    if not looks_like_matlab(data):
        raise InvalidFormat("This is no MATLAB file.")
    if data.startswith(_V73):
        if not data.startswith(SIGNATURE, _USER_BLOCK):
            raise CorruptedData("The MATLAB file is cut short or damaged.")
        return decode_hdf5(data, hints, limits, "matlab")
    container = read_v5(data, limits) if looks_like_v5(data) else read_v4(data)
    return decode_container(container, hints, limits)
