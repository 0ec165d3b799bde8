"""npy: which axis holds the leads, and headers that lie."""

import io
import struct
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, decode
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidParameter,
    InvalidSignal,
    MissingParameter,
    PayloadTooLarge,
)
from serve_app.recording import STANDARD_LEADS

FS = Hints(fs_hz=1000)


def header(shape: str, dtype: str = "<f4", version: int = 1) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_both_orientations(
    short: np.ndarray, made: ModuleType, transposed: bool, dtype: str
) -> None:
    array = short.astype(dtype)
    decoded = decode(made.npy(array.T if transposed else array), FS)
    assert decoded.leads == STANDARD_LEADS
    assert decoded.units_assumed
    assert_array_equal(decoded.signal_mv, array.astype(np.float32))


def test_fortran_order(short: np.ndarray, made: ModuleType) -> None:
    assert_array_equal(decode(made.npy(np.asfortranarray(short)), FS).signal_mv, short)


def test_named_leads_tell_the_axis(short: np.ndarray, made: ModuleType) -> None:
    hints = Hints(fs_hz=1000, leads=("I", "II"))
    for array in (short[:2], short[:2].T):
        assert_array_equal(decode(made.npy(array), hints).signal_mv, short[:2])
    one = decode(made.npy(short[0]), Hints(fs_hz=1000, leads=("I",)))
    assert_array_equal(one.signal_mv, short[:1])


@pytest.mark.parametrize("count", [1, 2, 8, 13])
def test_other_counts_need_names(made: ModuleType, count: int) -> None:
    with pytest.raises(MissingParameter, match="leads"):
        decode(made.npy(np.zeros((count, 600))), FS)
    with pytest.raises(InvalidParameter):
        decode(made.npy(np.zeros((count, 600))), Hints(fs_hz=1000, leads=("I", "II", "III")))


def test_rate_is_needed(short: np.ndarray, made: ModuleType) -> None:
    with pytest.raises(MissingParameter, match="fs_hz"):
        decode(made.npy(short))


def test_integers_need_units(short: np.ndarray, made: ModuleType) -> None:
    body = made.npy(np.rint(short * 1000).astype(np.int16))
    with pytest.raises(MissingParameter, match="units"):
        decode(body, FS)
    assert_allclose(decode(body, Hints(1000, "uV")).signal_mv, short, atol=5e-4)


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}, 1], dtype=object),
        np.array(["a"]),
        np.zeros(3, complex),
        np.zeros(3, bool),
        np.zeros(3, [("a", "f4")]),
        np.zeros(3, "M8[s]"),
    ],
)
def test_other_things_than_real_numbers(array: np.ndarray) -> None:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    with pytest.raises(InvalidFormat):
        decode(stream.getvalue(), FS)


@pytest.mark.parametrize(
    "body",
    [
        header("(12, 99999999999999)"),
        header("(99999999999999999999999, 12)"),
        header("(-12, -5000)") + b"\0" * 240_000,
        header("(12, 5000)") + b"\0" * 239_999,
        header("(12, 5000)", version=2) + b"\0" * 9,
        header("(12, 5000.0)") + b"\0" * 240_000,
        header("('a',)"),
        header("(" * 500),
        header("(12, 5000)", "<f99"),
        header("(12,)")[:20],
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff" + b" " * 65_535,
        b"\x93NUMPY\x09\x00" + b" " * 100,
    ],
)
def test_headers_that_lie(body: bytes) -> None:
    with pytest.raises((CorruptedData, InvalidFormat)):
        decode(body, FS)


@pytest.mark.parametrize("shape", [(), (1, 12, 600), (0,), (12, 0)])
def test_other_dimensions(made: ModuleType, shape: tuple[int, ...]) -> None:
    with pytest.raises((InvalidSignal, MissingParameter)):
        decode(made.npy(np.zeros(shape)), FS)


def test_limit(short: np.ndarray, made: ModuleType) -> None:
    with pytest.raises(PayloadTooLarge):
        decode(made.npy(short), FS, Limits(max_samples=7199))


def test_nothing_is_unpickled(made: ModuleType) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return pytest.fail, ("unpickled",)

    stream = io.BytesIO()
    np.save(stream, np.array([Trap()]), allow_pickle=True)
    with pytest.raises(EcgServeError):
        decode(stream.getvalue(), FS)
