"""Zip archives: what they may name, and how far they are unpacked."""

import io
import struct
import zipfile
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode
from serve_app.errors import CorruptedData, InvalidFormat, PayloadTooLarge


def test_one_file_of_another_format(
    dicom_bytes: bytes, short: np.ndarray, made: ModuleType
) -> None:
    archive = made.zip(("ecg/", b""), ("ecg/x.dcm", dicom_bytes), ("__MACOSX/._x.dcm", b"\0"))
    decoded = decode(Upload((("x.zip", archive),), "application/zip"))
    assert decoded.format == "dicom"
    assert_array_equal(decoded.signal_mv, decode(dicom_bytes).signal_mv)
    npz = io.BytesIO()
    np.savez(npz, signal=short)
    assert_array_equal(decode(npz.getvalue(), Hints(fs_hz=1000)).signal_mv, short)


@pytest.mark.parametrize(
    "name",
    ["../rec.dat", "/etc/rec.dat", "a/../../rec.dat", "..\\rec.dat", "C:\\rec.dat", "\\\\s\\h"],
)
def test_names_outside_the_archive(make_record, made: ModuleType, name: str) -> None:
    (header, text), (_, content) = make_record().files
    with pytest.raises(InvalidFormat, match="outside"):
        decode(made.zip((header, text), (name, content)))


def test_two_files_of_one_name(make_record, made: ModuleType) -> None:
    (header, text), (name, content) = make_record().files
    with pytest.raises(InvalidFormat, match="Two files"):
        decode(made.zip((header, text), (f"a/{name}", content), (f"b/{name}", content)))


def test_bomb_by_its_declared_size(made: ModuleType) -> None:
    bomb = made.zip(("rec.dat", bytes(30_000_000)))
    assert len(bomb) < 50_000
    with pytest.raises(PayloadTooLarge):
        decode(bomb, limits=Limits(max_unpacked_bytes=1_000_000))


def test_bomb_that_lies_about_its_size(made: ModuleType) -> None:
    bomb = bytearray(made.zip(("rec.dat", bytes(30_000_000))))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = bomb.index(signature) + offset
        bomb[place : place + 4] = struct.pack("<I", 10)
    with pytest.raises((PayloadTooLarge, CorruptedData)):
        decode(bytes(bomb), limits=Limits(max_unpacked_bytes=1_000_000))


def test_many_entries(made: ModuleType) -> None:
    for count in (101, 5000):
        with pytest.raises(PayloadTooLarge):
            decode(made.zip(*((f"{i}.dat", b"x") for i in range(count))))


def test_encrypted(dicom_bytes: bytes, made: ModuleType) -> None:
    archive = bytearray(made.zip(("x.dcm", dicom_bytes)))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + offset] |= 1
    with pytest.raises(InvalidFormat, match="encrypted"):
        decode(bytes(archive))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_inflate_without_bounds(
    dicom_bytes: bytes, made: ModuleType, method: int
) -> None:
    with pytest.raises(InvalidFormat, match="compression"):
        decode(made.zip(("x.dcm", dicom_bytes), method=method))


def test_cut_short_or_damaged(dicom_bytes: bytes, made: ModuleType) -> None:
    archive = made.zip(("x.dcm", dicom_bytes))
    for length in range(4, len(archive), len(archive) // 20):
        with pytest.raises(CorruptedData):
            decode(archive[:length])
    damaged = bytearray(archive)
    damaged[len(archive) // 2] ^= 0xFF
    with pytest.raises(CorruptedData):
        decode(bytes(damaged))


def test_nothing_or_too_much_inside(dicom_bytes: bytes, made: ModuleType) -> None:
    for archive in (
        made.zip(),
        made.zip(("folder/", b"")),
        made.zip(("a.zip", made.zip(("x.dcm", dicom_bytes)))),
        made.zip(("a.dcm", dicom_bytes), ("b.dcm", dicom_bytes)),
        made.zip(("readme.txt", b"hello")),
    ):
        with pytest.raises(InvalidFormat):
            decode(archive)
