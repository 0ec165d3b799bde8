"""A folder that recordings are put into: each new one is taken on, once it has been written.

Nothing is remembered but what lies there: a recording is done when its result is in the output
folder and no older than its files. So a restart neither misses nor repeats any.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from serve_app.decoding.paths import read_path
from serve_app.decoding.upload import DEFAULT_LIMITS, Files
from serve_app.errors import EcgServeError, Overloaded
from serve_app.hospital.deliveries import RESULT_MARK, Folder
from serve_app.hospital.spool import Spool

__all__ = ["Watcher"]

_log = logging.getLogger(__name__)
# What programs call files that they are still writing.
_UNFINISHED: Final = frozenset({".part", ".partial", ".tmp", ".crdownload", ".filepart"})
_State = Mapping[Path, tuple[int, int]]


class Watcher:
    """Looks through a folder and its folders.

    Args:
        folder: What is watched.
        results: Where results are written; it may be the same folder.
        spool: Who is handed the recordings.
    """

    def __init__(self, folder: Path, results: Folder, spool: Spool) -> None:
        self._folder, self._results, self._spool = folder, results, spool
        self._last: _State = {}
        self._taken: dict[Path, tuple[int, int]] = {}
        self._failed: set[Path] = set()

    @property
    def failed_count(self) -> int:
        """How many could not be taken on; those that were, and failed later, the worker counts."""
        return len(self._failed)

    def look(self, *, settled: bool = False) -> int:
        """Take on what is new and has not changed since the last look; returns how many.

        Args:
            settled: What is there is complete, and need not be seen twice.

        Raises:
            OSError: The folder cannot be read.
        """
        state = dict(self._files())
        waiting = {item.note["name"] for item in self._spool.waiting()}
        taken = 0
        for path, seen in state.items():
            still = settled or self._last.get(path) == seen
            name = str(path.relative_to(self._folder))
            if still and self._taken.get(path) != seen and name not in waiting:
                taken += self._take(path, name, state)
        self._last = state
        self._taken = {path: seen for path, seen in self._taken.items() if path in state}
        return taken

    def _files(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        root, queue = self._folder.resolve(), self._spool.folder.resolve()
        for path in sorted(self._folder.rglob("*")):
            relative = path.relative_to(self._folder)
            hidden = any(part.startswith(".") for part in relative.parts)
            ours = RESULT_MARK in path.name or path.suffix.lower() in _UNFINISHED
            queued = queue in (root / relative).parents
            if hidden or ours or queued or path.is_symlink() or not path.is_file():
                continue
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            yield path, (stat.st_size, stat.st_mtime_ns)

    def _take(self, path: Path, name: str, state: _State) -> bool:
        """Whether it was taken on; what a WFDB header brings comes with the header."""
        if path.suffix.lower() != ".hea" and self._is_done(path, [path], state):
            self._taken[path] = state[path]  # without reading what was answered long ago
            return False
        try:
            files = read_path(path, DEFAULT_LIMITS)
        except OSError:
            self._failed.add(path)
            return False
        except EcgServeError as error:
            if not self._is_done(path, [path], state):
                self._failed.add(path)
                self._tell_problem(name, error)
            self._taken[path] = state[path]
            return False
        paths = [path.parent / member for member, _ in files]
        header_brings_it = len(files) > 1 and path.suffix.lower() != ".hea"
        if header_brings_it or self._is_done(path, paths, state):
            self._taken[path] = state[path]
            return False
        return self._put(path, name, files, state)

    def _is_done(self, path: Path, paths: list[Path], state: _State) -> bool:
        try:
            name = str(path.relative_to(self._folder))
            done_ns = self._results.result_path(name).stat().st_mtime_ns
        except FileNotFoundError:
            return False
        return all(state[member][1] <= done_ns for member in paths if member in state)

    def _put(self, path: Path, name: str, files: Files, state: _State) -> bool:
        source = {**_source(name), "files": [member for member, _ in files]}
        note = {"kind": "file", "name": name, "source": source}
        try:
            item = self._spool.put(files, note)
        except (OSError, Overloaded) as error:
            _log.error("a recording was not taken on (%s)", type(error).__name__)
            self._failed.add(path)
            return False
        self._failed.discard(path)
        self._taken[path] = state[path]
        _log.info("item %s found", item.identity)
        return True

    def _tell_problem(self, name: str, error: EcgServeError) -> None:
        self._results.deliver_problem(name, _source(name), error)


def _source(name: str) -> dict[str, object]:
    return {
        "kind": "file",
        "file": name,
        "received_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
