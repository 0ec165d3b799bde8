"""DICOM waveforms: the rhythm, in millivolts, and nothing of the patient."""

import copy
import io
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.testing import assert_array_equal
from pydicom.data import get_testdata_file
from pydicom.uid import (
    UID,
    AmbulatoryECGWaveformStorage,
    CardiacElectrophysiologyWaveformStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    General32bitECGWaveformStorage,
    GeneralECGWaveformStorage,
    HemodynamicWaveformStorage,
    ImplicitVRLittleEndian,
    TwelveLeadECGWaveformStorage,
)

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.errors import (
    CorruptedData,
    InvalidFormat,
    InvalidParameter,
    InvalidSignal,
    PayloadTooLarge,
)
from serve_app.recording import STANDARD_LEADS

Edit = Callable[[Callable[[pydicom.Dataset], None]], bytes]


@pytest.fixture
def edited(dicom_bytes: bytes) -> Edit:
    """The recording after a change to its dataset."""

    def edit(change: Callable[[pydicom.Dataset], None]) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(dicom_bytes))
        change(dataset)
        stream = io.BytesIO()
        dataset.save_as(stream)
        return stream.getvalue()

    return edit


def test_rhythm_equals_pydicom(dicom_bytes: bytes) -> None:
    decoded = decode(Upload((("x.dcm", dicom_bytes),), "application/dicom"))
    expected = pydicom.dcmread(io.BytesIO(dicom_bytes)).waveform_array(0).T / 1000
    assert_array_equal(decoded.signal_mv, expected.astype(np.float32))
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 1000)
    assert decoded.format == "dicom"
    assert not decoded.units_assumed


def test_public_files(data_dir: Path) -> None:
    example = decode_path(data_dir / "formats/dicom/Example.dcm")
    assert (example.signal_mv.shape, example.fs_hz) == ((12, 5000), 500)
    # The label says MLII, the code, under a scheme that has none such, would say I.
    general = decode_path(data_dir / "derived/dicom/general_ecg_mitdb100.dcm")
    assert general.leads == ("V5", "MLII")
    record = decode_path(data_dir / "beats/mitdb/100.hea")
    assert_array_equal(general.signal_mv, record.signal_mv[:, :10800])
    ambulatory = decode_path(data_dir / "derived/dicom/ambulatory_ecg_mitdb208.dcm")
    assert (ambulatory.leads, ambulatory.fs_hz) == (("V1", "MLII"), 360)
    record = decode_path(data_dir / "beats/mitdb/208.hea")
    assert_array_equal(ambulatory.signal_mv, record.signal_mv[:, : 60 * 360])
    mortara = decode_path(data_dir / "formats/dicom/waveform_ecg_mortara_12lead.dcm")
    assert (mortara.leads, mortara.fs_hz) == (STANDARD_LEADS, 1000)


def test_averaged_beat_is_never_taken_for_the_rhythm(dicom_bytes: bytes, edited: Edit) -> None:
    def swap(dataset: pydicom.Dataset) -> None:
        dataset.WaveformSequence.reverse()

    assert_array_equal(decode(edited(swap)).signal_mv, decode(dicom_bytes).signal_mv)


def test_without_preamble(dicom_bytes: bytes) -> None:
    assert_array_equal(decode(dicom_bytes[132:]).signal_mv, decode(dicom_bytes).signal_mv)


@pytest.mark.parametrize(
    ("scheme", "code", "meaning", "lead"),
    [
        ("SCPECG", "5.6.3-9-2", "", "II"),
        ("MDC", "2:1", "?", "I"),
        ("MDC", "2:64", "", "aVF"),
        ("SCPECG", "5.6.3-9-65", "Lead -aVR", "-aVR"),
        ("L", "x", "Lead I (Einthoven)", "I"),
        ("L", "x", "aVL, augmented voltage, left", "aVL"),
        ("L", "x", "ECG Lead V4", "V4"),
        ("L", "x", "Lead MLII", "MLII"),
        ("MDC", "2:999", "Vector", "Vector"),
    ],
)
def test_lead_by_code_then_by_text(
    edited: Edit, scheme: str, code: str, meaning: str, lead: str
) -> None:
    def name_first(dataset: pydicom.Dataset) -> None:
        group = dataset.WaveformSequence[0]
        for channel in group.ChannelDefinitionSequence[1:]:
            channel.ChannelSensitivityUnitsSequence[0].CodeValue = "mm[Hg]"
        source = group.ChannelDefinitionSequence[0].ChannelSourceSequence[0]
        source.CodingSchemeDesignator, source.CodeValue = scheme, code
        source.CodeMeaning = meaning

    assert decode(edited(name_first)).leads == (lead,)


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1000), ("V", 1e6), ("uV", 1)])
def test_units(edited: Edit, dicom_bytes: bytes, unit: str, factor: float) -> None:
    def set_unit(dataset: pydicom.Dataset) -> None:
        for channel in dataset.WaveformSequence[0].ChannelDefinitionSequence:
            channel.ChannelSensitivityUnitsSequence[0].CodeValue = unit

    expected = decode(dicom_bytes).signal_mv * factor
    np.testing.assert_allclose(decode(edited(set_unit)).signal_mv, expected, rtol=1e-6)


