"""MATLAB: what the public data sets write, against SciPy's reader; and files that lie."""

import io
import struct
import zlib
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
import scipy.io
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.decoding.matlab_v5 import read_v5
from serve_app.decoding.upload import DEFAULT_LIMITS
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidParameter,
    MissingParameter,
    PayloadTooLarge,
)
from serve_app.preprocessing import prepare
from serve_app.recording import STANDARD_LEADS

FS = Hints(fs_hz=1000)


def mat(*, version: str = "5", packed: bool = False, **variables: object) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, format=version, do_compression=packed)
    return stream.getvalue()


def mat73(**variables: np.ndarray | str) -> bytes:
    """As MATLAB saves it: 512 bytes of its own, arrays by columns, texts as numbers."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=512) as file:
        for name, value in variables.items():
            text = isinstance(value, str)
            array = np.array([list(map(ord, value))], "u2") if text else np.atleast_2d(value)
            data_set = file.create_dataset(name.replace("__", "/"), data=array.T)
            data_set.attrs["MATLAB_class"] = np.bytes_("char" if text else array.dtype.name)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\x02IM"
    return header + stream.getvalue()[len(header) :]


VERSIONS = [("4", False), ("5", False), ("5", True)]


@pytest.mark.parametrize(("version", "packed"), VERSIONS)
@pytest.mark.parametrize("dtype", ["<f8", "<f4", ">f8", "<i2"])
def test_versions(short: np.ndarray, version: str, packed: bool, dtype: str) -> None:
    stored = np.rint(short * 800).astype(dtype)
    body = mat(version=version, packed=packed, val=stored, fs=np.array([[500]]))
    for kind in ("application/x-matlab-data", "application/octet-stream"):
        decoded = decode(Upload((("", body),), kind), Hints(units="mV"))
        assert (decoded.format, decoded.fs_hz, decoded.leads) == ("matlab", 500, STANDARD_LEADS)
        assert_array_equal(decoded.signal_mv, stored)


def test_big_endian_level_4(short: np.ndarray) -> None:
    head = struct.pack(">5i", 1000, 12, 600, 0, 4)
    body = head + b"ecg\0" + short.astype(">f8").tobytes(order="F")
    assert_array_equal(decode(body, FS).signal_mv, short)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("packed", [True, False])
def test_level_5_against_scipy(dtype: str, packed: bool) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        f"a{rows}": rng.integers(0, 100, (rows, 7)).astype(dtype) for rows in (1, 2, 3, 8, 12)
    }
    body = mat(packed=packed, **arrays, s={"inner": arrays["a3"], "text": "Jane Roe"})
    theirs = scipy.io.loadmat(io.BytesIO(body))
    container = read_v5(body, DEFAULT_LIMITS)
    assert set(container.arrays) == {*arrays, "inner"}
    assert container.texts == {"text": ()}
    for name in arrays:
        ours = container.arrays[name].read()
        assert ours.dtype == theirs[name].dtype
        assert_array_equal(ours, theirs[name])


def test_version_7_3(short: np.ndarray) -> None:
    body = mat73(val=short * 1000, Fs=np.array([[250.0]]), units="uV")
    decoded = decode(body)
    assert (decoded.format, decoded.fs_hz, decoded.units_assumed) == ("matlab", 250, False)
    assert_allclose(decoded.signal_mv, short, rtol=1e-6)
    in_struct = mat73(ECG__data=short, ECG__fs=np.array([[1000.0]]), ECG__sex="Male")
    assert_array_equal(decode(in_struct).signal_mv, short)
    for length in (100, 500, 600, 1500, len(body) - 3000):
        with pytest.raises((CorruptedData, InvalidFormat)):
            decode(body[:length])


@pytest.mark.parametrize(
    ("name", "value"),
    [("fs", 250), ("Fs", 250.0), ("sample_rate", 250), ("srate", 250), ("curr_sample_rate", 250)],
)
def test_rates(short: np.ndarray, name: str, value: float) -> None:
    body = mat(signal=short, **{name: value, "org_sample_rate": 400, "age": 60})
    assert decode(body).fs_hz == 250
    with pytest.raises(InvalidParameter):
        decode(body, Hints(fs_hz=400))


@pytest.mark.parametrize("names", [np.array(["V1 ", "aVR"]), np.array(["V1", "aVR"], dtype=object)])
def test_lead_names_and_units(short: np.ndarray, names: np.ndarray) -> None:
    decoded = decode(mat(x=short[:2] * 1000, leads=names, units="uV", fs=1000))
    assert decoded.leads == ("aVR", "V1")
    assert_allclose(decoded.signal_mv, short[[1, 0]], rtol=1e-6)


def test_which_variable(short: np.ndarray) -> None:
    assert_array_equal(decode(mat(b=short, note="x", k=5), FS).signal_mv, short)
    assert_array_equal(decode(mat(other=short * 2, ecg=short), FS).signal_mv, short)
    lead_each = dict(zip(STANDARD_LEADS, short, strict=True))
    assert_array_equal(decode(mat(**lead_each), FS).signal_mv, short)
    with pytest.raises(InvalidFormat, match="Several"):
        decode(mat(a=short, b=short), FS)
    with pytest.raises(InvalidFormat, match="No array"):
        decode(mat(name="Jane Roe", z=short * 1j, on=short > 0), FS)
    with pytest.raises(InvalidFormat, match="two arrays"):
        decode(mat(a={"data": short}, b={"data": short}), FS)


def test_challenge_records(data_dir: Path) -> None:
    """A bare .mat of PhysioNet/CinC has no unit and no rate; its header's are 1000/mV, 500 Hz."""
    path = data_dir / "twelve_lead/cinc2021/A0003.mat"
    with pytest.raises(MissingParameter) as caught:
        decode(path.read_bytes())
    assert caught.value.extra == {"parameters": ["fs_hz", "units"]}
    alone = decode(path.read_bytes(), Hints(fs_hz=500, units="uV"))
    whole = decode_path(path.with_suffix(".hea"))
    assert (alone.format, whole.format, alone.leads) == ("matlab", "wfdb", whole.leads)
    assert_allclose(alone.signal_mv, whole.signal_mv, atol=1e-6)


