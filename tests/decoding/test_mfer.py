"""MFER: both byte orders, every kind of sample, and only what is an ECG."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.decoding.mfer import looks_like_mfer, open_mfer
from serve_app.decoding.upload import DEFAULT_LIMITS
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidSignal,
    MissingParameter,
    PayloadTooLarge,
)
from serve_app.recording import STANDARD_LEADS

CODES = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)
PREAMBLE = b"\x40\x20MFR Test".ljust(34, b"\0")
ORDERS = {"<": b"\x01\x01\x01", ">": b"\x01\x01\x00"}
NAMES = {"<": "little", ">": "big"}
Make = Callable[..., bytes]


def tlv(tag: int, value: bytes, channel: int | None = None) -> bytes:
    head = bytes([tag]) if channel is None else bytes([tag, channel])
    if len(value) < 128:
        return head + bytes([len(value)]) + value
    return head + b"\x84" + len(value).to_bytes(4) + value


def number(value: int, order: str, size: int = 4) -> bytes:
    return value.to_bytes(size, NAMES[order], signed=value < 0)  # type: ignore[arg-type]


def common(order: str, *, block: int, channels: int, sequences: int) -> bytes:
    """500 Hz, 2.5 uV a step, a missing value of -32768."""
    return b"".join(
        [
            tlv(0x0B, b"\0\0" + number(500, order, 2)),
            tlv(0x0C, b"\0\xf9" + number(25, order, 2)),
            tlv(0x04, number(block, order)),
            tlv(0x05, number(channels, order, 1)),
            tlv(0x06, number(sequences, order, 2)),
            tlv(0x12, number(-32768, order, 2)),
        ]
    )


def lead(channel: int, code: int, order: str, *more: bytes) -> bytes:
    return tlv(0x3F, tlv(0x09, number(code, order, 2)) + b"".join(more), channel)


@pytest.fixture(scope="module")
def stored(short: np.ndarray) -> np.ndarray:
    """(12, 600) integer, 2.5 uV a step."""
    return np.rint(short * 400).astype(np.int64)


@pytest.fixture(scope="module")
def make(stored: np.ndarray) -> Make:
    """`make(order=, dtype=)`: 12 leads in six sequences of a hundred samples."""

    def write(order: str = "<", dtype: str = "i2", kind: int = 0, block: int = 100) -> bytes:
        by_sequence = stored.reshape(12, -1, block).transpose(1, 0, 2)
        parts = [PREAMBLE, ORDERS[order], tlv(0x81, b"Doe^Jane")]
        parts += [common(order, block=block, channels=12, sequences=600 // block)]
        parts += [tlv(0x0A, bytes([kind])), tlv(0x08, number(1, order, 2))]
        parts += [lead(i, code, order) for i, code in enumerate(CODES)]
        parts += [tlv(0x1E, by_sequence.astype(order + dtype).tobytes()), b"\x80\0"]
        return b"".join(parts)

    return write


def samples_mv(stored: np.ndarray) -> np.ndarray:
    return (stored * 25 * 1e2 / 1e6).astype(np.float32)


def test_cross_format_oracle(data_dir: Path) -> None:
    decoded = decode_path(data_dir / "derived/mfer/ptbxl98.mwf")
    record = decode_path(data_dir / "twelve_lead/ptbxl/records500/00000/00098_hr.hea")
    assert_array_equal(decoded.signal_mv, record.signal_mv)
    assert (decoded.leads, decoded.fs_hz) == (record.leads, record.fs_hz)
    assert not decoded.units_assumed


def test_a_monitors_file(data_dir: Path) -> None:
    """II and V5 at 250 Hz; pressures at 125 Hz and flags are left out."""
    path = data_dir / "formats/mfer/nihonkohden_cns6000.mwf"
    decoded = decode_path(path)
    assert (decoded.leads, decoded.fs_hz, decoded.format) == (("II", "V5"), 250, "mfer")
    sequences = np.fromfile(path, "<i2", count=810_000, offset=400).reshape(12, -1)
    expected = sequences[:, :30000].reshape(12, 2, 15000).transpose(1, 0, 2).reshape(2, -1)
    missing = expected == -32768
    assert_array_equal(np.isnan(decoded.signal_mv), missing)
    assert_array_equal(
        decoded.signal_mv[~missing], (expected[~missing] * 2 / 1000).astype(np.float32)
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "dtype"), [(0, "i2"), (2, "i4"), (7, "f4"), (8, "f8")])
def test_byte_orders_and_kinds_of_samples(
    make: Make, stored: np.ndarray, order: str, kind: int, dtype: str
) -> None:
    decoded = decode(make(order, dtype, kind))
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 500)
    assert_allclose(decoded.signal_mv, samples_mv(stored), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "dtype", "zero"),
    [(0, "i2", -300), (1, "u2", 7), (3, "u1", 0), (5, "i1", -9), (6, "u4", 1)],
)
def test_unsigned_and_short_samples_and_their_zero(kind: int, dtype: str, zero: int) -> None:
    counts = np.arange(100)
    body = b"".join(
        [
            PREAMBLE + ORDERS[">"] + common(">", block=100, channels=1, sequences=1),
            lead(0, 2, ">", tlv(0x0A, bytes([kind]))),
            tlv(0x0D, np.array(zero, ">" + dtype).tobytes()),
            tlv(0x1E, counts.astype(">" + dtype).tobytes()),
        ]
    )
    assert_allclose(decode(body).signal_mv, [(counts + zero) * 0.0025], rtol=1e-6)


@pytest.mark.parametrize("block", [1, 600])
def test_block_lengths(make: Make, stored: np.ndarray, block: int) -> None:
    assert_allclose(decode(make(block=block)).signal_mv, samples_mv(stored), rtol=1e-6)


def test_missing_samples(make: Make) -> None:
    body = make()
    place = body.rindex(b"\x1e\x84") + 6
    decoded = decode(body[:place] + b"\x00\x80" + body[place + 2 :])
    assert np.isnan(decoded.signal_mv[0, 0])
    assert np.isnan(decoded.signal_mv).sum() == 1


@pytest.mark.parametrize(
    ("unit", "exponent", "mantissa", "millivolts", "name"),
    [(0, -6, 5, 0.005, "uV"), (0, -3, 1, 1, "mV"), (0, 0, 1, 1000, "V"), (0, -8, 50, 5e-4, "nV")],
)
def test_sensitivity(unit: int, exponent: int, mantissa: int, millivolts: float, name: str) -> None:
    body = PREAMBLE + ORDERS["<"] + common("<", block=3, channels=1, sequences=1)
    body += tlv(0x0C, bytes([unit, exponent & 255, mantissa])) + lead(0, 1, "<")
    body += tlv(0x1E, np.array([1, -2, 300], "<i2").tobytes())
    blocks = open_mfer(body, DEFAULT_LIMITS)
    assert blocks.units == {name}
    assert_allclose(blocks.read(0, 3), [[millivolts, -2 * millivolts, 300 * millivolts]], rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "fs_hz"),
    [(b"\x01\xfd\x02", 500), (b"\x00\x00\xfa\x00", 250), (b"\x01\xfa\xd0\x07", 500)],
)
def test_sampling_rate(value: bytes, fs_hz: float) -> None:
    body = PREAMBLE + ORDERS["<"] + common("<", block=1, channels=1, sequences=4)
    assert decode(body + tlv(0x0B, value) + lead(0, 1, "<") + tlv(0x1E, bytes(8))).fs_hz == fs_hz


def test_what_is_not_said_is_asked_for() -> None:
    body = PREAMBLE + ORDERS["<"] + lead(0, 1, "<") + tlv(0x1E, b"\1\0" * 50)
    with pytest.raises(MissingParameter) as caught:
        decode(body)
    assert caught.value.extra == {"parameters": ["fs_hz"]}
    decoded = decode(body, Hints(fs_hz=500, units="uV"))
    assert_allclose(decoded.signal_mv, np.full((1, 50), 1e-3), rtol=1e-6)


def frames(*parts: bytes) -> bytes:
    """One lead, 100 Hz by default; a part is a frame's samples or a definition before it."""
    head = PREAMBLE + ORDERS["<"] + common("<", block=1, channels=1, sequences=0)
    return head + tlv(0x06, b"") + lead(0, 1, "<") + b"".join(parts)


