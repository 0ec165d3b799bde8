"""HDF5: what the public data sets write, against h5py; and files that lie."""

import io
import resource
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.decoding.hdf5_file import decode_here
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
SMALL = Limits(max_unpacked_bytes=1 << 20)
Write = Callable[[h5py.File], object]


def hdf5(write: Write, **options: object) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w", **options) as file:
        write(file)
    return stream.getvalue()


def data_set(name: str, data: object, **options: object) -> Write:
    return lambda file: file.create_dataset(name, data=data, **options)


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (12, 100), "compression": "gzip", "maxshape": (12, None)},
        {"chunks": (5, 77)},
        {"dtype": "f2"},
        {"dtype": ">f8"},
    ],
)
def test_storage(short: np.ndarray, version: str, options: dict[str, object]) -> None:
    body = hdf5(data_set("any/where", short, **options), libver=version)
    for kind in ("application/x-hdf5", "application/octet-stream"):
        decoded = decode(Upload((("", body),), kind), FS)
        assert (decoded.format, decoded.leads) == ("hdf5", STANDARD_LEADS)
        assert_allclose(decoded.signal_mv, short, atol=1e-3 if "dtype" in options else 0)
        assert decoded.units_assumed


def test_code_15(short: np.ndarray) -> None:
    """(recordings, samples, leads) at 400 Hz, as doi:10.5281/zenodo.4916206 has them."""

    def write(file: h5py.File) -> None:
        file["tracings"] = short.T[np.newaxis]
        file["exam_id"] = [1234567]

    decoded = decode(hdf5(write))
    assert (decoded.fs_hz, decoded.leads) == (400, STANDARD_LEADS)
    assert_array_equal(decoded.signal_mv, short)
    assert decode(hdf5(write), Hints(fs_hz=300)).fs_hz == 300
    with pytest.raises(InvalidFormat, match="holds 2 recordings"):
        decode(hdf5(data_set("tracings", np.zeros((2, 4096, 12)))), FS)


def test_sph(data_dir: Path) -> None:
    for path in sorted((data_dir / "twelve_lead/sph").glob("*.h5")):
        decoded = decode_path(path)
        assert (decoded.fs_hz, decoded.leads, decoded.units_assumed) == (500, STANDARD_LEADS, False)
        with h5py.File(path) as file:
            assert_array_equal(decoded.signal_mv, file["ecg"][()].astype(np.float32))


def test_rate_units_and_names_beside(short: np.ndarray) -> None:
    def as_data_sets(file: h5py.File) -> None:
        file["signal"], file["fs"], file["units"] = short[:2] * 1000, 250, "uV"
        file["lead_names"] = ["V1", "aVR"]

    def as_attributes(file: h5py.File) -> None:
        file["x"] = short[:2] * 1000
        file["x"].attrs.update({"units": "uV", "lead_names": ["V1", "aVR"], "patient": "Jane Roe"})
        file.attrs["sampling_rate"] = np.array([250.0])

    for write in (as_data_sets, as_attributes):
        decoded = decode(hdf5(write))
        assert (decoded.fs_hz, decoded.leads, decoded.units_assumed) == (250, ("aVR", "V1"), False)
        assert_allclose(decoded.signal_mv, short[[1, 0]], rtol=1e-6)
        for hints in (Hints(fs_hz=500), Hints(units="mV"), Hints(leads=("I", "aVR"))):
            with pytest.raises(InvalidParameter):
                decode(hdf5(write), hints)


def test_which_data_set(short: np.ndarray) -> None:
    def leads(file: h5py.File) -> None:
        for name, row in zip(STANDARD_LEADS, short, strict=True):
            file[f"leads/{name}"] = row

    assert_array_equal(decode(hdf5(leads), FS).signal_mv, short)
    with pytest.raises(InvalidFormat, match="Several"):
        decode(hdf5(lambda f: f.update(a=short, b=short)), FS)
    with pytest.raises(InvalidFormat, match="two data sets"):
        decode(hdf5(lambda f: f.update({"a/x": short, "b/x": short})), FS)
    with pytest.raises(InvalidFormat, match="No array"):
        decode(hdf5(lambda f: f.update(name="Jane Roe", n=1)), FS)
    with pytest.raises(MissingParameter, match="units"):
        decode(hdf5(data_set("val", np.zeros((12, 600), "i2"))), FS)