def test_cpsc_2018(data_dir: Path) -> None:
    path = data_dir / "twelve_lead/cpsc2018/A1983.mat"
    decoded = decode_path(path)
    theirs = scipy.io.loadmat(path)["ECG"]["data"][0, 0]
    assert (decoded.fs_hz, decoded.leads, decoded.units_assumed) == (500, STANDARD_LEADS, False)
    assert_array_equal(decoded.signal_mv, theirs.astype(np.float32))
    assert decode_path(path, Hints(fs_hz=250)).fs_hz == 250


def test_chapman_and_cpsc_2019(data_dir: Path) -> None:
    for path in (data_dir / "twelve_lead/chapman_denoised").glob("*.mat"):
        decoded = decode_path(path, Hints(fs_hz=500, units="uV"))
        theirs = scipy.io.loadmat(path)["val"].T / 1000
        assert_allclose(decoded.signal_mv, theirs, rtol=1e-6)
    for path in (data_dir / "beats/cpsc2019/data").glob("*.mat"):
        decoded = decode_path(path, Hints(fs_hz=500, leads=("II",)))
        assert_allclose(decoded.signal_mv[0], scipy.io.loadmat(path)["ecg"][:, 0], rtol=1e-6)


def test_ecg_fm_files(data_dir: Path) -> None:
    """Raw, resampled and cut files of ECG-FM's own pipeline are one recording in millivolts."""
    folder = data_dir / "twelve_lead/code15"
    raw = decode_path(folder / "code_15_438277.mat")
    resampled = decode_path(folder / "ecgfm_preprocessed/code_15_438277.mat")
    segment = decode_path(folder / "ecgfm_segmented/code_15_438277_0.mat")
    assert (raw.fs_hz, resampled.fs_hz, segment.fs_hz) == (400, 500, 500)
    assert_allclose(segment.signal_mv, resampled.signal_mv[:, :2500], atol=1e-5)
    # Their linear resampling keeps every fourth sample, but for its rounded-down length.
    assert np.corrcoef(resampled.signal_mv[1, ::5][:700], raw.signal_mv[1, ::4][:700])[0, 1] > 0.99
    assert_allclose(resampled.signal_mv.std(1), raw.signal_mv.std(1), rtol=0.01)
    assert_allclose(prepare(segment).segments[0].std(1), 1, atol=0.1)


