"""HL7 aECG: equal to the same recording in DICOM, and every missing field told."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Limits, decode, decode_path
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidSignal,
    MissingParameter,
    PayloadTooLarge,
)
from serve_app.preprocessing import prepare
from serve_app.recording import STANDARD_LEADS

SCALE_UV = 2.5


def sequence(code: str, value: str) -> str:
    return f'<component><sequence><code code="{code}"/>{value}</sequence></component>'


def time_sequence(step: float = 0.001, unit: str = "s", code: str = "TIME_ABSOLUTE") -> str:
    value = (
        f'<value xsi:type="GLIST_TS"><head value="2002"/><increment value="{step}" unit="{unit}"/>'
    )
    return sequence(code, f"{value}</value>")


def lead_sequence(code: str, digits: np.ndarray, scale: float = SCALE_UV, unit: str = "uV") -> str:
    return sequence(
        code,
        f'<value xsi:type="SLIST_PQ"><origin value="0" unit="{unit}"/>'
        f'<scale value="{scale}" unit="{unit}"/>'
        f"<digits>{' '.join(map(str, digits))}</digits></value>",
    )


def sequence_set(*sequences: str) -> str:
    return f"<component><sequenceSet>{''.join(sequences)}</sequenceSet></component>"


def document(*sets: str, derived: str = "") -> bytes:
    return f"""<?xml version="1.0" encoding="utf-8"?>
