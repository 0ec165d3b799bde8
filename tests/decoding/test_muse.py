"""GE MUSE: the rhythm of real exports, twelve leads of eight, and no damage half-read."""

import base64
import re
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, decode, decode_path
from serve_app.decoding.derived_leads import derive_limb_leads
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidParameter,
    InvalidSignal,
    PayloadTooLarge,
)
from serve_app.preprocessing import prepare
from serve_app.recording import STANDARD_LEADS

STORED = ("I", "II", *STANDARD_LEADS[6:])
UV_PER_BIT = 4.88
FILES = [
    "braveheart_example1",
    "braveheart_example2",
    "easyrecg_muse_ecg1",
    "introecg_muse_example",
]


def lead_data(name: str, values: np.ndarray) -> str:
    content = values.astype("<i2").tobytes()
    return f"""<LeadData><LeadByteCountTotal>{len(content)}</LeadByteCountTotal>
<LeadTimeOffset>0</LeadTimeOffset><LeadSampleCountTotal>{values.size}</LeadSampleCountTotal>
<LeadAmplitudeUnitsPerBit>{UV_PER_BIT}</LeadAmplitudeUnitsPerBit>
<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{name}</LeadID>
<LeadSampleSize>2</LeadSampleSize><LeadDataCRC32>{zlib.crc32(content)}</LeadDataCRC32>
<WaveFormData>\n{base64.encodebytes(content).decode()}</WaveFormData></LeadData>"""


def waveform(kind: str, stored: np.ndarray, leads: tuple[str, ...] = STORED) -> str:
    rows = "".join(lead_data(name, row) for name, row in zip(leads, stored, strict=True))
    return f"""<Waveform><WaveformType>{kind}</WaveformType>
<NumberofLeads>{len(leads)}</NumberofLeads><SampleType>CONTINUOUS_SAMPLES</SampleType><SampleBase>500</SampleBase>
<SampleExponent>0</SampleExponent>{rows}</Waveform>"""


