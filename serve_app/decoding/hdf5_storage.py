"""What must be true of a data set's storage before the HDF5 library may read it.

The library allocates what a file declares, inflates a chunk without bound, opens other files that
a data set names, and loads plugins for filters that it does not know.
"""

import math
import zlib
from typing import TYPE_CHECKING, Any, Final

from serve_app.decoding.upload import Limits
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal, PayloadTooLarge

if TYPE_CHECKING:
    import h5py

__all__ = ["check_heaps", "check_storage"]

_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_FILTERS: Final = {_DEFLATE, _SHUFFLE, _FLETCHER32}
_MAX_CHUNKS: Final = 20_000
_CHECKSUM: Final = 4
_HEAP: Final = b"GCOL\x01\0\0\0"


def check_heaps(data: bytes) -> None:
    """Refuse a global heap, where texts lie, whose objects do not fill it: the library loops on it.

    "HDF5 File Format Specification", III.E: a header of 16 bytes, then objects, each of an index,
    a count, four bytes unused and its size, padded to eight; object 0 is the space left free.

    Raises:
        CorruptedData: A heap is damaged.
    """
    start = data.find(_HEAP)
    while start >= 0:
        size = int.from_bytes(data[start + 8 : start + 16], "little")
        position, end = start + 16, start + size
        if not 16 <= size <= len(data) - start:
            raise _damaged_heap()
        while end - position >= 16:
            index = int.from_bytes(data[position : position + 2], "little")
            length = int.from_bytes(data[position + 8 : position + 16], "little")
            # The free space's size counts its own header.
            position += length if index == 0 else 16 + length + -length % 8
            if position > end or (index == 0 and length < 16):
                raise _damaged_heap()
        start = data.find(_HEAP, start + 16)


def _damaged_heap() -> CorruptedData:
    return CorruptedData("The HDF5 file is cut short or damaged.")


def check_storage(data_set: "h5py.Dataset", limits: Limits) -> None:
    """Refuse a data set that could not be read within the limits, or not from this file alone.

    Raises:
        InvalidFormat: External or virtual, or packed by another filter than gzip.
        InvalidSignal: Its samples were never written.
        CorruptedData: A chunk inflates to more than a chunk.
        PayloadTooLarge: More bytes than `limits` allow, or far too many chunks.
    """
    properties = data_set.id.get_create_plist()
    if data_set.is_virtual or properties.get_external_count():
        raise InvalidFormat(
            "The HDF5 file refers to other files.", hint="Copy the data set into one file."
        )
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if not set(filters) <= _FILTERS or len(set(filters)) != len(filters):
        raise InvalidFormat(
            "The HDF5 file's compression is not read here.", hint="Use gzip, or none."
        )
    _check_bytes(data_set.size * data_set.dtype.itemsize, limits)
    if data_set.id.get_storage_size() == 0:
        raise InvalidSignal("The HDF5 data set was declared, but no sample was written.")
    if data_set.chunks is not None:
        _check_chunks(data_set, filters, limits)


def _check_bytes(count: int, limits: Limits) -> None:
    if count > limits.max_unpacked_bytes:
        raise PayloadTooLarge(
            f"The HDF5 data set unpacks to {count} bytes; "
            f"at most {limits.max_unpacked_bytes} are taken."
        )


def _check_chunks(data_set: "h5py.Dataset", filters: list[int], limits: Limits) -> None:
    size = math.prod(data_set.chunks) * data_set.dtype.itemsize
    _check_bytes(size, limits)
    chunks: list[Any] = []

    def keep(chunk: Any) -> bool | None:
        chunks.append(chunk)
        return True if len(chunks) > _MAX_CHUNKS else None  # True ends the iteration

    data_set.id.chunk_iter(keep)
    # Chunks at the edges are stored whole; more are two chunks that claim one place.
    grid = math.prod(
        -(-length // step) for length, step in zip(data_set.shape, data_set.chunks, strict=True)
    )
    if len(chunks) > min(grid, _MAX_CHUNKS):
        raise PayloadTooLarge("The HDF5 data set has far too many chunks.")
    _check_bytes(len(chunks) * size, limits)
    for chunk in chunks:
        packed = _DEFLATE in filters and not chunk.filter_mask >> filters.index(_DEFLATE) & 1
        _check_chunk(data_set, chunk, size + _CHECKSUM, packed=packed)


def _check_chunk(data_set: "h5py.Dataset", chunk: Any, size: int, *, packed: bool) -> None:
    """Whether one chunk is of the size of a chunk, once it is inflated."""
    # Deflate adds a few bytes to what it cannot pack.
    if chunk.size > size + size // 100 + 64:
        raise CorruptedData("A chunk of the HDF5 data set is larger than a chunk.")
    if packed:
        stored = data_set.id.read_direct_chunk(chunk.chunk_offset)[1]
        inflated = zlib.decompressobj().decompress(stored, size + 1)
        if len(inflated) > size:
            raise CorruptedData("A chunk of the HDF5 data set inflates to more than a chunk.")
