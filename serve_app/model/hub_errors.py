"""What went wrong at the Hub, said in our words: its own name addresses, paths and tokens."""

import errno
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from serve_app.errors import CheckpointError

if TYPE_CHECKING:
    from .hub import HubName

__all__ = ["is_unreachable", "told"]

_NO_ROOM = (
    "There is no room on the disk for the files of the Hub.",
    "Free some, or have HF_HOME name a larger disk.",
)
_MAY_NOT_WRITE = (
    "The cache of the Hub's files cannot be written to.",
    "Have HF_HOME name a folder that this process may write to.",
)
# EFBIG is what a limit on the size of files gives.
_OF_THE_DISK = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _NO_ROOM) | dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST), _MAY_NOT_WRITE
)
_ACCESS = "Set HF_TOKEN to a token that may read it; for a gated one, ask for access on the Hub."
_AGAIN = "Check the connection and HF_ENDPOINT, and try again; what is complete is kept."


def is_unreachable(error: Exception) -> bool:
    """Whether the Hub did not answer, or not as one; not: whether it answered no."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return status in (408, 429) or status >= 500
    # The last three: something else answered, such as the page of a hotel's network.
    kinds = (httpx2.HTTPError, OfflineModeIsEnabled, ValueError, TypeError, KeyError)
    return isinstance(error, kinds)


def told(error: Exception, name: "HubName") -> CheckpointError:
    """The same as an error for the user.

    Args:
        error: What huggingface_hub raised.
        name: What was asked for.
    """
    cause = _innermost(error)
    if isinstance(cause, HfHubHTTPError):
        return CheckpointError(*_refused(cause, name))
    if isinstance(cause, OfflineModeIsEnabled):
        return CheckpointError(
            f"The cache does not hold {name}, and HF_HUB_OFFLINE forbids to ask the Hub.",
            hint=f"Fetch it first, with the same HF_HOME: ecg-serve model pull {name}",
        )
    if isinstance(cause, OSError) and cause.errno in _OF_THE_DISK:
        return CheckpointError(*_OF_THE_DISK[cause.errno])
    if "Consistency check failed" in str(cause) or isinstance(cause, httpx2.RemoteProtocolError):
        detail = f"The download of {name} was cut short."
    elif is_unreachable(cause):
        detail = f"The Hub cannot be reached, and the cache does not hold {name}."
    else:
        detail = f"The download of {name} failed: {type(cause).__name__}."
    return CheckpointError(detail, hint=_AGAIN)


def _innermost(error: Exception) -> Exception:
    """The library wraps what it met where it found nothing in its cache either."""
    while not isinstance(error, HfHubHTTPError):
        wraps = isinstance(error, LocalEntryNotFoundError | ValueError)
        if not wraps or not isinstance(error.__cause__, Exception):
            break
        error = error.__cause__
    return error


def _refused(error: HfHubHTTPError, name: "HubName") -> tuple[str, str]:
    repository, status = name.repository, error.response.status_code
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{repository} has no revision {name.revision or 'main'}.",
            "Name a branch, a tag or a commit of the repository.",
        )
    if isinstance(error, EntryNotFoundError):
        return (f"{repository} lacks a file that it lists.", "Name another revision of it.")
    if isinstance(error, GatedRepoError) or status == 403:
        return (f"The Hub refuses access to {repository} (status {status}).", _ACCESS)
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        return (
            f"The Hub shows no repository {repository} (status {status}).",
            f"Check the name. {_ACCESS}",
        )
    if is_unreachable(error):
        return (
            f"The Hub cannot answer now (status {status}), and the cache does not hold {name}.",
            _AGAIN,
        )
    return (f"The Hub refuses {repository} (status {status}).", "Check the name and the revision.")
