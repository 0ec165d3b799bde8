"""SCP-ECG and Contec files that lie: an EcgServeError or a recording, at once and in bounds."""

import dataclasses
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.decoding import Hints, Limits, Upload, decode
from serve_app.errors import CorruptedData, EcgServeError, InvalidFormat, PayloadTooLarge
from tests.decoding.scp_writer import (
    SWITCHED_TABLES,
    Beats,
    data_section,
    decimate,
    huffman_section,
    lead_section,
    qrs_section,
    record,
)

SMALL = Limits(max_unpacked_bytes=1 << 22, max_samples=1 << 20)
NO_HINTS, LEADS = Hints(), Hints(leads=("I", "II", "III"))
PROTECTED = [(20, 29), (50, 61)]
BEATS = Beats(np.arange(40).reshape(2, 20), 11, [(15, 25, 34), (45, 55, 64)], PROTECTED)
SIGNAL = np.rint(300 * np.sin(np.arange(160).reshape(2, 80) / 9)).astype(int)


def body(crc: bool = False, **replaced: bytes) -> bytes:
    """A record in which everything is used; without CRCs, lies are not told by them."""
    bodies = {
        "s1": b"\0\5\0Clark\xff\0\0",
        "s2": huffman_section(SWITCHED_TABLES),
        "s3": lead_section([(1, 1, 80), (2, 1, 80)], subtracted=True),
        "s4": qrs_section(BEATS, 2000),
        "s5": data_section(BEATS.samples, order=1, tables=SWITCHED_TABLES),
        "s6": data_section(
            [decimate(row, 4, PROTECTED) for row in SIGNAL],
            interval_us=8000,
            order=2,
            tables=SWITCHED_TABLES,
            bimodal=True,
        ),
    }
    return record({int(name[1:]): content for name, content in (bodies | replaced).items()}, crc)


def outcome(content: bytes) -> EcgServeError | None:
    """What went wrong, if it did."""
    error = refusal(Upload((("", content),), "application/x-scp-ecg"), NO_HINTS)
    assert error is None or error.status in {400, 413}
    assert "Clark" not in repr(error)
    return error


def refusal(upload: Upload, hints: Hints) -> EcgServeError | None:
    try:
        decoded = decode(upload, hints, SMALL)
    except EcgServeError as error:
        return error
    assert decoded.signal_mv.shape[0] == len(decoded.leads)
    return None


@pytest.fixture(scope="module")
def samples(data_dir: Path) -> dict[str, bytes]:
    paths = [*(data_dir / "formats/scp").glob("*.scp"), data_dir / "formats/contec/0000050.ECG"]
    return {path.name: path.read_bytes() for path in paths}


def test_the_record_itself_is_read() -> None:
    assert outcome(body()) is None
    assert outcome(body(crc=True)) is None


def test_cut_at_every_octet() -> None:
    content = body(crc=True)
    for length in range(len(content)):
        assert isinstance(outcome(content[:length]), InvalidFormat | CorruptedData)


def test_cut_with_a_length_that_agrees() -> None:
    content = body(crc=True)
    for length in range(32, len(content)):
        cut = content[:2] + struct.pack("<I", length) + content[6:length]
        error = outcome(cut)
        assert isinstance(error, InvalidFormat | CorruptedData), length


def test_every_damaged_octet_of_what_is_read_is_told() -> None:
    content = body(crc=True)
    first = struct.unpack_from("<I", content, 22 + 10 * 2 + 6)[0] - 1
    for place in range(first, len(content)):
        damaged = content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]
        assert isinstance(outcome(damaged), CorruptedData), place


@pytest.mark.parametrize("value", [b"\0", b"\xff", b"\xff\xff", b"\0\0", b"\xff" * 4, b"\0\0\1\0"])
def test_every_field_overwritten(value: bytes) -> None:
    content = body()
    started = time.perf_counter()
    for place in range(2, len(content) - len(value)):
        outcome(content[:place] + value + content[place + len(value) :])
    assert time.perf_counter() - started < 20


@settings(max_examples=400, deadline=2000, derandomize=True)
@given(
    edits=st.lists(st.tuples(st.integers(6, 800), st.binary(min_size=1, max_size=5)), max_size=6)
)
def test_mutations(edits: list[tuple[int, bytes]]) -> None:
    content = body()
    for place, value in edits:
        content = content[:place] + value + content[place + len(value) :]
    outcome(content)


@settings(max_examples=60, deadline=2000, derandomize=True)
@given(where=st.floats(0, 1), cut=st.integers(0, 40), value=st.binary(max_size=8))
def test_mutations_of_real_files(
    samples: dict[str, bytes], where: float, cut: int, value: bytes
) -> None:
    for content in samples.values():
        place = int(where**3 * len(content))
        edited = content[:place] + value + content[place + cut :]
        error = refusal(Upload((("", edited),)), LEADS)
        assert error is None or error.status in {400, 413}


