"""``hf:OWNER/NAME[@REVISION]``: a model's files, fetched from the Hugging Face Hub once.

A branch is resolved to the commit it stands for, and every file is taken from that commit. What is
cached is not fetched again; where the Hub cannot be reached, the commit that the revision stood for
last is used if its files are there. A refusal (no such repository or revision, no access) is an
error even then. ``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN``, ``HF_ENDPOINT``,
``HF_HUB_DOWNLOAD_TIMEOUT`` are read by huggingface_hub as ever. It also sees to it, by a lock in
the cache, that processes of one machine do not download a file twice side by side.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.file_download import repo_folder_name

from serve_app.errors import CheckpointError

from .hub_errors import is_unreachable, told
from .layout import CONFIG_FILE, files_of_repository, is_our_config

__all__ = ["HubFiles", "HubName", "fetch", "is_hub_name"]

_PREFIX = "hf:"
# As the Hub has it: up to 96 letters, digits, - _ and . in each part, none of - . at its ends.
_PART = r"(?!.{97})\w(?:[\w.-]*\w)?"
_REPOSITORY = re.compile(rf"(?!.*(?:--|\.\.)){_PART}/{_PART}(?<!\.git)", re.ASCII)
# Names of branches and tags, and of refs/pr/1; it becomes part of a path in the cache.
_REVISION = re.compile(r"(?!.*(\.\.|//))[A-Za-z0-9][\w./+-]{0,199}(?<![./])", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubName:
    """A repository of the Hub, at a revision.

    Args:
        repository: ``OWNER/NAME``.
        revision: Branch, tag or commit; None: the default branch.
    """

    repository: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """``hf:OWNER/NAME`` or ``hf:OWNER/NAME@REVISION``.

        Raises:
            CheckpointError: for anything else.
        """
        repository, at, revision = text.removeprefix(_PREFIX).partition("@")
        if not _REPOSITORY.fullmatch(repository) or (at and not _REVISION.fullmatch(revision)):
            raise CheckpointError(
                "This is no name of a model on the Hub.",
                hint="Write hf:OWNER/NAME or hf:OWNER/NAME@REVISION, as in hf:wanglab/ecg-fm@main.",
            )
        return cls(repository, revision or None)

    @property
    def short(self) -> str:
        """What answers call it: the name without its owner."""
        return self.repository.partition("/")[2]

    @property
    def commit(self) -> str | None:
        """The commit, if that is what the revision names."""
        is_commit = self.revision is not None and _COMMIT.fullmatch(self.revision)
        return self.revision if is_commit else None

    def pinned_to(self, revision: str | None) -> Self:
        """The same at that commit, if ``revision`` is a whole one and the name has none itself."""
        if self.revision is None and revision is not None and _COMMIT.fullmatch(revision):
            return replace(self, revision=revision)
        return self

    def __str__(self) -> str:
        """As it is written."""
        return _PREFIX + self.repository + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class HubFiles:
    """Files of a model in the local cache.

    Args:
        files: The configuration, if there is one, and the weights.
        commit: What they are of.
        sha256: What the weights have to have; None where the Hub keeps them in git itself.
    """

    files: tuple[Path, ...]
    commit: str
    sha256: str | None

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.files[-1]


def is_hub_name(source: str) -> bool:
    """Whether a model's name means the Hub."""
    return source.startswith(_PREFIX)


