"""DICOM's deflated transfer syntax: pydicom would inflate it without a limit."""

import zlib
from typing import Final

from serve_app.decoding.upload import Limits
from serve_app.errors import CorruptedData, PayloadTooLarge

__all__ = ["DEFLATED", "inflated"]

DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_UNKNOWN: Final = b"1.2.840.10008.1.2.1.xx"
_LONG_VRS: Final = {b"OB", b"OW", b"UN", b"SQ", b"UT"}  # their length is of four bytes, not two


def inflated(data: bytes, limits: Limits) -> bytes:
    """The dataset of a deflated file, without its meta group; any other file as it is.

    What is returned names the deflated syntax nowhere, so that pydicom never inflates it, whether
    the meta group is a usual one or made to be read in two ways.

    Raises:
        CorruptedData: Cut short or damaged.
        PayloadTooLarge: More bytes than `limits` allow.
    """
    if DEFLATED not in data:
        return data
    start, transfer_syntax = _end_of_file_meta(data)
    if transfer_syntax == DEFLATED:
        data = _inflate(data[start:], limits.max_unpacked_bytes)
    return data.replace(DEFLATED, _UNKNOWN)


def _inflate(content: bytes, max_bytes: int) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        dataset = stream.decompress(content, max_bytes)
    except zlib.error:
        raise CorruptedData("The deflated DICOM dataset is damaged.") from None
    if stream.eof:
        return dataset
    if len(dataset) < max_bytes:
        raise CorruptedData("The deflated DICOM dataset is cut short.")
    raise PayloadTooLarge(f"The DICOM dataset inflates to more than {max_bytes} bytes.")


def _end_of_file_meta(data: bytes) -> tuple[int, bytes]:
    """Where the dataset starts, and the transfer syntax, from the elements of group 2."""
    place, transfer_syntax = 132 if data[128:132] == b"DICM" else 0, b""
    while data[place : place + 2] == b"\x02\x00":
        value, length = place + 8, int.from_bytes(data[place + 6 : place + 8], "little")
        if data[place + 4 : place + 6] in _LONG_VRS:
            value, length = place + 12, int.from_bytes(data[place + 8 : place + 12], "little")
        if data[place + 2 : place + 4] == b"\x10\x00":
            transfer_syntax = data[value : value + length].rstrip(b" \0")
        place = value + length
    return place, transfer_syntax