HUGE, FAR = 0xFFFFFFFF, 0x7FFFFFFF
ENCODED = data_section(SIGNAL, tables=SWITCHED_TABLES)
OVERLAPPING = dataclasses.replace(BEATS, zones=[(1, 11, 20)] * 3000, protected=[(1, 2)] * 3000)
ZEROS = struct.pack("<HHBB2H", 1, 2000, 0, 0, 65_535, 65_535) + bytes(131_070)
TURNING = [[("0", 0, 0, 2), ("1", 0, 0, 2)], [("0", 0, 0, 1), ("1", 0, 1, 0)]]
LIES = {
    "leads of any length": {"s3": lead_section([(1, 1, HUGE), (2, 1, HUGE)])},
    "leads far apart": {"s3": lead_section([(1, 1, 80), (2, FAR, FAR + 79)])},
    "a lead that ends first": {"s3": lead_section([(1, 80, 1), (2, 1, 80)])},
    "leads without samples": {"s3": lead_section([(n, 1, 80) for n in range(255)])},
    "leads that are not there": {"s3": b"\xff\1"},
    "no section 3": {"s3": b""},
    "beats that are not there": {"s4": qrs_section(BEATS, 2000)[:4] + b"\xff\xff"},
    "no section 4": {"s4": b""},
    "beats that overlap": {"s4": qrs_section(OVERLAPPING, 2000)},
    "no protected zones": {"s4": qrs_section(dataclasses.replace(BEATS, protected=[]), 2000)},
    "a beat of no time": {"s4": bytes(2) + qrs_section(BEATS, 2000)[2:]},
    "a beat of a minute": {"s4": struct.pack("<3H", 0xFFFF, 1, 0)},
    "no scale": {"s6": struct.pack("<HH", 0, 2000) + ENCODED[4:]},
    "no rate": {"s6": struct.pack("<HH", 2500, 0) + ENCODED[4:]},
    "third differences": {"s6": struct.pack("<HHB", 2500, 2000, 3) + ENCODED[5:]},
    "one sample in thirty": {"s6": struct.pack("<HH", 2500, 60_000) + ENCODED[4:]},
    "one sample in one and a half": {"s6": struct.pack("<HH", 2500, 3000) + ENCODED[4:]},
    "a beat at a megahertz": {"s5": struct.pack("<HH", 2500, 1) + ENCODED[4:]},
    "more samples than there are": {"s6": ENCODED[:6] + b"\xff" * 4 + ENCODED[10:]},
    "no section 6": {"s6": b""},
    "a table that only switches to itself": {
        "s2": huffman_section([[("0", 0, 0, 1), ("1", 0, 0, 1)]])
    },
    "tables that switch to and fro": {
        "s2": huffman_section(TURNING),
        "s3": lead_section([(1, 1, 500_000), (2, 1, 500_000)]),
        "s6": ZEROS,
    },
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_cost_nothing(lie: str) -> None:
    content = body(**LIES[lie])
    started = time.perf_counter()
    assert isinstance(outcome(content), EcgServeError)
    assert time.perf_counter() - started < 2
    tracemalloc.start()
    outcome(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_pointers_that_lead_elsewhere() -> None:
    content = body(crc=True)
    for number in range(1, 12):
        entry = 22 + 10 * number
        for index in (0, 1, 7, 23, len(content), 0xFFFFFFFF):
            redirected = content[: entry + 6] + struct.pack("<I", index) + content[entry + 10 :]
            error = outcome(redirected)
            assert (number in range(2, 7)) == isinstance(error, CorruptedData)


def test_sections_without_end() -> None:
    length = 16 + 10 * 100_000
    pointers = struct.pack("<HII", 0, length, 7) + struct.pack("<HII", 6, 30, 7) * 99_999
    content = struct.pack("<HIHHI8x", 0, 6 + length, 0, 0, length) + pointers
    assert isinstance(outcome(content), InvalidFormat)


def test_limits_hold_before_samples_are_made() -> None:
    with pytest.raises(PayloadTooLarge):
        decode(body(), limits=Limits(max_samples=100))


def test_other_bytes_are_not_taken_for_it() -> None:
    for content in (
        bytes(5000),
        b"\xff" * 5000,
        b"SCPECG" * 900,
        bytes(16) + b"SCPECG" + bytes(99),
    ):
        with pytest.raises(EcgServeError, match=r"recognises|does not"):
            decode(content, Hints(fs_hz=500))
    rng = np.random.default_rng(3)
    for _ in range(300):
        with pytest.raises(EcgServeError) as caught:
            decode(b"\1\2\3\4\0\0\0\0" + rng.bytes(200), Hints(fs_hz=500))
        assert "SCP" not in str(caught.value)
