"""Contec ECG90A: what the electrocardiograph stores on its card (``*.ECG``).

No specification is published; the layout is that of its recordings: a header of 43 octets (case
number, time, patient), samples of eight leads in 16 bits, a trailer of 37 octets of which the first
16 are zero. The patient's fields are not read. The file says neither rate nor scale nor leads; the
device has one of each.
"""

import re
from typing import Final

import numpy as np

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.derived_leads import derive_limb_leads
from serve_app.decoding.units import to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal

__all__ = ["decode_contec", "looks_like_contec"]

_HEADER_BYTES, _TRAILER_BYTES = 43, 37
_FS_HZ: Final = 800.0
_LEADS: Final = ("II", "III", "V1", "V2", "V3", "V4", "V5", "V6")
_FRAME_BYTES: Final = 2 * len(_LEADS)
_STEP_UV, _ZERO, _MISSING = 5.0, 2048, 0x6800
# The case number, two zeros, the time of the recording, more zeros.
_START: Final = re.compile(rb"[\x20-\x7e]{1,7}\0+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\0")
_TIME_AT: Final = 10


def looks_like_contec(data: bytes) -> bool:
    """Whether case number and time are where the device writes them."""
    start = _START.match(data[:_HEADER_BYTES])
    return start is not None and start.end() == _TIME_AT + len("YYYY-MM-DD hh:mm:ss") + 1


def decode_contec(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the eight stored leads and derive the other four; leads left off are left out.

    Raises:
        InvalidFormat: Not a recording of this device.
        CorruptedData: Cut short.
        InvalidSignal: No electrode was attached.
        PayloadTooLarge: More samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    if not looks_like_contec(data):
        raise InvalidFormat("This is no Contec recording.")
    frames, rest = divmod(len(data) - _HEADER_BYTES - _TRAILER_BYTES, _FRAME_BYTES)
    end_mark = data[-_TRAILER_BYTES : _FRAME_BYTES - _TRAILER_BYTES]
    if rest or frames < 1 or any(end_mark):
        raise CorruptedData("The Contec recording is cut short.")
    limits.check_samples(frames * len(_LEADS))
    stored = np.frombuffer(data, "<u2", frames * len(_LEADS), _HEADER_BYTES).reshape(frames, -1).T
    samples = np.where(stored == _MISSING, np.nan, stored.astype(np.float64) - _ZERO)
    attached = [i for i, row in enumerate(samples) if not np.isnan(row).all()]
    if not attached:
        raise InvalidSignal("No electrode was attached during the Contec recording.")
    signal, leads = samples[attached], tuple(_LEADS[i] for i in attached)
    if leads[:2] == ("II", "III"):
        signal, leads = np.concatenate([signal[:1] - signal[1:2], signal]), ("I", *leads)
    signal, leads = derive_limb_leads(signal, leads)
    signal_mv = to_mv(signal * _STEP_UV, "uV").astype(np.float32)
    return Decoded(signal_mv, _FS_HZ, leads, frozenset(("uV",)), "contec")
