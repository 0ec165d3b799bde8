"""Recognising: content first, and what the client says must agree."""

import hashlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from serve_app.decoding import CONTENT_TYPES, Hints, Limits, Upload, decode
from serve_app.decoding.formats import FORMATS
from serve_app.errors import (
    InvalidFormat,
    InvalidSignal,
    PayloadTooLarge,
    ResourceExhausted,
    UnsupportedMediaType,
)
from serve_app.recording import STANDARD_LEADS, Recording

FS = Hints(fs_hz=1000)


@pytest.fixture
def bodies(
    dicom_bytes: bytes, short: np.ndarray, made: ModuleType, make_record
) -> dict[str, bytes]:
    text = "\n".join(
        [",".join(STANDARD_LEADS)] + [",".join(map(repr, r)) for r in short.T.tolist()]
    )
    return {
        "application/dicom": dicom_bytes,
        "application/json": made.json(short, STANDARD_LEADS),
        "application/x-npy": made.npy(short),
        "text/csv": text.encode(),
        "application/zip": made.zip(*make_record().files),
    }


@pytest.mark.parametrize("parameter", ["", "; charset=utf-8", " ;header=present"])
def test_named_and_recognised_alike(bodies: dict[str, bytes], parameter: str) -> None:
    for kind, body in bodies.items():
        named = decode(Upload((("", body),), kind.upper() + parameter), FS)
        for any_type in ("application/octet-stream", "", "multipart/form-data; boundary=x"):
            found = decode(Upload((("", body),), any_type), FS)
            assert (found.format, found.sha256) == (named.format, named.sha256)


def test_all_formats_agree(bodies: dict[str, bytes], short: np.ndarray, dicom_bytes: bytes) -> None:
    for kind, body in bodies.items():
        decoded = decode(body, FS)
        signal = (
            decoded.signal_mv[:, 1000:1600] if kind == "application/dicom" else decoded.signal_mv
        )
        np.testing.assert_array_equal(signal, short)
        assert decoded.leads == STANDARD_LEADS
        assert not decoded.signal_mv.flags.writeable


def test_content_of_another_format(bodies: dict[str, bytes]) -> None:
    for kind in bodies:
        for other, body in bodies.items():
            if kind != other:
                with pytest.raises(InvalidFormat, match=r"Content-Type says .* but the body looks"):
                    decode(Upload((("", body),), kind), FS)


@pytest.mark.parametrize("kind", ["image/png", "text/html", "application/pdf", "x" * 500])
def test_unknown_type(bodies: dict[str, bytes], kind: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        decode(Upload((("", bodies["text/csv"]),), kind), FS)
    assert all(known in str(caught.value.hint) for known in CONTENT_TYPES)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("kind", CONTENT_TYPES)
@pytest.mark.parametrize("body", [b"\0\1\2\3" * 99, b"hello world\n", b"<xml/>", b"%PDF-1.7"])
def test_garbage_under_every_type(kind: str, body: bytes) -> None:
    with pytest.raises(InvalidFormat):
        decode(Upload((("", body),), kind))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"<?xml version='1.0'?>", "XML"),
        (b"\x1f\x8b\x08\x00", "Content-Encoding"),
        (b"MATLAB 5.0 MAT-file", "MATLAB"),
    ],
)
def test_foreign_formats_are_named(body: bytes, what: str) -> None:
    with pytest.raises(InvalidFormat, match=what):
        decode(body)


@pytest.mark.parametrize("upload", [b"", Upload(()), Upload((("a", b""), ("b", b"")))])
def test_empty(upload: Upload | bytes) -> None:
    with pytest.raises(InvalidFormat, match="The recording is empty"):
        decode(upload)


def test_several_files_without_header(dicom_bytes: bytes) -> None:
    with pytest.raises(InvalidFormat, match="None of the files"):
        decode(Upload((("a.dcm", dicom_bytes), ("b.dcm", dicom_bytes))))


def test_sizes_are_checked_first(bodies: dict[str, bytes]) -> None:
    with pytest.raises(PayloadTooLarge):
        decode(bodies["text/csv"], FS, Limits(max_unpacked_bytes=100))
    with pytest.raises(PayloadTooLarge):
        decode(Upload((("a", b"x"),) * 101))


def test_too_many_leads(made: ModuleType) -> None:
    names = tuple(f"x{i}" for i in range(300))
    with pytest.raises(InvalidSignal, match="256"):
        decode(made.npy(np.zeros((300, 400))), Hints(fs_hz=500, leads=names))


def test_memory_running_out(dicom_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "stack", fail)
    with pytest.raises(ResourceExhausted):
        decode(dicom_bytes)


def test_names_are_fit_for_print() -> None:
    body = '{"fs_hz": 500, "leads": {"\\u0000\\u202e": [1], "' + "x" * 99 + '": [1]}}'
    decoded = decode(body.encode())
    assert decoded.leads == ("lead 1", "x" * 40)


def test_digest_is_of_what_was_sent(recording: Recording, dicom_bytes: bytes) -> None:
    assert recording.sha256 == hashlib.sha256(dicom_bytes).hexdigest()
    assert decode(Upload((("any name", dicom_bytes),))).sha256 == recording.sha256


def test_signatures_match_their_own_files_alone(data_dir: Path) -> None:
    own = {"edf": {".edf"}, "bdf": {".bdf"}, "ishne": {".ecg", ".ann"}, "mfer": {".mwf"}}
    binary = [fmt for fmt in FORMATS if fmt.name in own]
    seen = set()
    for path in (path for path in data_dir.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            start = file.read(4096)
        found = [fmt.name for fmt in binary if fmt.looks_like(start)]
        seen |= set(found)
        # Another vendor's files are called .ECG too.
        suffix = "" if path.parent.name == "contec" else path.suffix.lower()
        assert found == [name for name in own if suffix in own[name]], path.name
    assert seen == set(own)
