"""What the local cache of the Hub holds that could be served."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CachedRevisionInfo, CacheNotFound, constants, scan_cache_dir

from serve_app.errors import CheckpointError

from .layout import CONFIG_FILE, files_of_repository, is_our_config

__all__ = ["CachedModel", "cached_models"]


@dataclass(frozen=True)
class CachedModel:
    """A model of the Hub whose files are here.

    Args:
        name: ``hf:OWNER/NAME@COMMIT``, by which it is served without asking the Hub.
        commit: Of the repository.
        references: Branches and tags that stood for it when the Hub was last asked.
        files: Of the model; a repository may have others.
        size_bytes: Of these.
    """

    name: str
    commit: str
    references: tuple[str, ...]
    files: tuple[str, ...]
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "source": "hub",
            "commit": self.commit,
            "references": list(self.references),
            "files": list(self.files),
            "size_bytes": self.size_bytes,
        }


def cached_models() -> list[CachedModel]:
    """Every revision in the cache that makes an ECG-FM, by name."""
    cache = Path(constants.HF_HUB_CACHE).expanduser()
    try:
        repositories = scan_cache_dir(cache).repos
    except (CacheNotFound, OSError, ValueError):
        return []
    found = (
        model
        for repository in repositories
        if repository.repo_type == "model"
        for revision in repository.revisions
        for model in _models(repository.repo_id, revision)
    )
    return sorted(found, key=lambda model: model.name)


def _models(repository: str, revision: CachedRevisionInfo) -> Iterator[CachedModel]:
    present = {file.file_name: file for file in revision.files if file.file_path.is_file()}
    names = [str(file.file_path.relative_to(revision.snapshot_path)) for file in present.values()]
    try:
        needed = files_of_repository(names, head=False)
    except CheckpointError:
        return
    if CONFIG_FILE in needed and not is_our_config(present[CONFIG_FILE].file_path):
        return
    commit = revision.commit_hash
    size = sum(present[name].size_on_disk for name in needed)
    references = tuple(sorted(revision.refs))
    yield CachedModel(f"hf:{repository}@{commit}", commit, references, tuple(needed), size)
