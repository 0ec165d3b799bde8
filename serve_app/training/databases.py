"""The labelled public 12-lead recordings, read: signals, labels, and on which side each one is.

SPH's files are HDF5, which nothing here reads; they are left out. PTB-XL is read at 500 Hz.
"""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import scipy.io

from serve_app.decoding import decode_path
from serve_app.recording import STANDARD_LEADS, Recording, make_recording

from .codes import CHAPMAN, CODE15, CPSC, LUDB, PTBXL, SNOMED, truth_of

__all__ = ["Labelled", "read_databases", "side_of"]

Side = Literal["train", "held out"]
Floats = npt.NDArray[np.float32]

_LIKELY: Final = 50.0
_INFARCTIONS: Final = frozenset(
    ("AMI", "ASMI", "ALMI", "IMI", "ILMI", "IPMI", "IPLMI", "LMI", "PMI")
)
_REMARKS: Final = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")


@dataclass(frozen=True)
class Labelled:
    """A recording and what its database says of it.

    Attributes:
        database: Its name.
        patient: The database's own number of the patient, or of the record where each patient has
            one.
        recording: The signal.
        truth: ``(17,)``: 1 there, 0 absent, NaN unknown.
    """

    database: str
    patient: str
    recording: Recording
    truth: Floats

    @property
    def side(self) -> Side:
        """Train or held out."""
        return side_of(self.database, self.patient)


def side_of(database: str, patient: str) -> Side:
    """On which side a patient is, for ever: by the parity of a hash of database and patient."""
    digest = hashlib.sha256(f"{database}/{patient}".encode()).digest()
    return "train" if digest[0] % 2 else "held out"


def read_databases(folder: Path) -> list[Labelled]:
    """Every labelled 12-lead recording below a folder, in a fixed order.

    Args:
        folder: With one folder for each database: ptbxl, cinc2021, ludb, ...

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no recordings at {folder.name}: name their folder with --data")
    return [
        labelled
        for database, read in _READERS.items()
        if (folder / database).is_dir()
        for labelled in read(folder / database)
    ]


def _ptbxl(folder: Path) -> Iterator[Labelled]:
    for row in _rows(folder / "ptbxl_database.csv"):
        likelihoods = json.loads(row["scp_codes"].replace("'", '"'))
        statements = [code for code, likelihood in likelihoods.items() if _said(code, likelihood)]
        if len(statements) < len(likelihoods):
            statements.append("infarction?")
        if any(row[column].strip() for column in _REMARKS):
            statements.append("quality?")
        recording = decode_path(folder / f"{row['filename_hr']}.hea")
        truth = truth_of(statements, PTBXL)
        yield Labelled("ptbxl", row["patient_id"].split(".")[0], recording, truth)


def _said(code: str, likelihood: float) -> bool:
    """Rhythm and form statements have likelihood 0: it is a scale of diagnoses alone."""
    return code not in _INFARCTIONS or likelihood >= _LIKELY


def _ludb(folder: Path) -> Iterator[Labelled]:
    for row in _rows(folder / "ludb.csv"):
        number = row["ID"].strip()
        path = folder / "data" / f"{number}.hea"
        if not path.is_file():
            continue
        columns = [value or "" for name, value in row.items() if name not in ("ID", "Sex", "Age")]
        lines = [line.strip().lower() for text in columns for line in text.splitlines()]
        # "Stemi: lateral wall", "Atrial flutter, typical": what is said, then where or how.
        statements = [line.split(":")[0].split(",")[0].strip() for line in lines if line]
        yield Labelled("ludb", number, decode_path(path), truth_of(statements, LUDB))


def _cinc2021(folder: Path) -> Iterator[Labelled]:
    for path in sorted(folder.glob("*.hea")):
        said = [
            line for line in path.read_text().splitlines() if line.lstrip("# ").startswith("Dx")
        ]
        codes = [code.strip() for line in said for code in line.split(":")[1].split(",")]
        vocabulary = CPSC if path.stem.startswith("A") else SNOMED
        truth = truth_of(codes, vocabulary)
        yield Labelled("cinc2021", path.stem, decode_path(path), truth)


def _chapman(folder: Path) -> Iterator[Labelled]:
    for row in _rows(folder / "labels.csv"):
        path = folder / f"{row['FileName']}.mat"
        statements = [row["Rhythm"], *row["Beat"].split()]
        rate = float(row["VentricularRate"])
        statements += ["fast"] * (rate > 100) + ["slow"] * (rate < 60)
        truth = truth_of(statements, CHAPMAN)
        if np.isnan(truth[[3, 8]]).any():
            truth[[3, 8]] = rate > 100, rate < 60  # the rate is measured: nothing is open
        signal_mv = scipy.io.loadmat(path)["val"].T / 1000.0
        yield Labelled("chapman", row["FileName"], _recording(signal_mv, 500.0, path), truth)


def _code15(folder: Path) -> Iterator[Labelled]:
    for row in _rows(folder / "labels.csv"):
        path = folder / f"code_15_{row['exam_id']}.mat"
        statements = [flag for flag in CODE15.affirms if row[flag] == "True"]
        stored = scipy.io.loadmat(path)
        recording = _recording(stored["feats"], float(row["sample_rate"]), path)
        yield Labelled("code15", row["exam_id"], recording, truth_of(statements, CODE15))


def _cpsc2018(folder: Path) -> Iterator[Labelled]:
    for row in _rows(folder / "labels.csv"):
        path = folder / f"{row['record']}.mat"
        stored: Any = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)["ECG"]
        truth = truth_of(row["labels"].split(","), CPSC)
        yield Labelled("cpsc2018", row["record"], _recording(stored.data, 500.0, path), truth)


_READERS: Final[Mapping[str, Callable[[Path], Iterator[Labelled]]]] = {
    "ptbxl": _ptbxl,
    "ludb": _ludb,
    "cinc2021": _cinc2021,
    "chapman_denoised": _chapman,
    "code15": _code15,
    "cpsc2018": _cpsc2018,
}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _recording(signal_mv: npt.ArrayLike, fs_hz: float, path: Path) -> Recording:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return make_recording(
        signal_mv, fs_hz=fs_hz, leads=STANDARD_LEADS, format="matlab", sha256=sha256
    )
