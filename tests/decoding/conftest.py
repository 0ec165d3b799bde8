"""A real 12-lead recording that every installation has, and the formats made of it."""

import io
import json
import random
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from serve_app.decoding import Upload, decode
from serve_app.recording import Recording

MakeRecord = Callable[..., Upload]


@pytest.fixture(scope="session")
def dicom_bytes() -> bytes:
    """12 leads, 10 s at 1000 Hz, 1.25 uV a step; shipped inside pydicom."""
    return Path(str(get_testdata_file("waveform_ecg.dcm", download=False))).read_bytes()


@pytest.fixture(scope="session")
def recording(dicom_bytes: bytes) -> Recording:
    return decode(dicom_bytes)


@pytest.fixture(scope="session")
def short(recording: Recording) -> np.ndarray:
    """(12, 600) millivolts: what is enough to test a parser."""
    return np.array(recording.signal_mv[:, 1000:1600])


@pytest.fixture(scope="session")
def wfdb() -> ModuleType:
    """The reference reader; its import warns of what pandas will drop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb
    return wfdb


@pytest.fixture(autouse=True)
def private_tmp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where unpacking happens; nothing may be left there."""
    folder = tmp_path_factory.mktemp("unpack")
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    yield folder
    tempfile.tempdir = before
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="session")
def make_record(short: np.ndarray, recording: Recording) -> MakeRecord:
    """A format 16 WFDB record of the short recording; parts can be replaced."""

    def make(name: str = "rec", **parts: bytes) -> Upload:
        stored = np.rint(short * 800).astype("<i2")
        header = [f"{name} 12 1000 600 10:00:00 01/02/1970"]
        header += [f"{name}.dat 16 800(0)/mV 16 0 0 0 0 {lead}" for lead in recording.leads]
        text = "\r\n".join([*header, "# 71 M"]).encode()
        files = {"hea": text, "dat": stored.T.tobytes()} | parts
        return Upload(tuple((f"{name}.{kind}", content) for kind, content in files.items()))

    return make


def as_json(signal: np.ndarray, leads: tuple[str, ...], **extra: object) -> bytes:
    body = {"fs_hz": 1000, "units": "mV", "leads": dict(zip(leads, signal.tolist(), strict=True))}
    return json.dumps(body | extra).encode()


def as_npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def as_zip(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return stream.getvalue()


def mutants(body: bytes, count: int, *, headers: int = 1000) -> Iterator[bytes]:
    """Copies with a few bytes changed, half of them near the start or the end, always the same."""
    rng = random.Random(len(body))
    for _ in range(count):
        copy = bytearray(body)
        reach = rng.choice([headers, len(body)])
        for _ in range(rng.randint(1, 5)):
            place = rng.randrange(min(reach, len(copy)))
            place = rng.choice([place, len(copy) - 1 - place])
            change = rng.choice([1, 2, 4, 8])
            kind = rng.randrange(5)
            if kind == 0:
                copy[place : place + change] = b"\xff" * change
            elif kind == 1:
                copy[place] ^= 1 << rng.randrange(8)
            elif kind == 2:
                number = rng.choice([0, 1, 1 << 31, 1 << 40, len(body), rng.randrange(1 << 32)])
                copy[place : place + 8] = number.to_bytes(8, "little")
            elif kind == 3:
                del copy[place : place + change]
            else:
                copy[place:place] = copy[: change * 4]
        yield bytes(copy)


@pytest.fixture(scope="session")
def made() -> ModuleType:
    """The makers above: test folders are no packages, so they come as a fixture."""
    maker = ModuleType("made")
    maker.json, maker.npy, maker.zip = as_json, as_npy, as_zip  # type: ignore[attr-defined]
    maker.mutants = mutants  # type: ignore[attr-defined]
    return maker