def document(*waveforms: str, statement: str = "Sinus rhythm") -> bytes:
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE RestingECG SYSTEM "restecg.dtd">
<RestingECG><PatientDemographics><PatientLastName>Zzyzx</PatientLastName></PatientDemographics>
<Diagnosis><DiagnosisStatement><StmtText>{statement}</StmtText></DiagnosisStatement></Diagnosis>
{"".join(waveforms)}</RestingECG>
""".encode("latin-1")


@pytest.fixture(scope="session")
def stored(short: np.ndarray) -> np.ndarray:
    """(8, 600) of a real recording in steps of 4.88 uV."""
    rows = [STANDARD_LEADS.index(name) for name in STORED]
    return np.rint(short[rows] * 1000 / UV_PER_BIT).astype(np.int16)


@pytest.fixture(scope="session")
def export(stored: np.ndarray) -> bytes:
    return document(waveform("Median", stored[:, :300] // 2), waveform("Rhythm", stored))


def read_plainly(path: Path) -> np.ndarray:
    """(8, samples) microvolts, by the standard library alone."""
    text = path.read_text("latin-1")
    root = ET.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", text).encode("latin-1"))
    rhythm = next(w for w in root.iter("Waveform") if w.findtext("WaveformType") == "Rhythm")
    return np.stack(
        [
            np.frombuffer(base64.b64decode(lead.findtext("WaveFormData")), "<i2")
            * float(lead.findtext("LeadAmplitudeUnitsPerBit"))
            for lead in rhythm.iter("LeadData")
        ]
    )


@pytest.mark.parametrize("name", FILES)
def test_real_exports(data_dir: Path, name: str) -> None:
    path = data_dir / f"formats/muse/{name}.xml"
    decoded = decode_path(path)
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 500)
    assert (decoded.format, decoded.units_assumed) == ("muse", False)
    rows = [STANDARD_LEADS.index(lead) for lead in STORED]
    assert_array_equal(decoded.signal_mv[rows], (read_plainly(path) / 1000).astype(np.float32))
    assert len(prepare(decoded).segments) == 2


@pytest.mark.parametrize("name", FILES)
def test_limb_leads_follow_from_two(data_dir: Path, name: str) -> None:
    mv = dict(
        zip(
            STANDARD_LEADS,
            decode_path(data_dir / f"formats/muse/{name}.xml").signal_mv,
            strict=True,
        )
    )
    one, two = mv["I"].astype(float), mv["II"].astype(float)
    for lead, expected in {
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": one - two / 2,
        "aVF": two - one / 2,
    }.items():
        assert_allclose(mv[lead], expected, atol=1e-6)


def test_rhythm_wherever_it_stands(export: bytes, stored: np.ndarray) -> None:
    turned = document(waveform("Rhythm", stored), waveform("Median", stored[:, :300]))
    assert_array_equal(decode(turned).signal_mv, decode(export).signal_mv)
    with pytest.raises(InvalidFormat, match="no rhythm"):
        decode(document(waveform("Median", stored)))
    with pytest.raises(InvalidFormat, match="no rhythm"):
        decode(document())


def test_leads_that_are_stored_are_kept(stored: np.ndarray) -> None:
    leads = ("I", "II", "III", "V1")
    decoded = decode(document(waveform("Rhythm", stored[:4], leads)))
    assert decoded.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1")
    assert_allclose(decoded.signal_mv[2], stored[2] * UV_PER_BIT / 1000, rtol=1e-6)
    alone = decode(document(waveform("Rhythm", stored[:2], ("II", "V5"))))
    assert alone.leads == ("II", "V5")


def test_derived_leads_keep_what_came() -> None:
    signal = np.array([[1.0, 2.0], [4.0, 8.0], [0.0, 0.0]])
    extended, leads = derive_limb_leads(signal, ("II", "I", "aVF"))
    assert leads == ("II", "I", "aVF", "III", "aVR", "aVL")
    assert_array_equal(extended[:3], signal)
    assert_array_equal(extended[3:], [[-3, -6], [-2.5, -5], [3.5, 7]])
    assert derive_limb_leads(signal, ("II", "V1", "V2"))[1] == ("II", "V1", "V2")


@pytest.mark.parametrize(
    "statement",
    [
        "Rule out M & D",
        "T&nbsp;wave",
        "QTc <450 ms",
        "a < b > c",
        "M\u00e9dian \u00b5V",
        "&&&",
        "1&#8;2",
    ],
)
def test_what_writers_leave_unescaped(stored: np.ndarray, export: bytes, statement: str) -> None:
    sloppy = document(waveform("Rhythm", stored), statement=statement)
    assert_array_equal(decode(sloppy).signal_mv, decode(export).signal_mv)


def test_units_and_rate(export: bytes) -> None:
    expected = decode(export).signal_mv
    in_mv = export.replace(b"MICROVOLTS", b"MILLIVOLTS").replace(b"4.88", b"0.00488")
    assert_allclose(decode(in_mv).signal_mv, expected, rtol=1e-6)
    faster = export.replace(b"SampleBase>500", b"SampleBase>25").replace(
        b"SampleExponent>0", b"SampleExponent>1"
    )
    assert decode(faster).fs_hz == 250
    with pytest.raises(InvalidParameter):
        decode(export, Hints(fs_hz=250))


WRONG = {
    "NumberofLeads": ["9", "0", "-8", "x", "999999999", "1e400"],
    "SampleBase": ["", "0", "-500", "NaN", "500 Hz", "1" * 60],
    "SampleExponent": ["9", "400", "x"],
    "SampleType": ["COMPRESSED"],
    "LeadSampleCountTotal": ["", "599", "601", "-600", "1e3", "99999999999999999999", "0"],
    "LeadByteCountTotal": ["1199", "0", "x"],
    "LeadID": ["", " "],
    "LeadAmplitudeUnitsPerBit": ["", "0", "-4.88", "inf", "4,88"],
    "LeadAmplitudeUnits": ["", "MMHG", "\u00b0"],
    "LeadSampleSize": ["1", "4"],
    "LeadDataCRC32": ["1", "-1", "x"],
    "LeadTimeOffset": ["250"],
    "WaveFormData": ["", "AAAA", "!!!!", "AAA", "A" * 1601, "\u00e4", "<x/>"],
    "WaveformType": ["", "Medium"],
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_field(stored: np.ndarray, field: str) -> None:
    text = document(waveform("Rhythm", stored)).decode("latin-1")
    for value in WRONG[field]:
        changed = re.sub(f"<{field}>[^<]*<", lambda _, v=value: f"<{field}>{v}<", text, count=1)
        with pytest.raises((InvalidFormat, CorruptedData, PayloadTooLarge)) as caught:
            decode(changed.encode("latin-1"))
        assert "Zzyzx" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("field", WRONG)
def test_cut_within_each_field(export: bytes, field: str) -> None:
    for match in re.finditer(f"<{field}>".encode(), export):
        with pytest.raises(CorruptedData, match="cut short"):
            decode(export[: match.end() + 1])


def test_cut_anywhere(export: bytes) -> None:
    for length in range(0, len(export) - 3, 97):
        with pytest.raises(EcgServeError):
            decode(export[:length])


def test_lost_in_the_middle(export: bytes) -> None:
    """Its end is there, and mending would close what is open: counts tell."""
    start = export.index(b"Rhythm")
    for place in range(start, len(export) - 3000, 331):
        with pytest.raises(EcgServeError):
            decode(export[:place] + export[place + 2000 :])


def test_one_character_of_the_samples_changed(export: bytes) -> None:
    place = export.rindex(b"</WaveFormData>") - 200
    other = b"A" if export[place : place + 1] != b"A" else b"B"
    with pytest.raises(CorruptedData, match="checksum"):
        decode(export[:place] + other + export[place + 1 :])


def test_a_lead_twice(stored: np.ndarray) -> None:
    with pytest.raises(InvalidSignal, match="more than once"):
        decode(document(waveform("Rhythm", stored[:3], ("I", "II", "I"))))


def test_leads_of_unequal_length(stored: np.ndarray) -> None:
    rows = lead_data("I", stored[0]) + lead_data("II", stored[1, :-1])
    text = re.sub("<LeadData>.*</LeadData>", rows, waveform("Rhythm", stored), flags=re.DOTALL)
    with pytest.raises(CorruptedData, match="differ in length"):
        decode(document(text.replace("NumberofLeads>8", "NumberofLeads>2")))


def test_limits(export: bytes) -> None:
    for limits in (Limits(max_samples=500), Limits(max_text_bytes=1000)):
        with pytest.raises(PayloadTooLarge):
            decode(export, limits=limits)


def test_patient_is_dropped(export: bytes) -> None:
    assert "Zzyzx" not in repr(vars(decode(export)))
