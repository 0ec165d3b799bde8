"""ISHNE Holter files: every lead under its name, in millivolts, and damage noticed."""

import struct
from binascii import crc_hqx
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Limits, Upload, decode, decode_path
from serve_app.decoding.ishne import open_ishne
from serve_app.decoding.upload import DEFAULT_LIMITS
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidSignal,
    PayloadTooLarge,
)
from serve_app.recording import STANDARD_LEADS

HEADER_BYTES = 522
CODES = (5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
SIZES = {"samples": 14, "first_byte": 22, "leads": 156, "code": 158, "resolution": 206, "rate": 272}
Make = Callable[..., bytes]


def with_checksum(body: bytes, end: int = HEADER_BYTES) -> bytes:
    return body[:8] + struct.pack("<H", crc_hqx(body[10:end], 0xFFFF)) + body[10:]


def edited(body: bytes, field: str, kind: str, *values: int) -> bytes:
    place = SIZES[field]
    packed = struct.pack(f"<{len(values)}{kind}", *values)
    return with_checksum(body[:place] + packed + body[place + len(packed) :])


@pytest.fixture(scope="module")
def make(short: np.ndarray) -> Make:
    """`make(codes)`: the short recording, 2.5 uV a step, with one lead for each code."""

    def write(codes: tuple[int, ...] = CODES, extra: bytes = b"") -> bytes:
        stored = np.rint(short[: len(codes)] * 400).astype("<i2")
        header = bytearray(HEADER_BYTES)
        first_byte = HEADER_BYTES + len(extra)
        struct.pack_into("<8s2xiiiih", header, 0, b"ISHNE1.0", len(extra), 600, 522, first_byte, 1)
        header[28:32] = b"Jane"
        struct.pack_into(f"<h{len(codes)}h", header, 156, len(codes), *codes)
        struct.pack_into(f"<{len(codes)}h", header, 206, *[2500] * len(codes))
        struct.pack_into("<H", header, 272, 1000)
        return with_checksum(bytes(header) + extra + stored.T.tobytes(), first_byte)

    return write


@pytest.fixture(scope="module")
def body(make: Make) -> bytes:
    return make()


def test_public_file(data_dir: Path) -> None:
    path = data_dir / "formats/ishne/ECG_P28.01.ecg"
    decoded = decode_path(path)
    assert (decoded.leads, decoded.fs_hz, decoded.format) == (STANDARD_LEADS, 1000, "ishne")
    stored = np.fromfile(path, "<i2", offset=HEADER_BYTES).reshape(-1, 12).T
    assert_array_equal(decoded.signal_mv, (stored * 5 / 1000).astype(np.float32))
    # The leads are what the codes say: Einthoven's and Goldberger's laws hold.
    one, two, three, avr, avl, avf = decoded.signal_mv[:6]
    assert_allclose(two - one, three, atol=0.011)
    assert_allclose(-(one + two) / 2, avr, atol=0.011)
    assert_allclose((one - three) / 2, avl, atol=0.011)
    assert_allclose((two + three) / 2, avf, atol=0.011)


def test_round_trip(body: bytes, short: np.ndarray) -> None:
    decoded = decode(body)
    assert decoded.leads == STANDARD_LEADS
    assert_array_equal(decoded.signal_mv, (np.rint(short * 400) * 2.5 / 1000).astype(np.float32))
    assert not decoded.units_assumed
    for kind in ("application/x-ishne", "application/octet-stream"):
        assert decode(Upload((("x.ecg", body),), kind)).format == "ishne"


def test_leads_of_holter_recorders(make: Make) -> None:
    assert decode(make((2, 3, 4))).leads == ("X", "Y", "Z")
    assert decode(make((17, 18, 19))).leads == ("ES", "AS", "AI")
    assert decode(make((1, 1, 0))).leads == ("bipolar", "bipolar 2", "unknown")
    assert decode(make((99,))).leads == ("unknown",)


def test_each_lead_has_its_own_resolution(body: bytes) -> None:
    decoded = decode(edited(body, "resolution", "h", 2500, 5000))
    assert_allclose(decoded.signal_mv[1], decode(body).signal_mv[1] * 2, rtol=1e-6)


def test_a_variable_block_is_stepped_over(make: Make, body: bytes) -> None:
    assert_array_equal(decode(make(extra=b"notes")).signal_mv, decode(body).signal_mv)


def test_any_stretch_equals_the_whole(body: bytes) -> None:
    blocks = open_ishne(memoryview(body), DEFAULT_LIMITS)
    whole = blocks.read(0, blocks.samples)
    assert (blocks.samples, blocks.fs_hz, blocks.units) == (600, 1000, {"nV"})
    for start, stop in ((0, 0), (0, 1), (17, 18), (599, 600), (100, 500)):
        assert_array_equal(blocks.read(start, stop), whole[:, start:stop])


def test_samples_counted_over_all_leads(body: bytes) -> None:
    assert_array_equal(decode(edited(body, "samples", "i", 7200)).signal_mv, decode(body).signal_mv)


def test_annotations_are_refused_with_what_to_send(data_dir: Path) -> None:
    with pytest.raises(InvalidFormat, match="annotation file") as caught:
        decode_path(data_dir / "formats/ishne/ECG_P28.01.ann")
    assert ".ecg" in str(caught.value.hint)


def test_checksum(body: bytes) -> None:
    damaged = body[:206] + b"\x10" + body[207:]
    with pytest.raises(CorruptedData, match="checksum"):
        decode(damaged)
    # Not computed by the writer.
    assert_array_equal(decode(body[:8] + b"\0\0" + body[10:]).signal_mv, decode(body).signal_mv)


def test_cut_at_every_field(body: bytes) -> None:
    for length in [8, 10, 14, 18, 22, 26, 28, 156, 158, 182, 206, 230, 272, 521, 522, 1000, 14921]:
        with pytest.raises((CorruptedData, InvalidSignal)):
            decode(body[:length])


@pytest.mark.parametrize(
    ("field", "kind", "values"),
    [
        *(("samples", "i", (value,)) for value in (0, -1, 601, 7201, 2**31 - 1, -(2**31))),
        *(("first_byte", "i", (value,)) for value in (0, -1, 521, 14923, 2**31 - 1)),
        *(("leads", "h", (value,)) for value in (0, -1, 13, 32767)),
        *(("resolution", "h", (value,)) for value in (0, -9)),
        ("rate", "H", (0,)),
        ("code", "h", (6, 6)),
    ],
)
def test_values_that_cannot_be(body: bytes, field: str, kind: str, values: tuple[int]) -> None:
    damaged = edited(body, field, kind, *values)
    # Without a checksum, so that the value itself is looked at.
    with pytest.raises((CorruptedData, InvalidFormat, InvalidSignal)):
        decode(damaged[:8] + b"\0\0" + damaged[10:])


def test_limit(body: bytes) -> None:
    with pytest.raises(PayloadTooLarge):
        decode(body, limits=Limits(max_samples=7199))


def test_patient_never_shows(body: bytes) -> None:
    with pytest.raises(EcgServeError) as caught:
        decode(body[:-1])
    assert "Jane" not in repr(caught.value)
    assert "Jane" not in repr(decode(body))
