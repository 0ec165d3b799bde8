"""Parquet: columns of leads and of times, metadata, and files that lie."""

import builtins
import io
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode
from serve_app.decoding.parquet_table import decode_here
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidParameter,
    InvalidSignal,
    MissingParameter,
    NotInstalled,
    PayloadTooLarge,
)
from serve_app.recording import STANDARD_LEADS

pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")

FS = Hints(fs_hz=1000)


def parquet(
    columns: dict[str, object], metadata: dict[str, str] | None = None, **options: object
) -> bytes:
    stream = io.BytesIO()
    table = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def by_lead(signal: np.ndarray) -> dict[str, object]:
    return dict(zip(STANDARD_LEADS, signal, strict=False))


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("options", [{}, {"row_group_size": 100, "version": "1.0"}])
def test_a_column_for_each_lead(short: np.ndarray, compression: str, options) -> None:
    body = parquet(by_lead(short), compression=compression, **options)
    for kind in ("application/vnd.apache.parquet", "application/octet-stream"):
        decoded = decode(Upload((("", body),), kind), FS)
        assert (decoded.format, decoded.leads) == ("parquet", STANDARD_LEADS)
        assert_array_equal(decoded.signal_mv, short)
        assert decoded.units_assumed
    with pytest.raises(MissingParameter, match="fs_hz"):
        decode(body)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_metadata(short: np.ndarray, dtype: str) -> None:
    columns = by_lead((short[:3] * 1000).astype(dtype))
    body = parquet(columns, {"fs_hz": "500", "units": "uV", "patient": "Jane Roe"})
    decoded = decode(body)
    assert (decoded.fs_hz, decoded.units_assumed) == (500, False)
    assert_allclose(decoded.signal_mv, short[:3], rtol=2e-3 if dtype == "f2" else 1e-6, atol=1e-6)
    for hints in (Hints(fs_hz=250), Hints(units="mV"), Hints(leads=("II", "I", "III"))):
        with pytest.raises(InvalidParameter):
            decode(body, hints)
    with pytest.raises(InvalidSignal):
        decode(parquet(columns, {"fs_hz": "fast"}))


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("time", np.arange(600) / 500),
        ("t_ms", np.arange(600) * 2),
        ("at", pa.array(np.arange(600) * 2_000 + 1_700_000_000_000_000, pa.timestamp("us"))),
        ("at", pa.array(np.arange(600) * 2, pa.timestamp("ms", tz="UTC"))),
        ("since", pa.array(np.arange(600) * 2_000_000, pa.duration("ns"))),
    ],
)
def test_time_column_gives_the_rate(short: np.ndarray, name: str, times: object) -> None:
    decoded = decode(parquet({name: times, **by_lead(short)}, {"units": "mV"}))
    assert (decoded.fs_hz, decoded.leads) == (500, STANDARD_LEADS)
    assert_array_equal(decoded.signal_mv, short)
    with pytest.raises(InvalidSignal, match="metadata say 250"):
        decode(parquet({name: times, **by_lead(short)}, {"fs_hz": "250"}))


def test_other_columns(short: np.ndarray) -> None:
    columns = {
        "name": ["Jane Roe"] * 600,
        "__index_level_0__": np.arange(600),
        "sample": np.arange(600),
        "II (uV)": short[1] * 1000,
        "V5 (uV)": short[10] * 1000,
        "ABP (mmHg)": short[0],
        "paced": [True] * 600,
    }
    decoded = decode(parquet(columns), FS)
    assert (decoded.leads, decoded.units_assumed) == (("II", "V5"), False)
    assert_allclose(decoded.signal_mv, short[[1, 10]], rtol=1e-6)


def test_missing_samples(short: np.ndarray) -> None:
    columns = {"I": [0.5, None, 1.5], "II": [1, None, 3]}
    decoded = decode(parquet(columns), Hints(fs_hz=500, units="mV"))
    assert_array_equal(decoded.signal_mv, np.float32([[0.5, np.nan, 1.5], [1, np.nan, 3]]))


def test_integers_need_units(short: np.ndarray) -> None:
    body = parquet(by_lead(np.rint(short * 1000).astype("i2")))
    with pytest.raises(MissingParameter, match="units"):
        decode(body, FS)
    assert_allclose(decode(body, Hints(1000, "uV")).signal_mv, short, atol=5e-4)


def test_what_is_no_table_of_leads(short: np.ndarray) -> None:
    for columns in (
        {"name": ["Jane Roe"]},
        {"I": [short[0].tolist()], "fs": [500.0]},
        {f"x{i}": [1.0] for i in range(300)},
        {"s": [{"I": 1.0}]},
    ):
        with pytest.raises(InvalidFormat):
            decode(parquet(columns), FS)
    with pytest.raises(InvalidSignal):
        decode(parquet({"I": np.array([])}), FS)


def test_limits(short: np.ndarray) -> None:
    repeated = parquet({"I": np.zeros(500_000)})
    packed = parquet({"I": np.zeros(500_000)}, compression="gzip", use_dictionary=False)
    assert len(repeated) < len(packed) < 10_000
    for body, limits in (
        (repeated, Limits(max_samples=499_999)),
        (packed, Limits(max_unpacked_bytes=len(packed))),
    ):
        with pytest.raises(PayloadTooLarge):
            decode(body, FS, limits)
        assert decode(body, FS).signal_mv.shape == (1, 500_000)


def test_without_pyarrow(short: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def fail(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *args, **kwargs)

    body = parquet(by_lead(short))
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(NotInstalled) as caught:
        decode_here(body, FS, Limits(), "parquet")
    assert "ecg-fm-serve[parquet]" in caught.value.hint


def test_a_footer_that_ends_the_reader() -> None:
    """Found by mutation: pyarrow calls abort() over some of these, in the other process."""
    body = parquet({"I": np.zeros(3), "II": np.zeros(3)}, store_schema=False)
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    refused = 0
    for place in range(footer, footer + 24):
        try:
            decode(body[:place] + b"\0" + body[place + 1 :], FS)
        except EcgServeError as error:
            refused += error.status < 500
    assert refused > 3
    assert decode(body, FS).leads == ("I", "II")


def test_mutations(short: np.ndarray, made: ModuleType) -> None:
    survived = 0
    for compression in ("none", "snappy", "gzip", "zstd"):
        body = parquet(by_lead(short[:3, :200]), {"units": "mV"}, compression=compression)
        for mutant in made.mutants(body, 100):
            try:
                survived += decode(mutant, FS).signal_mv.size > 0
            except EcgServeError as error:
                assert error.status < 500, error  # noqa: PT017 - most mutants are refused
    assert survived > 0


def test_cut_anywhere(short: np.ndarray) -> None:
    body = parquet(by_lead(short[:3, :200]))
    for length in range(4, len(body), 53):
        with pytest.raises(CorruptedData):
            decode(body[:length], FS)