def tag(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(what: int, shape: tuple[int, ...], *parts: bytes, name: bytes = b"val") -> bytes:
    flags = tag(6, struct.pack("<II", what, 0))
    dims = tag(5, struct.pack(f"<{len(shape)}i", *shape))
    return tag(14, flags + dims + tag(1, name) + b"".join(parts))


def v5(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM" + b"".join(elements)


def deflated(element: bytes) -> bytes:
    packed = zlib.compress(element)
    return struct.pack("<II", 15, len(packed)) + packed


NUMBERS = tag(9, bytes(12 * 600 * 8))


@pytest.mark.parametrize(
    "element",
    [
        matrix(6, (12, 2_000_000_000), NUMBERS),
        matrix(6, (-12, -600), NUMBERS),
        matrix(6, (12, 599), NUMBERS),
        matrix(6, (), NUMBERS),
        matrix(6, (12, 600)),
        matrix(6, (12, 600), tag(77, bytes(8))),
        matrix(6, (12, 600), NUMBERS)[:-9],
        matrix(1, (2_000_000_000, 1)),
        matrix(2, (1, 1), tag(5, b"\xff" * 4), tag(1, b"data")),
        matrix(2, (2_000_000_000, 1), tag(5, struct.pack("<i", 8)), tag(1, b"data\0\0\0\0")),
        struct.pack("<II", 14, 0xFFFFFFFF),
        struct.pack("<II", 15, 100) + b"no deflate".ljust(100),
        deflated(b""),
        deflated(matrix(6, (12, 600), NUMBERS)[:-100]),
        tag(14, b""),
        tag(14, tag(6, b"")),
    ],
)
def test_elements_that_lie(element: bytes) -> None:
    for body in (v5(element), v5(deflated(element))):
        with pytest.raises((CorruptedData, InvalidFormat)):
            decode(body, FS)


def test_nesting_does_not_recurse() -> None:
    inner = matrix(6, (12, 600), NUMBERS, name=b"")
    for _ in range(200):
        inner = matrix(2, (1, 1), tag(5, struct.pack("<i", 8)), tag(1, b"data\0\0\0\0"), inner,
                       name=b"")  # fmt: skip
    with pytest.raises(InvalidFormat):
        decode(v5(inner), FS)


def test_bombs() -> None:
    limits = Limits(max_unpacked_bytes=1 << 20)
    one = deflated(matrix(6, (1, 100_000), tag(9, bytes(800_000)), name=b"a"))
    other = deflated(matrix(6, (1, 100_000), tag(9, bytes(800_000)), name=b"b"))
    with pytest.raises(PayloadTooLarge):
        decode(v5(deflated(matrix(6, (12, 50_000), tag(9, bytes(4_800_000))))), FS, limits)
    with pytest.raises(PayloadTooLarge):
        decode(v5(one, other), FS, limits)
    with pytest.raises(PayloadTooLarge):
        decode(v5(matrix(6, (12, 600), NUMBERS)), FS, Limits(max_samples=7199))
    empty = matrix(1, (3000, 1), *[tag(14, b"")] * 3000, name=b"leads")
    assert len(decode(v5(empty, matrix(6, (12, 600), NUMBERS)), FS).leads) == 12
    with pytest.raises(InvalidFormat, match="far more arrays"):
        decode(v5(*[matrix(6, (1, 1), tag(9, bytes(8)), name=b"%d" % i) for i in range(3000)]), FS)


@pytest.mark.parametrize(
    "header",
    [
        (0, -12, -600, 0, 4),
        (0, 12, 2_000_000_000, 0, 4),
        (0, 12, 600, 0, 4_000),
        (0, 12, 601, 0, 4),
    ],
)
def test_level_4_headers_that_lie(header: tuple[int, ...]) -> None:
    body = struct.pack("<5i", *header) + b"val\0" + bytes(12 * 600 * 8)
    for kind in ("application/octet-stream", "application/x-matlab-data"):
        with pytest.raises((CorruptedData, InvalidFormat)):
            decode(Upload((("", body),), kind), FS)


def bodies(short: np.ndarray) -> dict[str, bytes]:
    few = short[:, :60]
    struct_ = {"sex": "M", "age": 4, "data": few}
    return {
        "v4": mat(version="4", val=few, fs=500),
        "v5": mat(ECG=struct_, units="mV", leads=np.array(STANDARD_LEADS, dtype=object)),
        "v7": mat(packed=True, ECG=struct_, feats=few),
        "v7.3": mat73(val=few, fs=np.array([[500.0]]), units="mV"),
    }


@pytest.mark.parametrize("version", ["v4", "v5", "v7", "v7.3"])
def test_mutations(short: np.ndarray, made: ModuleType, version: str) -> None:
    body, survived = bodies(short)[version], 0
    for mutant in made.mutants(body, 250):
        try:
            survived += decode(mutant, Hints(fs_hz=500)).signal_mv.size > 0
        except EcgServeError as error:
            assert error.status < 500, error  # noqa: PT017 - most mutants are refused
    assert survived > 0


@pytest.mark.parametrize("version", ["v4", "v5", "v7", "v7.3"])
def test_cut_anywhere(short: np.ndarray, version: str) -> None:
    body = bodies(short)[version]
    for length in range(1, len(body) - 700, 61):
        with pytest.raises(EcgServeError) as caught:
            decode(body[:length], FS)
        assert caught.value.status < 500
