"""ISHNE Holter files: a fixed header, then 16-bit samples of each lead in turn.

Badilini F., "The ISHNE Holter Standard Output File Format", Ann. Noninvasive Electrocardiol. 3
(1998) 263-266; https://www.thew-project.org/papers/Badilini.ISHNE.Holter.Standard.pdf. Name,
birth date and the other fields that describe a patient are never read.
"""

from binascii import crc_hqx
from struct import Struct
from typing import Final

from serve_app.decoding.blocks import Blocks, Content, read_whole
from serve_app.decoding.decoded import Decoded
from serve_app.decoding.records import Channel, Run, open_runs
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal

__all__ = ["decode_ishne", "looks_like_ishne", "open_ishne"]

_SIGNAL_FILE: Final = b"ISHNE1.0"
_ANNOTATION_FILE: Final = b"ANN  1.0"
_HEADER_BYTES: Final = 522
_CHECKED_FROM: Final = 10  # the checksum covers what follows it
# Checksum; length of the variable block; samples of each lead; where that block and they start.
_SIZES: Final = Struct("<8xHiiii")
_LEADS: Final = Struct("<156xh12h")
_RESOLUTIONS_NV: Final = Struct("<206x12h")
_RATE_HZ: Final = Struct("<272xH")
_MAX_LEADS: Final = 12
_LEAD_NAMES: Final = {
    **dict(enumerate(("bipolar", "X", "Y", "Z", "I", "II", "III", "aVR", "aVL", "aVF"), 1)),
    **{10 + n: f"V{n}" for n in range(1, 7)},
    **dict(enumerate(("ES", "AS", "AI"), 17)),
}


def looks_like_ishne(data: bytes) -> bool:
    """Whether the signature of a signal or an annotation file is there."""
    return data[:8] in {_SIGNAL_FILE, _ANNOTATION_FILE}


def decode_ishne(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode a Holter file.

    Raises:
        EcgServeError: As in `open_ishne`.
        PayloadTooLarge: More samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    blocks = open_ishne(data, limits)
    return read_whole(blocks, len(blocks.leads or ()), limits)


def open_ishne(content: Content, limits: Limits) -> Blocks:
    """Read the header of a Holter file, and its samples when they are asked for.

    Raises:
        InvalidFormat: An annotation file, or a header that breaks the format.
        CorruptedData: Cut short, or a header that its checksum does not fit.
        InvalidSignal: No samples.
    """
    del limits  # nothing is read yet
    _check_signature(content)
    first_byte, samples = _check_header(content)
    channels = _channels(content)
    frame_bytes = 2 * len(channels)
    held = (len(content) - first_byte) // frame_bytes
    if samples == held * len(channels):
        samples = held  # some writers count the samples of all leads
    if samples > held:
        raise CorruptedData(f"The ISHNE file is cut short: it holds {held} of {samples} samples.")
    if samples < 1:
        raise InvalidSignal("The ISHNE file holds no samples.")
    (fs_hz,) = _RATE_HZ.unpack_from(content)
    if fs_hz == 0:
        raise InvalidFormat("The ISHNE header states a sampling rate of 0 Hz.")
    run = Run(0, first_byte, samples, frame_bytes, channels)
    return open_runs(content, [run], float(fs_hz), "ishne")


def _check_signature(content: Content) -> None:
    signature = bytes(content[:8])
    if signature == _ANNOTATION_FILE:
        raise InvalidFormat(
            "This is the annotation file of an ISHNE recording: it holds no samples.",
            hint="Send the signal file (.ecg) that belongs to it.",
        )
    if signature != _SIGNAL_FILE:
        raise InvalidFormat("This is no ISHNE file.")
    if len(content) < _HEADER_BYTES:
        raise CorruptedData("The ISHNE header is cut short.")


def _check_header(content: Content) -> tuple[int, int]:
    """Where the samples start, and how many each lead has."""
    checksum, _, samples, _, first_byte = _SIZES.unpack_from(content)
    if not _HEADER_BYTES <= first_byte <= len(content):
        raise CorruptedData("The ISHNE header says that its samples start outside the file.")
    # Zero is left there by writers that compute none.
    if checksum and checksum != crc_hqx(content[_CHECKED_FROM:first_byte], 0xFFFF):
        raise CorruptedData("The ISHNE header does not fit its checksum.")
    return first_byte, samples


def _channels(content: Content) -> tuple[Channel, ...]:
    count, *codes = _LEADS.unpack_from(content)
    if not 1 <= count <= _MAX_LEADS:
        raise InvalidFormat(f"The ISHNE header states {count} leads; 1 to {_MAX_LEADS} are stored.")
    resolutions = _RESOLUTIONS_NV.unpack_from(content)[:count]
    if min(resolutions) <= 0:
        raise InvalidFormat("The ISHNE header states no resolution for a lead.")
    return tuple(
        Channel(_LEAD_NAMES.get(code, "unknown"), "nV", 2 * i, 1, "<i2", resolution)
        for i, (code, resolution) in enumerate(zip(codes, resolutions, strict=False))
    )