def test_nothing_outside_is_read(short: np.ndarray, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["ecg"] = short
    (tmp_path / "raw").write_bytes(short.tobytes())

    def external_link(file: h5py.File) -> None:
        file["ecg"] = h5py.ExternalLink(str(other), "ecg")
        file["soft"] = h5py.SoftLink("/ecg")

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(short.shape, "f4")
        layout[:] = h5py.VirtualSource(str(other), "ecg", short.shape)
        file.create_virtual_dataset("ecg", layout)

    def external_data(file: h5py.File) -> None:
        file.create_dataset("ecg", short.shape, "f4", external=str(tmp_path / "raw"))

    for write in (external_link, virtual, external_data):
        with pytest.raises(InvalidFormat) as caught:
            decode(hdf5(write), FS)
        assert str(tmp_path) not in f"{caught.value} {caught.value.hint}"


def test_circles_and_crowds(short: np.ndarray) -> None:
    def circle(file: h5py.File) -> None:
        group = file.create_group("a")
        group["again"] = group
        group["ecg"] = 1.0

    def crowd(file: h5py.File) -> None:
        for i in range(300):
            file[f"{i}"] = float(i)

    for write in (circle, crowd):
        with pytest.raises(InvalidFormat):
            decode(hdf5(write), FS)


@pytest.mark.parametrize("options", [{"compression": "lzf"}, {"scaleoffset": 3}])
def test_other_compression(short: np.ndarray, options: dict[str, object]) -> None:
    with pytest.raises(InvalidFormat, match="compression"):
        decode(hdf5(data_set("x", short, **options)), FS)


def test_declared_sizes() -> None:
    with pytest.raises(PayloadTooLarge):
        decode(hdf5(lambda f: f.create_dataset("x", (12, 10**12), "f4", chunks=(12, 100))), FS)
    with pytest.raises(PayloadTooLarge):
        decode(
            hdf5(lambda f: f.create_dataset("x", (12, 10**6), "f4", chunks=(12, 100))), FS, SMALL
        )
    with pytest.raises(InvalidSignal, match="no sample was written"):
        decode(hdf5(lambda f: f.create_dataset("x", (12, 600), "f4", chunks=(12, 100))), FS)
    zeros = data_set("x", np.zeros((12, 50_000)), compression="gzip")
    with pytest.raises(PayloadTooLarge):
        decode(hdf5(zeros), FS, SMALL)
    with pytest.raises(PayloadTooLarge):
        decode(hdf5(zeros), FS, Limits(max_samples=599_999))


def test_a_chunk_that_inflates_without_end() -> None:
    """The library would inflate all of it before it finds that it is no chunk."""
    bomb = zlib.compress(bytes(25 << 20), 9)

    def write(file: h5py.File) -> None:
        made = file.create_dataset("x", (12, 600), "f4", chunks=(12, 600), compression="gzip")
        made.id.write_direct_chunk((0, 0), bomb)

    body = hdf5(write)
    with pytest.raises(CorruptedData, match="inflates"):
        decode(body, FS)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptedData, match="inflates"):
        decode_here(body, FS, SMALL, "hdf5")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 10_000


def test_a_heap_that_never_ends() -> None:
    """Found by mutation: free space of size 0 holds the library up for ever."""
    body = bytearray(hdf5(lambda f: f.update(x=np.zeros((12, 600)), units="mV")))
    free = body.index(b"GCOL") + 16 + 24  # behind the one object, of 2 bytes
    assert body[free : free + 2] == b"\0\0"
    body[free + 8 : free + 16] = bytes(8)
    with pytest.raises(CorruptedData):
        decode(bytes(body), FS)


def test_texts_are_bounded() -> None:
    def write(file: h5py.File) -> None:
        file["x"] = np.zeros((12, 600))
        file["leads"] = ["I" * 1_000_000] * 12
        file["units"] = ["mV"] * 1000

    names = decode(hdf5(write), FS).leads
    assert max(map(len, names)) < 50


def bodies(short: np.ndarray) -> list[bytes]:
    few = short[:, :60]
    packed = {"chunks": (12, 20), "compression": "gzip", "shuffle": True, "fletcher32": True}
    return [
        hdf5(lambda f: f.update(signal=few, fs=1000, units="mV", leads=list(STANDARD_LEADS))),
        hdf5(data_set("a/x", few, **packed)),
        hdf5(data_set("x", few, maxshape=(12, None), **packed), libver="latest"),
    ]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_mutations(short: np.ndarray, made: ModuleType, which: int) -> None:
    survived = 0
    for mutant in made.mutants(bodies(short)[which], 200):
        try:
            survived += decode(mutant, FS, SMALL).signal_mv.size > 0
        except EcgServeError as error:
            assert error.status < 500, error  # noqa: PT017 - most mutants are refused
    assert survived > 0 or which == 2  # there, headers and numbers have checksums


@pytest.mark.parametrize("which", [0, 1, 2])
def test_cut_anywhere(short: np.ndarray, which: int) -> None:
    body = bodies(short)[which]
    for length in range(8, len(body) - 100, max(61, len(body) // 60)):
        with pytest.raises(EcgServeError) as caught:
            decode(body[:length], FS)
        assert caught.value.status < 500
