"""The queue on disk: a folder an item, moved as a whole from state to state by renaming.

    incoming/   being written; whatever is left in it after a crash was never acknowledged
    waiting/    acknowledged, to be answered
    failed/     set aside, with problem.json; move a folder back to waiting/ to try again

Items hold recordings as they were sent, patients' data included: the folders are the owner's alone.
"""

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from serve_app.decoding.upload import Files
from serve_app.errors import Overloaded, SettingsError

__all__ = ["Item", "Spool", "write_durably"]

_STATES: Final = ("incoming", "waiting", "failed")
_NOTE: Final = "item.json"
_TRIES: Final = "tries"


@dataclass(frozen=True)
class Item:
    """Something to be answered.

    Attributes:
        folder: Where it is.
        note: Where it came from, JSON-able.
        names: Of its files, as their sender called them.
    """

    folder: Path
    note: Mapping[str, Any]
    names: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Unique, in the order of arrival, and without anything of a patient: fit for logs."""
        return self.folder.name

    @property
    def tries(self) -> int:
        """How often it was begun without an end."""
        try:
            return int((self.folder / _TRIES).read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def count_try(self, tries: int) -> None:
        """Remember it beyond a crash, which the item itself may cause."""
        write_durably(self.folder / _TRIES, str(tries).encode())

    def files(self) -> Files:
        """The recording's files."""
        return tuple(
            (name, (self.folder / str(number)).read_bytes())
            for number, name in enumerate(self.names)
        )


class Spool:
    """The queue; one process at a time owns it.

    Args:
        folder: Made if it is not there.
        max_waiting: More are refused.

    Raises:
        SettingsError: Another process owns it, or it cannot be written.
    """

    def __init__(self, folder: Path, max_waiting: int = 10_000) -> None:
        self._folder, self._max_waiting = folder, max_waiting
        try:
            for state in _STATES:
                (folder / state).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise SettingsError(
                "Another process works on this spool, such as a second `watch` of the same folder.",
                hint="End the other, or give each its own --spool, and its own --out.",
            ) from error
        except OSError as error:
            raise SettingsError(f"The spool cannot be used: {error.strerror}.") from error
        for left in (folder / "incoming").iterdir():
            shutil.rmtree(left, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()

    def put(self, files: Files, note: Mapping[str, Any]) -> Item:
        """Take a recording on; when this returns, it is on disk to stay.

        Raises:
            Overloaded: Too many wait.
            OSError: It cannot be written.
        """
        if sum(1 for _ in (self._folder / "waiting").iterdir()) >= self._max_waiting:
            raise Overloaded(f"{self._max_waiting} recordings are waiting already.")
        identity = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        incoming, waiting = (self._folder / state / identity for state in _STATES[:2])
        incoming.mkdir(mode=0o700)
        try:
            for number, (_, content) in enumerate(files):
                _write(incoming / str(number), content)
            names = tuple(name for name, _ in files)
            _write(incoming / _NOTE, json.dumps({"note": dict(note), "names": names}).encode())
            _sync_folder(incoming)
            incoming.rename(waiting)
        except OSError:
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        _sync_folder(waiting.parent)
        return Item(waiting, dict(note), names)

    def waiting(self) -> Iterator[Item]:
        """Oldest first; a folder that is no item is left alone."""
        for folder in sorted((self._folder / "waiting").iterdir()):
            try:
                read = json.loads((folder / _NOTE).read_bytes())
                yield Item(folder, read["note"], tuple(read["names"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue

    def finish(self, item: Item) -> None:
        """Forget an item; its recording is deleted."""
        # Renamed first, so that a crash leaves no half of it waiting.
        gone = self._folder / "incoming" / item.identity
        item.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def set_aside(self, item: Item, problem: Mapping[str, Any]) -> None:
        """Keep an item with the reason why it cannot be answered."""
        write_durably(item.folder / "problem.json", json.dumps(dict(problem)).encode())
        (item.folder / _TRIES).unlink(missing_ok=True)  # moved back, it begins anew
        item.folder.rename(self._folder / "failed" / item.identity)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all, and to stay."""
    part = path.with_name(f".{path.name}.part")
    _write(part, content)
    part.rename(path)
    _sync_folder(path.parent)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
