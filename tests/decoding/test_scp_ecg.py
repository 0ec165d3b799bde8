"""SCP-ECG: the recording that other formats hold, too, and every encoding there and back."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.decoding.scp_bimodal import stored_places
from serve_app.errors import (
    CorruptedData,
    InvalidFormat,
    InvalidParameter,
    InvalidSignal,
    MissingParameter,
    PayloadTooLarge,
)
from serve_app.recording import STANDARD_LEADS
from tests.decoding.scp_writer import (
    DEFAULT_TABLE,
    SWITCHED_TABLES,
    Beats,
    data_section,
    decimate,
    huffman_section,
    lead_section,
    qrs_section,
    record,
    restore,
    subtract,
)

STORED = (1, 2, *range(3, 9))
STORED_LEADS = ("I", "II", *STANDARD_LEADS[6:])
# Both as they are stored, and as they are coded with.
CODINGS = {"plain": None, "default": [DEFAULT_TABLE], "switched": SWITCHED_TABLES}


@pytest.fixture(scope="module")
def signal(recording) -> np.ndarray:
    """(8, 1500) integers of 2.5 uV at 500 Hz: three real beats."""
    rows = [recording.leads.index(lead) for lead in STORED_LEADS]
    return np.rint(recording.signal_mv[rows, 0:3000:2] / 0.0025).astype(int)


@pytest.fixture(scope="module")
def beats(signal: np.ndarray) -> Beats:
    """A reference beat of 300 samples, and the three places where it is found."""
    samples = np.rint(signal[:, 161:461] * 0.9).astype(int)
    zones = [(165, 262, 440), (665, 762, 940), (1154, 1251, 1430)]
    protected = [(229, 296), (729, 796), (1217, 1284)]
    return Beats(samples, 101, zones, protected)


def whole(count: int) -> list[tuple[int, int, int]]:
    return [(number, 1, count) for number in STORED]


def tables_section(coding: str) -> dict[int, bytes]:
    if coding == "plain":
        return {}
    return {2: huffman_section(None if coding == "default" else SWITCHED_TABLES)}


def with_beats(beats: Beats, reference: bytes, rhythm: bytes, coding: str = "plain") -> bytes:
    leads = lead_section(whole(1500), subtracted=True)
    bodies = {3: leads, 4: qrs_section(beats, 2000), 5: reference, 6: rhythm}
    return record(tables_section(coding) | bodies)


def stored_rows(decoded) -> np.ndarray:
    """The eight leads that were written, in the order of writing."""
    return decoded.signal_mv[[decoded.leads.index(lead) for lead in STORED_LEADS]]


def assert_holds(decoded, signal: np.ndarray) -> None:
    """What was written, and the leads that follow from it."""
    assert_array_equal(stored_rows(decoded), (signal * 2500 / 1e6).astype(np.float32))
    assert (decoded.leads, decoded.fs_hz, decoded.format) == (STANDARD_LEADS, 500, "scp")
    one, two, three = decoded.signal_mv[:3].astype(np.float64)
    assert_allclose(three, two - one, atol=1e-6)


def test_equals_the_same_recording_in_dicom(data_dir: Path) -> None:
    scp = decode_path(data_dir / "formats/scp/Example.scp")
    dicom = decode_path(data_dir / "formats/dicom/Example.dcm")
    assert_array_equal(scp.signal_mv, dicom.signal_mv)
    assert (scp.leads, scp.fs_hz) == (dicom.leads, dicom.fs_hz)
    assert not scp.units_assumed


def test_plain_samples_of_eight_leads_counted_from_zero(data_dir: Path) -> None:
    content = (data_dir / "formats/scp/demo_8lead_1000hz.scp").read_bytes()
    decoded = decode(Upload((("", content),), "application/x-scp-ecg"))
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 1000)
    samples = np.frombuffer(content[-160_000:], "<i2").reshape(8, 10_000).astype(int)
    assert_array_equal(stored_rows(decoded), (samples * 183 / 1e6).astype(np.float32))


def test_first_differences_at_an_odd_rate(data_dir: Path) -> None:
    decoded = decode_path(data_dir / "formats/scp/welchallyn_ANON000009.scp")
    assert (decoded.leads, decoded.signal_mv.shape) == (STANDARD_LEADS, (12, 6000))
    assert decoded.fs_hz == pytest.approx(1e6 / 1667)
    # Of each stored lead, as libbiosig 2.5 decodes it: the sum over its samples, in steps.
    steps = np.rint(stored_rows(decoded) / 0.00375)
    assert steps.sum(axis=1).tolist() == [9138, -24757, 8452, 23290, -7516, -3715, -3247, -2770]
    assert np.abs(steps).sum() == 1222359
    assert steps[0, :4].tolist() == [-12, -14, -16, -18]


def test_patient_is_not_read(data_dir: Path) -> None:
    content = (data_dir / "formats/scp/Example.scp").read_bytes()
    assert b"Clark" in content
    assert "Clark" not in repr(decode(content))
    # Nor does it matter what was written over the name, CRC or not.
    changed = decode(content.replace(b"Clark", b"XXXXX"))
    assert_array_equal(changed.signal_mv, decode(content).signal_mv)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("coding", CODINGS)
def test_encodings_there_and_back(signal: np.ndarray, coding: str, order: int) -> None:
    rhythm = data_section(signal, order=order, tables=CODINGS[coding])
    written = record(tables_section(coding) | {3: lead_section(whole(1500)), 6: rhythm})
    assert_holds(decode(written), signal)


@pytest.mark.parametrize("order", [1, 2])
def test_differences_that_wrap_around(order: int) -> None:
    swings = np.tile([32767, -32768, 0, -5], (8, 30))
    rhythm = data_section(swings, order=order, tables=[DEFAULT_TABLE])
    written = record({2: huffman_section(None), 3: lead_section(whole(120)), 6: rhythm})
    assert_holds(decode(written), swings)


@pytest.mark.parametrize("coding", CODINGS)
def test_subtracted_beats_are_added_back(signal: np.ndarray, beats: Beats, coding: str) -> None:
    tables = CODINGS[coding]
    reference = data_section(beats.samples, order=1, tables=tables)
    rhythm = data_section(subtract(signal, beats), order=2, tables=tables)
    assert_holds(decode(with_beats(beats, reference, rhythm, coding)), signal)


def test_beats_of_another_kind_and_another_scale(signal: np.ndarray, beats: Beats) -> None:
    other = dataclasses.replace(beats, others=[(700, 750, 800)])
    doubled = dataclasses.replace(beats, samples=beats.samples * 2)
    reference = data_section(beats.samples, step_nv=5000)
    rhythm = data_section(subtract(signal, doubled))
    assert_holds(decode(with_beats(other, reference, rhythm)), signal)


def test_zones_that_reach_over_the_ends(signal: np.ndarray, beats: Beats) -> None:
    """A writer subtracts as much of the beat as lies within the lead."""
    within = dataclasses.replace(beats, zones=[(1, 40, 100), (1400, 1490, 1500)])
    said = dataclasses.replace(beats, zones=[(1, 40, 100), (1400, 1490, 1600)])
    rhythm = data_section(subtract(signal, within))
    assert_holds(decode(with_beats(said, data_section(beats.samples), rhythm)), signal)


def test_places_between_beats() -> None:
    """Of four originals each, two before the first middle and two after the last repeat it."""
    none = np.empty((0, 2), np.int64)
    middles = [0, 0, 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2]
    assert stored_places(0, 12, 4, none).tolist() == middles
    # Two left over, a beat of three, and a stretch too short to be decimated.
    places = stored_places(100, 117, 4, np.array([[110, 113]]))
    assert places.tolist() == [*(0, 0, 0, 0.25, 0.5, 0.75, 1, 1), *(2, 3, 4, 5, 6, 7, 7, 7, 7)]


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("coding", ["plain", "default"])
def test_bimodal_compression(signal: np.ndarray, beats: Beats, coding: str, factor: int) -> None:
    residual = subtract(signal, beats)
    stored = [decimate(row, factor, beats.protected) for row in residual]
    tables = CODINGS[coding]
    reference = data_section(beats.samples, tables=tables)
    rhythm = data_section(stored, interval_us=2000 * factor, order=2, tables=tables, bimodal=True)
    decoded = decode(with_beats(beats, reference, rhythm, coding))
    restored = np.array([restore(row, 1500, factor, beats.protected) for row in stored])
    expected = restored + signal - residual
    assert_allclose(stored_rows(decoded), expected * 2500 / 1e6, atol=1e-6)
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 500)
    for first, last in beats.protected:
        exact = (signal[:, first - 1 : last] * 2500 / 1e6).astype(np.float32)
        assert_array_equal(stored_rows(decoded)[:, first - 1 : last], exact)
    # What is lost between beats is noise: 10 uV, where the beats reach over 1 mV.
    assert np.sqrt(np.mean((stored_rows(decoded) - signal * 0.0025) ** 2)) < 0.01


@pytest.mark.parametrize(
    "protected", [[], [(1, 40)], [(1461, 1500)], [(1, 1500)], [(9, 12), (13, 99)]]
)
def test_protected_zones_anywhere(
    signal: np.ndarray, beats: Beats, protected: list[tuple[int, int]]
) -> None:
    placed = dataclasses.replace(beats, zones=[(1, 2, 3)] * len(protected), protected=protected)
    stored = [decimate(row, 4, protected) for row in signal]
    written = record(
        {
            3: lead_section(whole(1500)),
            4: qrs_section(placed, 2000),
            5: data_section(beats.samples),
            6: data_section(stored, interval_us=8000, bimodal=True),
        }
    )
    expected = np.array([restore(row, 1500, 4, protected) for row in stored])
    assert_allclose(stored_rows(decode(written)), expected * 2500 / 1e6, atol=1e-6)


def test_leads_recorded_one_after_the_other(signal: np.ndarray) -> None:
    """Three leads at a time, lead II again at the end."""
    leads = [(1, 1, 500), (2, 1, 500), (3, 501, 1000), (4, 501, 1000), (2, 1001, 1500)]
    rows = [signal[0, :500], signal[1, :500], signal[2, 500:1000], signal[3, 500:1000]]
    decoded = decode(
        record({3: lead_section(leads), 6: data_section([*rows, signal[1, 1000:1500]])})
    )
    assert decoded.leads == ("I", "II", "V1", "V2")
    present = ~np.isnan(decoded.signal_mv)
    assert present.sum(axis=1).tolist() == [500, 1000, 500, 500]
    mv = (signal * 2500 / 1e6).astype(np.float32)
    assert_array_equal(decoded.signal_mv[1, 1000:], mv[1, 1000:1500])
    assert_array_equal(decoded.signal_mv[3, 500:1000], mv[3, 500:1000])


def test_limb_leads_recorded_together_give_the_others(signal: np.ndarray) -> None:
    leads = [(1, 1, 500), (2, 1, 500), (3, 501, 1000)]
    rows = [signal[0, :500], signal[1, :500], signal[2, 500:1000]]
    decoded = decode(record({3: lead_section(leads), 6: data_section(rows)}))
    assert decoded.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1")
    assert np.isnan(decoded.signal_mv[2, 500:]).all()


def test_names_of_leads(signal: np.ndarray) -> None:
    def named(*numbers: int) -> tuple[str, ...]:
        leads = lead_section((number, 1, 1500) for number in numbers)
        return decode(record({3: leads, 6: data_section(signal[: len(numbers)])})).leads

    assert named(62, 12, 67, 86) == ("aVR", "V4R", "V9", "SCP 86")
    assert named(5, 0) == ("V3", "lead 2")
    # Calibration pulses are no leads.
    assert named(33, 5, 80) == ("V3",)
    with pytest.raises(InvalidSignal, match="calibration"):
        named(31)
    with pytest.raises(MissingParameter):
        named(0, 0)


def test_without_rhythm(beats: Beats) -> None:
    written = {3: lead_section(whole(250)), 5: data_section(beats.samples)}
    with pytest.raises(InvalidSignal, match="no rhythm"):
        decode(record(written))
    with pytest.raises(InvalidSignal, match="no leads"):
        decode(record(written | {3: lead_section([])}))


def test_what_is_said_twice_must_agree(signal: np.ndarray) -> None:
    written = record({3: lead_section(whole(1500)), 6: data_section(signal)})
    assert decode(written, Hints(fs_hz=500)).fs_hz == 500
    for hints in (Hints(fs_hz=250), Hints(units="mV"), Hints(leads=("I",))):
        with pytest.raises(InvalidParameter):
            decode(written, hints)
    with pytest.raises(InvalidFormat, match="looks like SCP-ECG"):
        decode(Upload((("x.dcm", written),), "application/dicom"))
    with pytest.raises(PayloadTooLarge):
        decode(written, limits=Limits(max_samples=10_000))


def test_healforce_says_no_leads(data_dir: Path) -> None:
    path = data_dir / "formats/scp/healforce_62.scp"
    with pytest.raises(MissingParameter, match="leads"):
        decode_path(path)
    decoded = decode_path(path, Hints(leads=("I", "II", "III")))
    assert (decoded.signal_mv.shape, decoded.fs_hz) == ((3, 4500), 150)
    # Three leads by Einthoven's law: the bits were put together as the recorder took them apart.
    one, two, three = decoded.signal_mv - decoded.signal_mv.mean(axis=1, keepdims=True)
    assert np.std(two - one - three) < 0.15 * np.std(two)


def test_healforce_damaged(data_dir: Path) -> None:
    content = (data_dir / "formats/scp/healforce_62.scp").read_bytes()
    leads = Hints(leads=("I", "II", "III"))
    for cut in (60, 200, 400, 20_000, 27_511):
        with pytest.raises(CorruptedData, match="cut short"):
            decode(content[:cut], leads)
    for place in (178 + 16, 488 + 18, 488 + 9000):
        damaged = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        with pytest.raises(CorruptedData, match="checksum"):
            decode(damaged, leads)