def ramp(start: int, stop: int) -> bytes:
    return tlv(0x1E, np.arange(start, stop).astype("<i2").tobytes())


def test_frames_follow_each_other_or_their_pointers() -> None:
    decoded = decode(frames(ramp(0, 50), ramp(50, 80), tlv(0x07, number(100, "<")), ramp(80, 90)))
    steps = decoded.signal_mv[0] / 0.0025
    assert_allclose(steps[:80], np.arange(80), atol=1e-3)
    assert np.isnan(steps[80:100]).all()
    assert_allclose(steps[100:], np.arange(80, 90), atol=1e-3)


def test_a_pointer_that_goes_on_forever() -> None:
    with pytest.raises(PayloadTooLarge):
        decode(frames(ramp(0, 50), tlv(0x07, b"\xff" * 4), ramp(50, 80)))


def test_averaged_beats_are_never_taken_for_the_rhythm() -> None:
    beat, rhythm = tlv(0x08, b"\x09\x00"), tlv(0x08, b"\x01\x00")
    decoded = decode(frames(beat, ramp(900, 950), rhythm, ramp(0, 30)))
    assert_allclose(decoded.signal_mv, [np.arange(30) * 0.0025], rtol=1e-6)
    with pytest.raises(InvalidSignal):
        decode(frames(beat, ramp(900, 950)))


