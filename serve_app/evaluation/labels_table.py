"""LABELS.csv -> LabelledSet: which recordings, whose they are, and what is true of them."""

import csv
import difflib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.errors import InvalidFormat, NotFound

__all__ = ["UNKNOWN", "LabelledSet", "read_labels"]

UNKNOWN: Final = -1
_VALUES: Final = {"": UNKNOWN, "0": 0, "1": 1, "0.0": 0, "1.0": 1}
_PATH, _PATIENT = "path", "patient"
_HINT: Final = (
    "LABELS.csv has a header: path, patient if known, and a column a label, named as "
    "`ecg-serve model verify` lists them; values are 1, 0 or blank for unknown."
)


@dataclass(frozen=True)
class LabelledSet:
    """Recordings with what is true of them.

    Args:
        paths: Of the recordings.
        patients: (recordings,) int64: equal numbers are recordings of one patient.
        truth: (recordings, labels) int8: 1, 0, or -1 where it is not known.
        has_patients: Whether the file told them; else each recording counts as a patient.
    """

    paths: tuple[Path, ...]
    patients: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int8]
    has_patients: bool

    def __len__(self) -> int:
        return len(self.paths)


def read_labels(path: Path, label_names: Sequence[str]) -> LabelledSet:
    """Read the table of a labelled set.

    Args:
        path: UTF-8 CSV with a header; the paths in it start from its own folder.
        label_names: Of the model, in the order of its outputs. Labels without a column are unknown.

    Raises:
        NotFound: It cannot be read.
        InvalidFormat: Another form, a column that is no label, another value than 1, 0 or blank, or
            a recording that is named twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(csv.reader(file, strict=True), path.parent, label_names)
    except OSError as error:
        raise NotFound(
            f"The table of labels cannot be read: {error.strerror}.", hint="Check the path."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidFormat("The table of labels is no CSV in UTF-8.", hint=_HINT) from error


def _read(lines: "Iterator[list[str]]", folder: Path, label_names: Sequence[str]) -> LabelledSet:
    columns = _columns(next(lines, []), label_names)
    of_label = [columns.get(name.casefold()) for name in label_names]
    of_path, of_patient = columns[_PATH], columns.get(_PATIENT)
    paths: dict[Path, int] = {}
    patients: list[int] = []
    numbers: dict[str, int] = {}
    truth = array("b")
    for number, cells in enumerate(lines, start=2):
        if not any(cells):
            continue
        if len(cells) != len(columns) or not cells[of_path]:
            raise _wrong(number, f"expected {len(columns)} cells, and a path among them")
        told = folder / cells[of_path]
        if told in paths:
            raise _wrong(number, f"the recording of line {paths[told]} again")
        paths[told] = number
        # Without a name of its own, a recording is a patient's only one.
        patient = (cells[of_patient].strip() if of_patient is not None else "") or f"line {number}"
        patients.append(numbers.setdefault(patient, len(numbers)))
        truth.extend(UNKNOWN if k is None else _value(cells[k], number) for k in of_label)
    if not paths:
        raise InvalidFormat("The table of labels names no recording.", hint=_HINT)
    known = np.array(truth, np.int8).reshape(len(paths), len(label_names))
    return LabelledSet(tuple(paths), np.array(patients), known, of_patient is not None)


def _columns(header: Sequence[str], label_names: Sequence[str]) -> dict[str, int]:
    """Name, in lower case -> position; every column has a meaning."""
    names = [name.strip().casefold() for name in header]
    known = {_PATH, _PATIENT, *(name.casefold() for name in label_names)}
    for name, given in zip(names, header, strict=True):
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            seems = f"; did you mean {close[0]!r}?" if close else ""
            raise InvalidFormat(f"Column {given!r} is no label of this model{seems}", hint=_HINT)
        if names.count(name) > 1:
            raise InvalidFormat(f"Column {given!r} is there twice.", hint=_HINT)
    if _PATH not in names or not set(names) - {_PATH, _PATIENT}:
        raise InvalidFormat("The table needs a column 'path' and one of a label.", hint=_HINT)
    return {name: position for position, name in enumerate(names)}


def _value(cell: str, line: int) -> int:
    try:
        return _VALUES[cell.strip()]
    except KeyError:
        raise _wrong(line, f"{cell[:20]!r} is neither 1, 0 nor blank") from None


def _wrong(line: int, what: str) -> InvalidFormat:
    return InvalidFormat(f"Line {line} of the table of labels: {what}.", hint=_HINT)
