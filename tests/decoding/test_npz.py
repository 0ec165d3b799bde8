"""npz: which array is the signal, what others say of it, and archives that lie."""

import io
import struct
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode
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


def npz(*, packed: bool = False, **arrays: object) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["arr_0", "signal", "ECG", "anything"])
@pytest.mark.parametrize("transposed", [True, False])
def test_one_array(short: np.ndarray, name: str, packed: bool, transposed: bool) -> None:
    body = npz(packed=packed, **{name: short.T if transposed else short})
    for kind in ("application/x-npz", "application/zip", "application/octet-stream"):
        decoded = decode(Upload((("", body),), kind), FS)
        assert (decoded.format, decoded.leads) == ("npz", STANDARD_LEADS)
        assert_array_equal(decoded.signal_mv, short)
        assert decoded.units_assumed


@pytest.mark.parametrize("rate", ["fs", "Fs", "sampling_rate", "sample_rate", "sfreq", "FREQUENCY"])
def test_what_other_arrays_say(short: np.ndarray, rate: str) -> None:
    names = np.array(["II", "V5", "aVR"])
    body = npz(signal=short[:3] * 1000, **{rate: 250}, units="uV", lead_names=names, age=71)
    decoded = decode(body)
    assert (decoded.fs_hz, decoded.leads, decoded.units_assumed) == (
        250,
        ("II", "aVR", "V5"),
        False,
    )
    assert_allclose(decoded.signal_mv[1], short[2], rtol=1e-6)
    for hints in (Hints(fs_hz=500), Hints(units="mV"), Hints(leads=("I", "V5", "aVR"))):
        with pytest.raises(InvalidParameter):
            decode(body, hints)


def test_an_array_for_each_lead(short: np.ndarray) -> None:
    leads = dict(zip(STANDARD_LEADS, short, strict=True))
    decoded = decode(npz(**leads, fs=500, time=np.arange(600), ages=np.arange(3)))
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 500)
    assert_array_equal(decoded.signal_mv, short)
    assert decode(npz(mlII=short[0], V5=short[1]), FS).leads == ("V5", "mlII")
    with pytest.raises(InvalidSignal):
        decode(npz(I=short[0], II=short[1, :-1]), FS)


def test_the_one_table_among_vectors(short: np.ndarray) -> None:
    assert_array_equal(decode(npz(b=short, a=short[0], n=5), FS).signal_mv, short)
    with pytest.raises(InvalidFormat, match="Several"):
        decode(npz(a=short, b=short), FS)
    with pytest.raises(InvalidFormat, match="capitals"):
        decode(npz(ecg=short, ECG=short), FS)
    assert decode(npz(x=1.5, I=short[0]), FS).leads == ("I",)
    with pytest.raises(InvalidFormat, match="No array"):
        decode(npz(names=np.array(["I"]), fs=500), FS)


def test_integers_need_units(short: np.ndarray) -> None:
    stored = np.rint(short * 1000).astype(np.int16)
    with pytest.raises(MissingParameter) as caught:
        decode(npz(val=stored))
    assert caught.value.extra == {"parameters": ["fs_hz", "units"]}
    assert_allclose(decode(npz(val=stored), Hints(1000, "uV")).signal_mv, short, atol=5e-4)


def test_many_recordings(short: np.ndarray) -> None:
    with pytest.raises(InvalidFormat, match="holds 2 recordings"):
        decode(npz(x=np.stack([short, short])), FS)
    assert_array_equal(decode(npz(x=short[np.newaxis]), FS).signal_mv, short)
    with pytest.raises((InvalidFormat, InvalidSignal)):
        decode(npz(x=short[np.newaxis, np.newaxis]), FS)


def test_names_that_do_not_fit(short: np.ndarray) -> None:
    for hints in (FS, Hints(fs_hz=1000, leads=STANDARD_LEADS)):
        with pytest.raises(InvalidSignal, match="13 lead names"):
            decode(npz(x=short, leads=np.array([*STANDARD_LEADS, "X"])), hints)


@pytest.mark.parametrize("rate", [0, -5, np.nan, np.inf, 1e9])
def test_impossible_rates(short: np.ndarray, rate: float) -> None:
    with pytest.raises(InvalidSignal):
        decode(npz(x=short, fs=rate))


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("name", ["signal", "other", "fs", "lead_names"])
def test_nothing_is_unpickled(short: np.ndarray, name: str) -> None:
    arrays = {"x": short, name: np.array([Trap()])}
    with pytest.raises(EcgServeError):
        decode(npz(**arrays), FS)


def test_bombs(made: ModuleType, short: np.ndarray) -> None:
    limits = Limits(max_unpacked_bytes=1 << 20)
    with pytest.raises(PayloadTooLarge):
        decode(npz(packed=True, x=np.zeros((12, 50_000))), FS, limits)
    with pytest.raises(PayloadTooLarge):
        decode(npz(x=short), FS, Limits(max_samples=7199))
    with pytest.raises(PayloadTooLarge):
        decode(npz(**{f"a{i}": 1 for i in range(101)}), FS)


@pytest.mark.parametrize("shape", ["(12, 99999999999)", "(-12, -600)", "(12, 600.0)", "(" * 300])
def test_headers_that_lie(made: ModuleType, short: np.ndarray, shape: str) -> None:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(57_600)
    for files in ([("x.npy", array)], [("x.npy", made.npy(short)), ("fs.npy", array)]):
        with pytest.raises((CorruptedData, InvalidFormat)):
            decode(made.zip(*files), FS)


def test_cut_anywhere(short: np.ndarray) -> None:
    for body in (npz(x=short[:, :50], fs=500), npz(packed=True, x=short[:, :50], fs=500)):
        for length in range(1, len(body), 97):
            with pytest.raises(EcgServeError):
                decode(body[:length])
