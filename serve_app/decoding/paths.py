"""Local files, for the command line: a WFDB record's files find each other."""

from pathlib import Path
from typing import Final

from serve_app.decoding.upload import Files, Limits
from serve_app.decoding.wfdb_header import Header, parse_header

__all__ = ["read_path", "record_paths"]

_NO_FILE: Final = ("~", "-")


def read_path(path: Path, limits: Limits) -> Files:
    """The file, and with a WFDB header all that it names; what is missing is left to the decoder.

    Raises:
        OSError: The file cannot be read.
        PayloadTooLarge: More files or bytes than `limits` allow.
        InvalidFormat: A WFDB header that breaks the format, or names a file elsewhere.
    """
    return _read(record_paths(path), limits)


def record_paths(path: Path) -> list[Path]:
    """The file, and with a WFDB header all that it names and that is there.

    Raises:
        OSError: The file cannot be read.
        InvalidFormat: A WFDB header that breaks the format, or names a file elsewhere.
    """
    header_path = path if path.suffix.lower() == ".hea" else path.with_suffix(".hea")
    if header_path != path and not _names(header_path, path.name):
        return [path]
    header = parse_header(header_path.read_bytes())
    paths = {header_path} | _named_by(header, path.parent)
    for name, _ in header.segments:
        segment = path.parent / f"{name}.hea"
        if segment.is_file():
            paths |= {segment} | _named_by(parse_header(segment.read_bytes()), path.parent)
    return sorted(paths)


def _names(header_path: Path, file_name: str) -> bool:
    return header_path.is_file() and file_name in {
        signal.file for signal in parse_header(header_path.read_bytes()).signals
    }


def _named_by(header: Header, folder: Path) -> set[Path]:
    names = {signal.file for signal in header.signals} - set(_NO_FILE)
    return {folder / name for name in names if (folder / name).is_file()}


def _read(paths: list[Path], limits: Limits) -> Files:
    limits.check_files([path.stat().st_size for path in paths])
    return tuple((path.name, path.read_bytes()) for path in paths)
