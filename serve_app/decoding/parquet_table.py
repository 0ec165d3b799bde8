"""Parquet: a row a sample, a column a lead, perhaps one of times; rate and units as metadata."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.csv_dialect import MAX_COLUMNS, Column, named_column
from serve_app.decoding.decoded import Decoded, missing_parameter
from serve_app.decoding.isolation import decode_apart
from serve_app.decoding.named_arrays import is_rate_name
from serve_app.decoding.table_columns import decode_columns
from serve_app.decoding.units import electric_unit
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidSignal,
    NotInstalled,
    PayloadTooLarge,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

__all__ = ["decode_here", "decode_parquet", "looks_like_parquet"]

_MAGIC: Final = b"PAR1"
_MAX_STRING_BYTES, _MAX_FOOTER_ITEMS, _MAX_DEPTH = 1 << 20, 100_000, 10
_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PANDAS_INDEX: Final = "__index_level_"
_FS_TOLERANCE: Final = 1e-3


def looks_like_parquet(data: bytes) -> bool:
    """Whether the magic string is there; encrypted files have another."""
    return data.startswith(_MAGIC)


def decode_parquet(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the columns of numbers; ``fs_hz`` and ``units`` may stand in the file's metadata.

    Raises:
        NotInstalled: pyarrow is missing.
        InvalidFormat: No Parquet, or no column of numbers.
        CorruptedData: Cut short or damaged.
        InvalidSignal: Times that are not regular, or no column of samples.
        MissingParameter: Integers without ``units``.
        PayloadTooLarge: More bytes or samples than `limits` allow.
    """
    if not looks_like_parquet(data):
        raise InvalidFormat("This is no Parquet file.")
    return decode_apart("parquet", data, hints, limits)


def decode_here(data: bytes, hints: Hints, limits: Limits, format_name: str) -> Decoded:
    """`decode_parquet` in this process, which the library may end."""
    file = _opened(data)
    try:
        _check_size(file, limits)
        fields = [field for field in file.schema_arrow if _is_numeric(field)]
        if not 0 < len(fields) <= MAX_COLUMNS:
            raise InvalidFormat(
                f"The Parquet file has {len(fields)} columns of numbers.",
                hint="Write one column a lead, a row a sample.",
            )
        table = file.read(columns=[field.name for field in fields], use_threads=False)
        numbers = [_numbers(column) for column in table.columns]
        metadata = _metadata(file)
    except (EcgServeError, MemoryError):
        raise
    except Exception:  # pyarrow's errors, of many kinds, may quote what is in the file
        raise _damaged() from None
    return _decoded(list(table.schema), numbers, metadata, hints, format_name)


def _opened(data: bytes) -> "ParquetFile":
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise NotInstalled(
            "Parquet is not read here: pyarrow is not installed.",
            hint="Send npy or CSV; or have the server's owner run pip install "
            "'ecg-fm-serve[parquet]'.",
        ) from None
    try:
        return ParquetFile(
            pa.BufferReader(data),
            pre_buffer=False,
            thrift_string_size_limit=_MAX_STRING_BYTES,
            thrift_container_size_limit=_MAX_FOOTER_ITEMS,
            schema_depth_limit=_MAX_DEPTH,
            arrow_extensions_enabled=False,
        )
    except (pa.ArrowException, OSError, ValueError):
        raise _damaged() from None


def _damaged() -> CorruptedData:
    return CorruptedData("The Parquet file is cut short or damaged.")


def _check_size(file: "ParquetFile", limits: Limits) -> None:
    """Refuse what the footer says is too much; a footer that lies is found when it is read."""
    metadata = file.metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    limits.check_samples(
        max(metadata.num_rows, sum(group.num_rows for group in groups)) * metadata.num_columns
    )
    for group in groups:
        values = (group.column(i).num_values for i in range(group.num_columns))
        if any(count != group.num_rows for count in values):
            raise InvalidFormat(
                "The Parquet file holds lists.", hint="Write one column a lead, a row a sample."
            )
    if sum(group.total_byte_size for group in groups) > limits.max_unpacked_bytes:
        raise PayloadTooLarge(
            f"The Parquet file unpacks to more than {limits.max_unpacked_bytes} bytes."
        )


def _is_numeric(field: "pa.Field") -> bool:
    from pyarrow import types

    kinds = (types.is_floating, types.is_integer, types.is_timestamp, types.is_duration)
    return any(is_kind(field.type) for is_kind in kinds) and not field.name.startswith(
        _PANDAS_INDEX
    )


def _numbers(column: "pa.ChunkedArray") -> npt.NDArray[Any]:
    """A column's numbers, NaN where one is missing; times from the first one on."""
    if not hasattr(column.type, "unit"):
        return np.asarray(column.to_numpy())
    stamps = column.cast("int64").to_numpy()
    return np.asarray(stamps - stamps[:1])


def _metadata(file: "ParquetFile") -> dict[str, str]:
    stored = file.schema_arrow.metadata or {}
    return {
        key.decode("utf-8", "replace").casefold(): value[:100].decode("utf-8", "replace")
        for key, value in stored.items()
    }


def _decoded(
    fields: list["pa.Field"],
    numbers: list[npt.NDArray[Any]],
    metadata: dict[str, str],
    hints: Hints,
    format_name: str,
) -> Decoded:
    unit = electric_unit(metadata.get("units", ""))
    columns = tuple(_column(field) for field in fields)
    columns = tuple(
        replace(column, unit=unit) if column.kind == "signal" and not column.unit else column
        for column in columns
    )
    signals = [x for column, x in zip(columns, numbers, strict=True) if column.kind == "signal"]
    table = np.array(numbers, dtype=np.float64)
    decoded = decode_columns(columns, table, hints, format_name, named=True)
    if not decoded.units and hints.units is None and all(x.dtype.kind in "iu" for x in signals):
        raise missing_parameter(format_name, "units")
    return replace(decoded, fs_hz=_sampling_rate(metadata, decoded.fs_hz))


def _column(field: "pa.Field") -> Column:
    if hasattr(field.type, "unit"):
        return Column(field.name, "time", seconds=_SECONDS[field.type.unit])
    return named_column(field.name, "")


def _sampling_rate(metadata: dict[str, str], by_times: float | None) -> float | None:
    try:
        said = next((float(metadata[key]) for key in metadata if is_rate_name(key)), None)
    except ValueError:
        raise InvalidSignal("The sampling rate in the metadata is no number.") from None
    if said is not None and by_times is not None and abs(said / by_times - 1) > _FS_TOLERANCE:
        raise InvalidSignal(f"The metadata say {said:g} Hz, the time column {by_times:g} Hz.")
    return by_times if said is None else said