def test_sensitivity_correction_and_baseline(edited: Edit, dicom_bytes: bytes) -> None:
    def calibrate(dataset: pydicom.Dataset) -> None:
        channel = dataset.WaveformSequence[0].ChannelDefinitionSequence[0]
        channel.ChannelSensitivityCorrectionFactor = "2"
        channel.ChannelBaseline = "500"

    expected = decode(dicom_bytes).signal_mv[0] * 2 + 0.5
    np.testing.assert_allclose(decode(edited(calibrate)).signal_mv[0], expected, rtol=1e-5)


def test_padding_is_missing(edited: Edit) -> None:
    def pad(dataset: pydicom.Dataset) -> None:
        group = dataset.WaveformSequence[0]
        padding = np.int16(-32768).tobytes()
        group.add_new("WaveformPaddingValue", "OW", padding)
        group.WaveformData = padding + group.WaveformData[2:]

    assert np.isnan(decode(edited(pad)).signal_mv).sum() == 1


def test_a_padding_value_that_is_also_a_voltage_is_not_believed(
    edited: Edit, dicom_bytes: bytes
) -> None:
    def pad(dataset: pydicom.Dataset) -> None:
        dataset.WaveformSequence[0].add_new("WaveformPaddingValue", "OW", np.int16(0).tobytes())

    assert_array_equal(decode(edited(pad)).signal_mv, decode(dicom_bytes).signal_mv)


def test_no_channel_in_volts(edited: Edit) -> None:
    def press(dataset: pydicom.Dataset) -> None:
        for group in dataset.WaveformSequence:
            for channel in group.ChannelDefinitionSequence:
                channel.ChannelSensitivityUnitsSequence[0].CodeValue = "mm[Hg]"

    with pytest.raises(InvalidSignal):
        decode(edited(press))


def test_an_image_is_no_recording() -> None:
    image = Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()
    with pytest.raises(InvalidFormat, match="no waveform"):
        decode(image)


def test_hints_must_agree(dicom_bytes: bytes) -> None:
    assert decode(dicom_bytes, Hints(fs_hz=1000, units="uV")).fs_hz == 1000
    for hints in (Hints(fs_hz=500), Hints(units="mV")):
        with pytest.raises(InvalidParameter):
            decode(dicom_bytes, hints)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NumberOfWaveformSamples", 4_000_000_000),
        ("NumberOfWaveformChannels", 60_000),
        ("WaveformBitsAllocated", 12),
        ("WaveformSampleInterpretation", "MB"),
        ("SamplingFrequency", "0"),
    ],
)
def test_facts_that_do_not_fit(edited: Edit, name: str, value: object) -> None:
    def lie(dataset: pydicom.Dataset) -> None:
        setattr(dataset.WaveformSequence[0], name, value)

    with pytest.raises((CorruptedData, InvalidFormat, InvalidSignal, PayloadTooLarge)):
        decode(edited(lie))


def test_cut_short(dicom_bytes: bytes) -> None:
    for length in range(400, len(dicom_bytes) - 30_000, 13_337):
        with pytest.raises(CorruptedData):
            decode(dicom_bytes[:length])


def encoded(data: bytes, transfer_syntax: UID, *, undefined: bool = False) -> bytes:
    """The recording as pydicom's own writer encodes it; `undefined`: lengths of sequences."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    little_endian = transfer_syntax != ExplicitVRBigEndian
    for group in dataset.WaveformSequence:
        if not little_endian:
            group.WaveformData = np.frombuffer(group.WaveformData, "<i2").byteswap().tobytes()
    _set_lengths(dataset, undefined=undefined)
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    stream = io.BytesIO()
    pydicom.dcmwrite(
        stream,
        dataset,
        implicit_vr=transfer_syntax == ImplicitVRLittleEndian,
        little_endian=little_endian,
        force_encoding=True,
    )
    return stream.getvalue()


def _set_lengths(dataset: pydicom.Dataset, *, undefined: bool) -> None:
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
                _set_lengths(item, undefined=undefined)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize(
    "transfer_syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_every_transfer_syntax(dicom_bytes: bytes, transfer_syntax: UID, undefined: bool) -> None:
    decoded = decode(encoded(dicom_bytes, transfer_syntax, undefined=undefined))
    expected = decode(dicom_bytes)
    assert_array_equal(decoded.signal_mv, expected.signal_mv)
    assert decoded.leads == expected.leads


def test_deflated_beyond_the_limit(dicom_bytes: bytes) -> None:
    deflated = encoded(dicom_bytes, DeflatedExplicitVRLittleEndian)
    start = len(deflated) - len(_deflated_part(deflated))
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = deflated[:start] + bomb.compress(bytes(64 << 20)) + bomb.flush()
    tracemalloc.start()
    with pytest.raises(PayloadTooLarge):
        decode(content, limits=Limits(max_unpacked_bytes=1 << 20))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_deflated_damage(dicom_bytes: bytes) -> None:
    deflated = encoded(dicom_bytes, DeflatedExplicitVRLittleEndian)
    part = _deflated_part(deflated)
    start = len(deflated) - len(part)
    for content in (part[:-100], part[: len(part) // 2], b"", b"\xff" * 100, part[1:]):
        with pytest.raises((CorruptedData, InvalidFormat)):
            decode(deflated[:start] + content)


def test_what_pydicom_would_inflate_is_never_left_to_it(dicom_bytes: bytes) -> None:
    """A meta group that can be read in two ways, and a deflated file inside a deflated one."""
    deflated = encoded(dicom_bytes, DeflatedExplicitVRLittleEndian)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = bomb.compress(bytes(64 << 20)) + bomb.flush()
    head = deflated[: len(deflated) - len(_deflated_part(deflated))]
    odd = b"\x02\0\x02\x01OD\0\0\x04\0\0\0" + bytes(4)
    inner = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    nested = head + inner.compress(head + content) + inner.flush()
    tracemalloc.start()
    for body in (head[:144] + odd + head[144:] + content, nested):
        with pytest.raises((CorruptedData, InvalidFormat)):
            decode(body, limits=Limits(max_unpacked_bytes=1 << 20))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def _deflated_part(deflated: bytes) -> bytes:
    """What follows the file's meta group."""
    return deflated[144 + int.from_bytes(deflated[140:144], "little") :]