def fetch(
    name: HubName, *, head: bool = True, timeout_s: float | None = None, force: bool = False
) -> HubFiles:
    """The files of a model, from the cache or the Hub; a progress bar tells of it on a terminal.

    Args:
        name: Which.
        head: Whether a classifier is wanted; else a pretrained encoder will do.
        timeout_s: Longest wait for an answer of the Hub. Between two pieces of a file, its library
            waits for HF_HUB_DOWNLOAD_TIMEOUT.
        force: Download again what is there.

    Raises:
        CheckpointError: if the Hub does not give them, they make no model, or they are damaged.
    """
    kept = None if force else _kept(name, name.commit, head)
    if kept is not None:
        return kept
    waits = min(timeout_s or constants.HF_HUB_ETAG_TIMEOUT, constants.HF_HUB_ETAG_TIMEOUT)
    try:
        commit, names = _ask(name, waits)
    except Exception as error:  # the library lets its own, httpx's and json's errors through
        if is_unreachable(error) and not force:
            kept = _kept(name, _last_commit(name), head)
        if kept is None:
            raise told(error, name) from error
        return kept
    needed = files_of_repository(names, head)
    files = [_download(name, file, commit, waits, force) for file in needed]
    _remember(name, commit)  # now, so that it never stands for files that are not here
    return _described(files, commit)


def _ask(name: HubName, waits_s: float) -> tuple[str, list[str]]:
    """The commit that a revision stands for, and the files of it."""
    info = HfApi().model_info(name.repository, revision=name.revision, timeout=waits_s)
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise ValueError("no commit")
    return commit, [file.rfilename for file in info.siblings or []]


def _download(name: HubName, file: str, commit: str, waits_s: float, force: bool) -> Path:
    try:
        got = hf_hub_download(
            name.repository, file, revision=commit, etag_timeout=waits_s, force_download=force
        )
    except Exception as error:  # Xet's and the disk's as well
        raise told(error, name) from error
    path = Path(got)
    _refuse_damaged(path)
    # Before the weights: a gigabyte of another model is not worth fetching.
    if file == CONFIG_FILE and not is_our_config(path):
        raise CheckpointError(
            f"{name} is another model: its {CONFIG_FILE} is not that of an ECG-FM.",
            hint="Name a repository of an ECG-FM, such as hf:wanglab/ecg-fm.",
        )
    return path


def _refuse_damaged(path: Path) -> None:
    """Check a small file; large ones, known by their SHA-256, are checked when they are read."""
    known = _known_hash(path)
    if known is not None and _COMMIT.fullmatch(known) and _git_hash(path) != known:
        raise CheckpointError(
            f"The downloaded {path.name} is damaged.",
            hint="Download it again: ecg-serve model pull hf:OWNER/NAME --force",
        )


def _described(files: list[Path], commit: str) -> HubFiles:
    known = _known_hash(files[-1])
    return HubFiles(tuple(files), commit, known if known and _SHA256.fullmatch(known) else None)


def _known_hash(path: Path) -> str | None:
    """A cached file is a link to one that is named by its hash, except where links cannot be."""
    return path.readlink().name if path.is_symlink() else None


def _git_hash(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _folder(name: HubName) -> Path:
    folder = repo_folder_name(repo_id=name.repository, repo_type="model")
    return Path(constants.HF_HUB_CACHE).expanduser() / folder


def _reference(name: HubName) -> Path:
    return _folder(name) / "refs" / (name.revision or constants.DEFAULT_REVISION)


def _last_commit(name: HubName) -> str | None:
    try:
        commit = _reference(name).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return commit if _COMMIT.fullmatch(commit) else None


def _remember(name: HubName, commit: str) -> None:
    """Note what a branch stands for, as the library does: for when the Hub cannot be asked."""
    path = _reference(name)
    if name.commit is not None or _last_commit(name) == commit:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{commit}.tmp")
        new.write_text(commit, "ascii")
        new.replace(path)
    except OSError:
        return  # a cache that cannot be written to may still hold the files


def _kept(name: HubName, commit: str | None, head: bool) -> HubFiles | None:
    """What the cache has of a commit, if that makes a model."""
    if commit is None:
        return None
    snapshot = _folder(name) / "snapshots" / commit
    try:
        present = [file.name for file in snapshot.iterdir() if file.is_file()]
        needed = files_of_repository(present, head)
    except (OSError, CheckpointError):
        return None
    files = [snapshot / file for file in needed]
    for path in files:
        _refuse_damaged(path)
    return _described(files, commit)