<!-- a comment -->
<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<componentOf><name>Zzyzx</name></componentOf>
<component><series><code code="RHYTHM"/>{"".join(sets)}
<derivation><derivedSeries><code code="REPRESENTATIVE_BEAT"/>{derived}</derivedSeries></derivation>
</series></component></AnnotatedECG>""".encode()


@pytest.fixture(scope="session")
def digits(short: np.ndarray) -> np.ndarray:
    return np.rint(short * 1000 / SCALE_UV).astype(int)


@pytest.fixture(scope="session")
def leads(digits: np.ndarray) -> list[str]:
    names = [f"MDC_ECG_LEAD_{name.upper()}" for name in STANDARD_LEADS]
    return [lead_sequence(name, row) for name, row in zip(names, digits, strict=True)]


@pytest.fixture(scope="session")
def whole(leads: list[str]) -> bytes:
    return document(sequence_set(time_sequence(), *leads))


def test_equal_to_the_same_recording_in_dicom(data_dir: Path) -> None:
    decoded = decode_path(data_dir / "formats/aecg/Example.xml")
    other = decode_path(data_dir / "formats/dicom/Example.dcm")
    assert_array_equal(decoded.signal_mv, other.signal_mv)
    assert (decoded.leads, decoded.fs_hz) == (other.leads, other.fs_hz) == (STANDARD_LEADS, 500)
    assert (decoded.format, decoded.units_assumed) == ("aecg", False)


def test_without_waveforms(data_dir: Path) -> None:
    with pytest.raises(InvalidFormat, match="no recorded series"):
        decode_path(data_dir / "formats/aecg/empty.xml")


def test_thirteen_samples_are_read_and_too_few(data_dir: Path) -> None:
    decoded = decode_path(data_dir / "formats/aecg/minimum_aecg.xml")
    assert (decoded.leads, decoded.fs_hz, decoded.signal_mv.shape) == (("II",), 500, (1, 13))
    assert_allclose(decoded.signal_mv[0, :5] * 1000, [-5, -5, -5, -5, -7.5])
    with pytest.raises(InvalidSignal):
        prepare(decoded)


def test_twelve_leads(whole: bytes, digits: np.ndarray) -> None:
    decoded = decode(whole)
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 1000)
    assert_array_equal(decoded.signal_mv, (digits * SCALE_UV / 1000).astype(np.float32))
    assert "Zzyzx" not in repr(vars(decoded))


def test_averaged_beats_are_left_out(leads: list[str], whole: bytes) -> None:
    beats = sequence_set(time_sequence(), *leads)
    both = document(sequence_set(time_sequence(), *leads[:3]), derived=beats)
    assert decode(both).leads == STANDARD_LEADS[:3]
    with pytest.raises(InvalidFormat, match="no recorded series") as caught:
        decode(document(derived=beats))
    assert "averaged beat" in caught.value.hint
    with pytest.raises(InvalidFormat, match="no recorded series"):
        decode(whole.replace(b"RHYTHM", b"REPRESENTATIVE_BEAT"))


def test_of_several_sets_the_fullest(leads: list[str], whole: bytes) -> None:
    strip = sequence_set(time_sequence(), leads[1])
    several = document(strip, sequence_set(time_sequence(), *leads), strip)
    assert_array_equal(decode(several).signal_mv, decode(whole).signal_mv)


@pytest.mark.parametrize(
    ("step", "unit", "fs_hz"), [(0.002, "s", 500), (2, "ms", 500), (1e4, "us", 100)]
)
def test_time(leads: list[str], step: float, unit: str, fs_hz: float) -> None:
    for code in ("TIME_ABSOLUTE", "TIME_RELATIVE"):
        time = time_sequence(step, unit, code)
        assert decode(document(sequence_set(time, *leads))).fs_hz == pytest.approx(fs_hz)


def test_time_that_is_not_said(leads: list[str]) -> None:
    with pytest.raises(MissingParameter, match="fs_hz"):
        decode(document(sequence_set(*leads)))


@pytest.mark.parametrize(
    ("unit", "scale"), [("uV", 2.5), ("mV", 0.0025), ("nV", 2500), ("V", 2.5e-6)]
)
def test_units(digits: np.ndarray, unit: str, scale: float) -> None:
    lead = lead_sequence("MDC_ECG_LEAD_V3R", digits[0], scale, unit)
    decoded = decode(document(sequence_set(time_sequence(), lead)))
    assert decoded.leads == ("V3R",)
    assert_allclose(decoded.signal_mv[0], digits[0] * SCALE_UV / 1000, rtol=1e-6)


def test_origin_in_a_unit_of_its_own(whole: bytes, digits: np.ndarray) -> None:
    moved = whole.replace(b'<origin value="0" unit="uV"/>', b'<origin value="1.5" unit="mV"/>')
    assert_allclose(decode(moved).signal_mv, digits * SCALE_UV / 1000 + 1.5, rtol=1e-6)


def test_what_is_no_voltage_is_left_out(leads: list[str], digits: np.ndarray) -> None:
    pressure = lead_sequence("MDC_PRESS_BLD", digits[0], 1, "mm[Hg]")
    assert decode(document(sequence_set(time_sequence(), leads[1], pressure))).leads == ("II",)
    with pytest.raises(InvalidSignal, match="in volts"):
        decode(document(sequence_set(time_sequence(), pressure)))


@pytest.mark.parametrize(
    ("pattern", "values"),
    [
        (b'<increment value="[^"]*"', [b"<increment", b'<increment value="0"',
                                       b'<increment value="-1"', b'<increment value="x"']),
        (b'unit="s"', [b"", b'unit="Hz"', b'unit="S"']),
        (b"<increment[^>]*>", [b""]),
        (b'<scale value="[^"]*"', [b"<scale", b'<scale value="x"', b'<scale value="0"',
                                   b'<scale value="1e999"']),
        (b"<origin[^>]*>", [b"", b'<origin value="0"/>', b'<origin unit="uV"/>',
                            b'<origin value="0" unit="s"/>']),
        (b"<digits>[^ ]*", [b"<digits>Zzyzx", b"<digits>1-2", b"<digits>1.2.3", b"<digits>nan",
                            b"<digits>1 2", b"<digits>", b"<digits>0x1", b"<digits>1_0",
                            "<digits>\u0661".encode()]),
    ],
)  # fmt: skip
def test_a_wrong_field(whole: bytes, pattern: bytes, values: list[bytes]) -> None:
    for value in values:
        with pytest.raises((InvalidFormat, CorruptedData)) as caught:
            decode(re.sub(pattern, lambda _, v=value: v, whole, count=1))
        assert "Zzyzx" not in f"{caught.value} {caught.value.hint}"


def test_a_lead_twice(leads: list[str]) -> None:
    with pytest.raises(InvalidSignal, match="more than once"):
        decode(document(sequence_set(time_sequence(), *leads[:2], leads[0])))


def test_cut_anywhere(whole: bytes) -> None:
    for length in range(0, len(whole) - 15, 211):
        with pytest.raises(EcgServeError):
            decode(whole[:length])


def test_lost_in_the_middle(whole: bytes) -> None:
    start = whole.index(b"<digits>")
    for place in range(start, len(whole) - 3000, 701):
        with pytest.raises(EcgServeError):
            decode(whole[:place] + whole[place + 2000 :])


def test_limits(whole: bytes) -> None:
    for limits in (Limits(max_samples=500), Limits(max_samples=7000), Limits(max_text_bytes=1000)):
        with pytest.raises(PayloadTooLarge):
            decode(whole, limits=limits)
