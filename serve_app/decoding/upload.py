"""What is sent, what is said beside it, and how much of it is taken."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Final, Literal

from serve_app.errors import InvalidFormat, PayloadTooLarge

__all__ = [
    "DEFAULT_LIMITS",
    "NO_HINTS",
    "Files",
    "Hints",
    "Limits",
    "Upload",
    "base_name",
    "joined_sha256",
]

Files = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Upload:
    """One recording as it was sent.

    Attributes:
        files: The client's name for each file, or ``""``, and its content.
        content_type: As the client said it; parameters such as ``charset`` are tolerated.
    """

    files: Files
    content_type: str = "application/octet-stream"

    @property
    def sha256(self) -> str:
        """Hex digest of the one file, or over names and contents of several in any order."""
        if len(self.files) == 1:
            return hashlib.sha256(self.files[0][1]).hexdigest()
        return joined_sha256([(name, hashlib.sha256(data).digest()) for name, data in self.files])


@dataclass(frozen=True)
class Hints:
    """What the format may not say; where it does, a hint must agree.

    Attributes:
        fs_hz: Samples a second.
        units: Of samples that carry no unit.
        leads: A name for each signal, in the order of the file.
    """

    fs_hz: float | None = None
    units: Literal["mV", "uV"] | None = None
    leads: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Limits:
    """How much is taken; more raises PayloadTooLarge.

    Attributes:
        max_unpacked_bytes: Of all files together, after unzipping.
        max_files: In one upload or zip archive.
        max_samples: Leads times samples.
        max_text_bytes: Of JSON and CSV, which grow tenfold in memory while they are parsed.
    """

    max_unpacked_bytes: int = 256 << 20
    max_files: int = 100
    max_samples: int = 64_000_000
    max_text_bytes: int = 64 << 20

    def check_files(self, sizes: list[int]) -> None:
        """Refuse too many or too large files, before anything is parsed."""
        if len(sizes) > self.max_files:
            raise PayloadTooLarge(
                f"{len(sizes)} files; at most {self.max_files} are taken.",
                hint="Send the files of one recording.",
            )
        if sum(sizes) > self.max_unpacked_bytes:
            raise PayloadTooLarge(
                f"The files hold {sum(sizes)} bytes; at most {self.max_unpacked_bytes} are taken."
            )

    def check_samples(self, count: int) -> None:
        """Refuse more than ``max_samples``, before they are allocated."""
        if count > self.max_samples:
            raise PayloadTooLarge(
                f"The recording holds {count} samples; at most {self.max_samples} are taken.",
                hint="Send a shorter part of the recording.",
            )

    def check_text(self, size: int) -> None:
        """Refuse a text of more than ``max_text_bytes``."""
        if size > self.max_text_bytes:
            raise PayloadTooLarge(
                f"The text holds {size} bytes; at most {self.max_text_bytes} are taken.",
                hint="Send long recordings as npy, WFDB or DICOM.",
            )


NO_HINTS: Final = Hints()
DEFAULT_LIMITS: Final = Limits()


def joined_sha256(named: Iterable[tuple[str, bytes]]) -> str:
    """Hex digest over the names and SHA-256 digests of several files, in any order."""
    digest = hashlib.sha256()
    for name, of_content in sorted(named):
        encoded = name.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8) + encoded + of_content)
    return digest.hexdigest()


def base_name(name: str) -> str:
    r"""The last part of a file name of any system: ``C:\ecg\100.hea`` -> ``100.hea``."""
    if "\0" in name or len(name) > 1000:
        raise InvalidFormat("A file name is not allowed.", hint="Name the files plainly: 100.hea.")
    base = PureWindowsPath(name).name
    return "" if base in {".", ".."} else base
