"""Apple Health's export of a watch's electrocardiogram: lines of keys and values, then samples.

``electrocardiograms/ecg_*.csv``: the keys are in the user's language, so a line is told by its
value ("512 hertz", "µV"). Name, birth date and the other lines are passed over.
"""

import re
from io import BytesIO
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.csv_dialect import line_text
from serve_app.decoding.decoded import Decoded
from serve_app.decoding.units import electric_unit, to_mv
from serve_app.decoding.upload import Limits
from serve_app.errors import CorruptedData
from serve_app.recording import STANDARD_LEADS, standard_lead_name

__all__ = ["decode_apple_health", "looks_like_apple_health"]

_HEAD_BYTES, _HEAD_LINES = 1 << 13, 40
_HERTZ: Final = "hertz|hz|hercios?|hertzios?|герц|赫兹|赫茲|ヘルツ|헤르츠"
_RATE: Final = re.compile(
    rf"""[^,;\t]{{1,60}}[,;\t]\s*["']?(\d{{2,5}}(?:[.,]\d+)?)\s*(?:{_HERTZ})["']?\s*""", re.I
)
_PAIR: Final = re.compile(r"""[^,;\t]{1,60}[,;\t]\s*["']?(.*?)["']?\s*""")
# A decimal comma makes of each sample what looks like two columns; these are never two.
_SAMPLE: Final = re.compile(r"""\s*["']?[-+]?\d+(?:[.,]\d+)?["']?\s*""")
_WATCH_LEAD: Final = "I"


def looks_like_apple_health(text: bytes) -> bool:
    """Whether a sampling rate in hertz is said above lines of one sample each."""
    header, start = _header(text)
    return start > 0 and _rate_hz(header) is not None


def decode_apple_health(text: bytes, limits: Limits) -> Decoded:
    """Decode UTF-8 text that `looks_like_apple_health`: one lead, I unless its header says another.

    Raises:
        CorruptedData: A line that is no sample.
        PayloadTooLarge: More samples than `limits` allow.
    """
    header, start = _header(text)
    units = [unit for line in header if (unit := electric_unit(_value(line)))]
    limits.check_samples(text.count(b"\n", start))
    samples = _samples(text[start:])
    return Decoded(
        (to_mv(samples, units[0]) if units else samples)[np.newaxis],
        _rate_hz(header),
        (_lead(header),),
        frozenset(units[:1]),
        "apple_health",
    )


def _header(text: bytes) -> tuple[list[str], int]:
    """The lines above the first sample, and where that starts; 0 where none is near the start."""
    header: list[str] = []
    # A line that the bound cuts has no end, and is left out.
    for match in islice(re.finditer(rb"[^\n]*\n", text[:_HEAD_BYTES]), _HEAD_LINES):
        line = line_text(match[0])
        if header and _SAMPLE.fullmatch(line):
            return header, match.start()
        header.append(line)
    return header, 0


def _rate_hz(header: list[str]) -> float | None:
    for line in header:
        if match := _RATE.fullmatch(line):
            return float(match[1].replace(",", "."))
    return None


def _value(line: str) -> str:
    match = _PAIR.fullmatch(line)
    return match[1] if match else ""


def _lead(header: list[str]) -> str:
    """The lead that a line names ("Lead I", "Ableitung I"): a watch's is I."""
    for line in header:
        words = _value(line).split()
        name = standard_lead_name(words[-1]) if 0 < len(words) <= 3 else ""
        if name in STANDARD_LEADS:
            return name
    return _WATCH_LEAD


def _samples(body: bytes) -> npt.NDArray[np.float64]:
    body = body.replace(b",", b".").replace(b'"', b"")
    try:
        samples = np.loadtxt(BytesIO(body), np.float64, comments=None, ndmin=2, encoding="latin-1")
    except ValueError:  # its message quotes the line
        samples = np.empty((0, 0))
    if samples.shape[1] != 1:
        raise CorruptedData("A line of the export is no sample: it is cut short or damaged.")
    return samples[:, 0]
