"""Local files: the parts of a WFDB record find each other."""

from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from serve_app.decoding import Limits, decode, decode_path
from serve_app.errors import CorruptedData, InvalidFormat, PayloadTooLarge


@pytest.fixture
def record(make_record, tmp_path: Path) -> Path:
    for name, content in make_record().files:
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("suffix", [".hea", ".dat"])
def test_header_and_signals_find_each_other(record: Path, make_record, suffix: str) -> None:
    decoded = decode_path(record / f"rec{suffix}")
    expected = decode(make_record())
    assert_array_equal(decoded.signal_mv, expected.signal_mv)
    assert decoded.sha256 == expected.sha256


def test_segments_are_found(record: Path) -> None:
    (record / "all.hea").write_text("all/2 12 1000 1200\nrec 600\nrec 600\n")
    assert decode_path(record / "all.hea").signal_mv.shape == (12, 1200)


def test_other_files_stand_alone(record: Path, dicom_bytes: bytes) -> None:
    # A header of the same name that does not name this file.
    (record / "rec.dcm").write_bytes(dicom_bytes)
    assert decode_path(record / "rec.dcm").format == "dicom"


def test_missing_parts(record: Path) -> None:
    (record / "rec.dat").unlink()
    with pytest.raises(CorruptedData, match=r"rec\.dat") as caught:
        decode_path(record / "rec.hea")
    assert str(record) not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        decode_path(record / "none.dcm")


def test_signals_without_header(record: Path) -> None:
    (record / "rec.hea").unlink()
    with pytest.raises(InvalidFormat):
        decode_path(record / "rec.dat")


def test_header_names_nothing_outside_its_folder(record: Path) -> None:
    text = (record / "rec.hea").read_text().replace("rec.dat", "../rec.dat")
    folder = record / "inner"
    folder.mkdir()
    (folder / "rec.hea").write_text(text)
    with pytest.raises(InvalidFormat):
        decode_path(folder / "rec.hea")


def test_size_is_asked_before_reading(record: Path) -> None:
    with pytest.raises(PayloadTooLarge):
        decode_path(record / "rec.hea", limits=Limits(max_unpacked_bytes=1000))
