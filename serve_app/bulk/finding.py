"""Which recordings a folder, or a list of paths, holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from serve_app.decoding.wfdb_header import parse_header
from serve_app.errors import EcgServeError, NotFound

__all__ = ["find_recordings"]

_SUFFIXES: Final = {
    *(".hea", ".dcm", ".edf", ".bdf", ".xml", ".json", ".csv", ".tsv", ".npy", ".npz", ".mat"),
    *(".h5", ".hdf5", ".scp", ".ecg", ".mwf", ".parquet", ".zip"),
}


def find_recordings(source: Path, pattern: str | None = None) -> tuple[Path, list[str]]:
    """The folder that paths start from, and the recordings' paths, sorted.

    A WFDB record counts once, by its header. Hidden files are left out, and tables of answers.

    Args:
        source: A folder, searched to any depth, or a text file with a path a line, relative to the
            folder that it is in.
        pattern: Such as ``*.dcm``; without one, what has a known suffix.

    Raises:
        NotFound: There is no such folder or list, or it holds no recording.
    """
    if source.is_dir():
        folder, paths = source, sorted(_in_folder(source, pattern))
    elif source.is_file():
        folder, paths = source.parent, _listed(source)
    else:
        raise NotFound("There is no such folder or list of recordings.", hint="Check the path.")
    if not paths:
        raise NotFound(
            "No recording was found.", hint="Name the files by --pattern, such as '*.ecg'."
        )
    return folder, paths


def _in_folder(folder: Path, pattern: str | None) -> Iterator[str]:
    found = [path for path in folder.rglob(pattern or "*") if _is_wanted(path, folder)]
    if pattern is None:
        found = [path for path in found if path.suffix.lower() in _SUFFIXES]
    parts = _parts_of_records(path for path in found if path.suffix.lower() == ".hea")
    yield from (str(path.relative_to(folder)) for path in found if path not in parts)


def _is_wanted(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    hidden = any(part.startswith(".") for part in parts)
    answers = any(part.endswith(".parquet") for part in parts[:-1])
    return not hidden and not answers and path.is_file()


def _parts_of_records(headers: Iterator[Path]) -> set[Path]:
    """The files that headers name: signals, and the headers of segments."""
    parts: set[Path] = set()
    for path in headers:
        try:
            header = parse_header(path.read_bytes())
        except (OSError, EcgServeError):
            continue  # its own row will say what is wrong with it
        parts |= {path.parent / signal.file for signal in header.signals}
        parts |= {path.parent / f"{name}.hea" for name, _ in header.segments}
    return parts


def _listed(source: Path) -> list[str]:
    try:
        lines = source.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise NotFound(
            "The list of recordings is no text.", hint="Give a folder, or a path a line."
        ) from None
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))