@pytest.mark.parametrize(
    "sop_class",
    [
        *(TwelveLeadECGWaveformStorage, GeneralECGWaveformStorage, General32bitECGWaveformStorage),
        *(AmbulatoryECGWaveformStorage, HemodynamicWaveformStorage),
        CardiacElectrophysiologyWaveformStorage,
    ],
)  # fmt: skip
def test_every_class_with_an_ecg(edited: Edit, dicom_bytes: bytes, sop_class: UID) -> None:
    def set_class(dataset: pydicom.Dataset) -> None:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class

    assert_array_equal(decode(edited(set_class)).signal_mv, decode(dicom_bytes).signal_mv)


def test_an_ecg_beside_pressures(edited: Edit, dicom_bytes: bytes) -> None:
    """As catheter laboratories store it: the ECG is a slower group, or some of the channels."""

    def press(dataset: pydicom.Dataset) -> None:
        pressures = copy.deepcopy(dataset.WaveformSequence[0])
        pressures.SamplingFrequency = "2000"
        for channel in pressures.ChannelDefinitionSequence:
            channel.ChannelSensitivityUnitsSequence[0].CodeValue = "mm[Hg]"
        channels = dataset.WaveformSequence[0].ChannelDefinitionSequence
        for channel in channels[2:]:
            channel.ChannelSensitivityUnitsSequence[0].CodeValue = "mm[Hg]"
        dataset.WaveformSequence.insert(0, pressures)

    decoded, expected = decode(edited(press)), decode(dicom_bytes)
    assert (decoded.leads, decoded.fs_hz) == (("I", "II"), 1000)
    assert_array_equal(decoded.signal_mv, expected.signal_mv[:2])


@pytest.mark.parametrize(
    ("bits", "interpretation", "dtype", "zero"),
    [(8, "SB", "i1", 0), (8, "UB", "u1", 128), (16, "US", "<u2", 32768), (32, "SL", "<i4", 0),
     (32, "UL", "<u4", 2**31), (64, "SV", "<i8", 0)],
)  # fmt: skip
def test_kinds_of_samples(
    edited: Edit, bits: int, interpretation: str, dtype: str, zero: int
) -> None:
    counts = np.arange(-100, 100)

    def store(dataset: pydicom.Dataset) -> None:
        group = dataset.WaveformSequence[0]
        group.WaveformBitsAllocated, group.WaveformSampleInterpretation = bits, interpretation
        group.ChannelDefinitionSequence = group.ChannelDefinitionSequence[:1]
        channel = group.ChannelDefinitionSequence[0]
        channel.ChannelSensitivity, channel.ChannelBaseline = "2", str(-2 * zero)
        group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = 1, 200
        group.WaveformData = (counts + zero).astype(dtype).tobytes()

    np.testing.assert_allclose(decode(edited(store)).signal_mv, [counts * 2e-3], rtol=1e-6)


def test_patient_never_shows(dicom_bytes: bytes, edited: Edit) -> None:
    def name(dataset: pydicom.Dataset) -> None:
        dataset.PatientName = "Doe^Jane"
        dataset.WaveformSequence[0].SamplingFrequency = "-1"

    with pytest.raises(InvalidSignal) as caught:
        decode(edited(name))
    assert "Doe" not in repr(caught.value)
    assert "Doe" not in repr(decode(dicom_bytes))


def test_limit(dicom_bytes: bytes) -> None:
    with pytest.raises(PayloadTooLarge):
        decode(dicom_bytes, limits=Limits(max_samples=100_000))