def test_frames_of_other_leads_or_rates() -> None:
    for change in (lead(0, 2, "<"), tlv(0x0B, b"\0\0\x64")):
        with pytest.raises(InvalidFormat, match="different leads or sampling rates"):
            decode(frames(ramp(0, 50), change, ramp(50, 90)))


@pytest.mark.parametrize(
    "attributes",
    [
        tlv(0x0C, b"\x01\xfd\x7d"),  # mmHg
        tlv(0x09, b"\x43\x10"),  # respiration
        tlv(0x08, b"\x28\x00"),  # EEG
        tlv(0x0A, b"\x04"),  # flags
    ],
)
def test_other_channels_are_left_out(attributes: bytes) -> None:
    head = PREAMBLE + ORDERS["<"] + common("<", block=2, channels=2, sequences=2)
    body = head + lead(0, 1, "<", attributes) + lead(1, 2, "<")
    body += tlv(0x1E, np.arange(8).astype("<i2").tobytes())
    decoded = decode(body)
    assert decoded.leads == ("II",)
    assert_allclose(decoded.signal_mv, [np.array([2, 3, 6, 7]) * 0.0025], rtol=1e-6)
    neither = lead(0, 1, "<", attributes) + lead(1, 2, "<", attributes)
    with pytest.raises(InvalidSignal):
        decode(head + neither + tlv(0x1E, bytes(16)))


def test_groups_without_a_length_and_blanks() -> None:
    group = b"\x3f\x00\x80" + tlv(0x09, b"\x02\x00") + b"\0\0"
    body = PREAMBLE + bytes(1000) + ORDERS["<"] + common("<", block=1, channels=1, sequences=2)
    assert decode(body + group + tlv(0x1E, bytes(4))).leads == ("II",)


def test_any_stretch_equals_the_whole(make: Make) -> None:
    gapped = frames(ramp(0, 50), ramp(50, 80), tlv(0x07, number(100, "<")), ramp(80, 90))
    for body in (make(), make(block=1), gapped):
        blocks = open_mfer(memoryview(body), DEFAULT_LIMITS)
        whole = blocks.read(0, blocks.samples)
        for start, stop in ((0, 0), (0, 1), (49, 51), (75, 105), (10, 110)):
            assert_array_equal(blocks.read(start, stop), whole[:, start:stop])


