"""Sound recordings of every format, from which damaged ones are made."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.data import get_testdata_file

from serve_app.decoding import Upload, decode
from serve_app.decoding.paths import read_path
from serve_app.decoding.upload import Limits
from serve_app.errors import EcgServeError, MissingParameter

__all__ = ["all_seeds"]

_FOLDERS = ("formats", "derived", "twelve_lead", "beats/cpsc2019", "beats/nstdb_csv")
# Of each folder and suffix; the records of a database are alike.
_MOST_ALIKE = 4
# Longer ones take time without taking other ways.
_LARGEST_BYTES = 3_000_000


def all_seeds(data_dir: Path | None) -> list[tuple[str, Upload]]:
    """Names and recordings: those that every installation has, and the public ones."""
    seeds = [*_made()]
    if data_dir is not None:
        seeds += _public(data_dir)
    return seeds


def _made() -> Iterator[tuple[str, Upload]]:
    dicom = Path(str(get_testdata_file("waveform_ecg.dcm", download=False))).read_bytes()
    yield "pydicom/waveform_ecg.dcm", _one(dicom)
    recording = decode(dicom)
    signal = recording.signal_mv[:, :2000:4].round(3)
    yield "made.npy", _one(_npy(signal))
    leads = dict(zip(recording.leads, signal.tolist(), strict=True))
    yield "made.json", _one(json.dumps({"fs_hz": 250, "units": "mV", "leads": leads}).encode())
    lines = [",".join(recording.leads), *(",".join(map(str, row)) for row in signal.T.tolist())]
    yield "made.csv", _one("\n".join(lines).encode())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("folder/ecg.npy", _npy(signal))
    yield "made.zip", _one(archive.getvalue())
    saved = io.BytesIO()
    np.savez_compressed(saved, signal=signal, fs_hz=250.0)
    yield "made.npz", _one(saved.getvalue())


def _public(data_dir: Path) -> Iterator[tuple[str, Upload]]:
    alike: dict[tuple[Path, str], int] = {}
    for top in _FOLDERS:
        for path in sorted((data_dir / top).rglob("*")):
            kind = (path.parent, path.suffix.lower())
            if not path.is_file() or alike.get(kind, 0) >= _MOST_ALIKE:
                continue
            files = read_path(path, Limits())
            if sum(len(content) for _, content in files) <= _LARGEST_BYTES:
                named = files if len(files) > 1 or path.suffix == ".hea" else (("", files[0][1]),)
                upload = Upload(named)
                if _is_read(upload):
                    alike[kind] = alike.get(kind, 0) + 1
                    yield str(path.relative_to(data_dir)), upload


def _is_read(upload: Upload) -> bool:
    """Whether it is a recording, if perhaps one that does not say its sampling rate."""
    try:
        decode(upload)
    except EcgServeError as error:
        return error.code == MissingParameter.code
    return True


def _one(content: bytes) -> Upload:
    return Upload((("", content),))


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
