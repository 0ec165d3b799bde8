"""A long recording on disk, read a stretch at a time as Recordings in standard form."""

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from serve_app.decoding import Hints, Limits, Upload
from serve_app.decoding.blocks import Blocks, blocks_of
from serve_app.decoding.decoded import Decoded, to_recording
from serve_app.decoding.opening import DiskFiles, open_files
from serve_app.decoding.paths import record_paths
from serve_app.decoding.units import Unit
from serve_app.decoding.upload import NO_HINTS, joined_sha256
from serve_app.errors import NotFound, PayloadTooLarge, ResourceExhausted
from serve_app.preprocessing import check_rate
from serve_app.recording import STANDARD_LEADS, Recording
from serve_app.settings import Settings

__all__ = ["LongRecording", "open_path", "open_sent", "open_spooled"]

_FIRST_SAMPLES: Final = 16
# Every sample takes a byte at least, but a header may promise gaps of any length.
_MOST_SAMPLES: Final = 1 << 36


@dataclass(frozen=True)
class LongRecording:
    """A recording that is read when it is asked for; as a `Recording` otherwise.

    Attributes:
        blocks: The opened file.
        hints: What it may not say.
        samples: Of each lead.
        fs_hz: Samples a second.
        leads: In the order of every Recording that is read.
        format: What it is read from.
        sha256: Of the bytes as they were sent.
        units_assumed: True where nothing said the units, so millivolts were taken.
    """

    blocks: Blocks
    hints: Hints
    samples: int
    fs_hz: float
    leads: tuple[str, ...]
    format: str
    sha256: str
    units_assumed: bool

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.fs_hz

    @property
    def missing_leads(self) -> tuple[str, ...]:
        """The standard leads that the recording does not have."""
        return tuple(name for name in STANDARD_LEADS if name not in self.leads)

    def read(self, start: int, stop: int) -> Recording:
        """Samples `start` to `stop` of every lead; those that are missing are NaN."""
        return _stretch(self.blocks, self.hints, self.sha256, start, stop)


@contextlib.contextmanager
def open_path(path: Path, settings: Settings, hints: Hints = NO_HINTS) -> Iterator[LongRecording]:
    """A local file, read where it lies; a WFDB header brings the rest of its record.

    Raises:
        NotFound: The file cannot be read.
        EcgServeError: As `open_spooled`.
    """
    with ExitStack() as stack:
        try:
            paths = record_paths(path)
            files = [(each.name, stack.enter_context(each.open("rb"))) for each in paths]
        except OSError as error:
            raise NotFound(
                f"The file cannot be read: {error.strerror}.", hint="Check the path."
            ) from error
        sha256 = _sha256_of(files)
        yield stack.enter_context(open_spooled(files, "", sha256, settings, hints))


@contextlib.contextmanager
def open_sent(
    sent: Upload | Recording | bytes | Path, settings: Settings, hints: Hints = NO_HINTS
) -> Iterator[LongRecording]:
    """Whatever callers in this process have: a path, or what is in memory already.

    Raises:
        EcgServeError: As `open_path` and `open_spooled`.
    """
    with ExitStack() as stack:
        if isinstance(sent, Path):
            yield stack.enter_context(open_path(sent, settings, hints))
        elif isinstance(sent, Recording):
            yield _of_recording(sent, settings)
        else:
            upload = Upload((("", sent),)) if isinstance(sent, bytes) else sent
            files = [(n, stack.enter_context(_on_disk(content))) for n, content in upload.files]
            kind = upload.content_type
            yield stack.enter_context(open_spooled(files, kind, upload.sha256, settings, hints))


@contextlib.contextmanager
def open_spooled(
    files: DiskFiles, content_type: str, sha256: str, settings: Settings, hints: Hints = NO_HINTS
) -> Iterator[LongRecording]:
    """What a client sent and is on disk now, for as long as its files stay open.

    Args:
        files: Each with its sender's name, or ``""``.
        content_type: As the client said it.
        sha256: Of the bytes as they were sent.
        settings: Limits of what is taken.
        hints: What the format may not say.

    Raises:
        EcgServeError: As `serve_app.decoding.decode`; PayloadTooLarge, too, for one that is
            longer than ``max_long_hours``.
    """
    limits = Limits(settings.max_long_body_mb << 20, max_samples=_MOST_SAMPLES)
    whole = Limits(settings.max_unpacked_mb << 20)
    with open_files(files, content_type, hints, limits, whole) as blocks:
        yield _long_recording(blocks, hints, sha256, settings)


def _long_recording(blocks: Blocks, hints: Hints, sha256: str, settings: Settings) -> LongRecording:
    first = _stretch(blocks, hints, sha256, 0, min(blocks.samples, _FIRST_SAMPLES))
    check_rate(first.fs_hz)
    hours = blocks.samples / first.fs_hz / 3600
    if hours > settings.max_long_hours:
        raise PayloadTooLarge(
            f"The recording lasts {hours:.1f} h; at most {settings.max_long_hours:g} h are taken.",
            hint="Send a part of it, or raise ECG_MAX_LONG_HOURS.",
        )
    return LongRecording(
        blocks,
        hints,
        blocks.samples,
        first.fs_hz,
        first.leads,
        first.format,
        sha256,
        first.units_assumed,
    )


def _stretch(blocks: Blocks, hints: Hints, sha256: str, start: int, stop: int) -> Recording:
    decoded = Decoded(
        blocks.read(start, stop), blocks.fs_hz, blocks.leads, blocks.units, blocks.format
    )
    return to_recording(decoded, hints, Limits(), sha256)


def _of_recording(recording: Recording, settings: Settings) -> LongRecording:
    units: frozenset[Unit] = frozenset(() if recording.units_assumed else ("mV",))
    decoded = Decoded(
        recording.signal_mv, recording.fs_hz, recording.leads, units, recording.format
    )
    return _long_recording(blocks_of(decoded), NO_HINTS, recording.sha256, settings)


@contextlib.contextmanager
def _on_disk(content: bytes) -> Iterator[IO[bytes]]:
    with TemporaryFile(prefix="ecg-") as file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            raise ResourceExhausted("No room on disk for the recording.") from None
        yield file


def _sha256_of(files: list[tuple[str, BufferedReader]]) -> str:
    digests = [(name, hashlib.file_digest(file, "sha256")) for name, file in files]
    if len(digests) == 1:
        return digests[0][1].hexdigest()
    return joined_sha256([(name, digest.digest()) for name, digest in digests])