def test_recognised_by_content(make: Make) -> None:
    body = make()
    bare = body.removeprefix(PREAMBLE)
    for content in (body, bare):
        for kind in ("application/x-mfer", ""):
            assert decode(Upload((("", content),), kind)).format == "mfer"
    assert not looks_like_mfer(b"@ MFRX")
    with pytest.raises(InvalidFormat, match="no MFER"):
        decode(Upload((("", b"\0\1\2\3" * 99),), "application/x-mfer"))


def test_cut_at_every_element(make: Make) -> None:
    body = make()
    for length in range(6, body.index(b"\x1e\x84") + 100):
        with pytest.raises(EcgServeError):
            decode(body[:length])
    with pytest.raises(CorruptedData):
        decode(body[:-10])


@pytest.mark.parametrize(
    "damage",
    [
        tlv(0x05, b"\0"),
        tlv(0x05, b"\xff\xff\xff\x7f"),
        tlv(0x05, b"\1" * 9),
        tlv(0x04, b"\xff\xff\xff\x7f"),
        tlv(0x04, b"\0"),
        tlv(0x06, b"\xff\xff\xff\xff"),
        tlv(0x0A, b"\x09"),
        tlv(0x0A, b"\xff"),
        tlv(0x0B, b"\x02\x00\x01"),
        tlv(0x0B, b"\x00\x00\x00"),
        tlv(0x0B, b"\x00\x7f\xff\xff\xff\x7f"),
        tlv(0x0B, b"\x01\x80\x01"),
        tlv(0x0B, b"\x00\x00"),
        tlv(0x0B, b"\0" * 40),
        tlv(0x0C, b"\x00\x00\x00"),
        tlv(0x0C, b"\x00"),
        tlv(0x0E, b"\x01"),
        tlv(0x3F, tlv(0x3F, b"", 0), 0),
        tlv(0x3F, tlv(0x06, b"\x01"), 0),
        b"\x3f\xff\xff\xff\x01",
        b"\x16\x80\0\0",
        b"\x67\x80" + tlv(0x3F, b"", 0)[:1] + b"\x80",
        b"\x16\x89" + b"\xff" * 9,
        b"\x16\x84\xff\xff\xff\xff",
    ],
)
def test_values_that_cannot_be(make: Make, damage: bytes) -> None:
    body = make()
    place = body.rindex(b"\x1e\x84")
    with pytest.raises((CorruptedData, InvalidFormat, InvalidSignal)):
        decode(body[:place] + damage + body[place:])


@pytest.mark.parametrize(
    "filling",
    [
        b"\x16\0" * 2_000_000,
        b"\x3f\0\0" * 2_000_000,
        bytes(8_000_000),
        b"\x05\2\0\1" + (b"\x08\1\x28\x1e\2\0\0\x08\1\x29\x1e\2\0\0") * 50_000,
        (b"\x05\1\xff" + b"\x1e\x84\0\0\1\xfe" + bytes(510)) * 5000,
        (b"\x09\2\1\0\x1e\2\0\0\x09\2\2\0\x1e\2\0\0") * 300_000,
    ],
)
def test_nothing_but_elements(filling: bytes) -> None:
    body = PREAMBLE + ORDERS["<"] + filling
    with pytest.raises((InvalidFormat, InvalidSignal, MissingParameter)):
        decode(body)


def test_limit(make: Make) -> None:
    with pytest.raises(PayloadTooLarge):
        decode(make(), limits=Limits(max_samples=7199))


def test_patient_never_shows(make: Make) -> None:
    body = make()
    assert "Doe" not in repr(decode(body))
    with pytest.raises(CorruptedData) as caught:
        decode(body[:-20])
    assert "Doe" not in repr(caught.value)
