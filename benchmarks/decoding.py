"""Bytes to a Recording, each format against the library that is its reference."""

import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import edfio
import numpy as np
import pydicom

from benchmarks.reporting import print_header
from benchmarks.speed_timing import interleaved_ms, line
from serve_app.decoding import Upload, decode
from serve_app.decoding.paths import read_path
from serve_app.decoding.upload import DEFAULT_LIMITS
from serve_app.recording import Recording

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses what pandas will drop
    import wfdb

DATA = Path(os.environ.get("ECG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
ROUNDS = 30
Peer = Callable[[Path], Callable[[], np.ndarray]]


@dataclass(frozen=True)
class Case:
    """A file and, where a library reads it, that library's way to ``(leads, samples)`` values."""

    name: str
    path: str
    peer: Peer | None = None
    per_mv: float = 1.0


def edf(path: Path) -> Callable[[], np.ndarray]:
    content = path.read_bytes()
    read = edfio.read_bdf if content[:1] == b"\xff" else edfio.read_edf
    return lambda: np.array([signal.data for signal in read(content).signals])


def dicom(path: Path) -> Callable[[], np.ndarray]:
    content = path.read_bytes()
    return lambda: pydicom.dcmread(io.BytesIO(content)).waveform_array(0).T


def wfdb_record(path: Path) -> Callable[[], np.ndarray]:
    return lambda: wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T


LIBRARIES = {edf: "edfio", dicom: "pydicom", wfdb_record: "wfdb"}
CASES = (
    Case("EDF, 12 x 37855", "formats/edf/contec_0000050.edf", edf),
    Case("EDF+, 2 x 21600", "derived/edf/mitdb201_plus.edf", edf, 1e3),
    Case("BDF+, 2 x 10800", "derived/bdf/mitdb119.bdf", edf, 1e3),
    Case("DICOM, 12 x 10000", "formats/dicom/waveform_ecg_mortara_12lead.dcm", dicom, 1e3),
    Case("DICOM, 12 x 5000", "formats/dicom/Example.dcm", dicom, 1e3),
    Case("WFDB 212, 2 x 650000", "beats/mitdb/100.hea", wfdb_record),
    Case("WFDB 16, 12 x 5000", "twelve_lead/ptbxl/records500/00000/00098_hr.hea", wfdb_record),
    Case("WFDB .mat, 12 x 7500", "twelve_lead/cinc2021/A0001.hea", wfdb_record),
    Case("WFDB FLAC, 12 x 5000", "derived/wfdb/00021hr_fmt516.hea", wfdb_record),
    Case("ISHNE, 12 x 95573", "formats/ishne/ECG_P28.01.ecg"),
    Case("MFER, 12 x 5000", "derived/mfer/ptbxl98.mwf"),
    Case("MFER, 2 x 180000", "formats/mfer/nihonkohden_cns6000.mwf"),
)


def ours(path: Path) -> Callable[[], Recording]:
    upload = Upload(read_path(path, DEFAULT_LIMITS))
    return lambda: decode(upload)


def check(recording: Recording, values: np.ndarray, per_mv: float) -> None:
    """The same samples, in whatever order the leads are."""
    theirs = values[: len(recording.leads)] / per_mv
    for lead in recording.signal_mv:
        assert any(np.allclose(lead, other, atol=1e-5, equal_nan=True) for other in theirs)


def main() -> None:
    print_header(
        f"decode, digest included, CPU time of one thread, n={ROUNDS}", ("wfdb", "pydicom", "edfio")
    )
    for case in CASES:
        calls: dict[str, Callable[[], object]] = {case.name: ours(DATA / case.path)}
        if case.peer is not None:
            peer = case.peer(DATA / case.path)
            check(ours(DATA / case.path)(), peer(), case.per_mv)
            calls[f"  {LIBRARIES[case.peer]}"] = peer
        times = interleaved_ms(calls, ROUNDS)
        theirs = list(times.values())[1] if case.peer else None
        print(line(case.name, times[case.name], theirs))
        for name in list(times)[1:]:
            print(line(name, times[name]))


if __name__ == "__main__":
    main()
