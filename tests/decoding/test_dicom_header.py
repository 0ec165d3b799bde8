"""An object's identity, read within bounds from whatever is sent."""

import io
import random

import pydicom
import pytest

from serve_app.decoding.dicom_header import read_header
from serve_app.decoding.upload import Limits
from serve_app.errors import EcgServeError, InvalidFormat, PayloadTooLarge


def test_real_objects(data_dir):
    for path in sorted(data_dir.glob("*/dicom/*.dcm")):
        expected = pydicom.dcmread(path)
        header = read_header(path.read_bytes())
        assert header.sop_instance_uid == expected.SOPInstanceUID
        assert header.sop_class_uid == expected.SOPClassUID
        assert header.study_instance_uid == expected.get("StudyInstanceUID", "")


def test_the_waveform_is_not_read(dicom_bytes):
    place = dicom_bytes.index(b"\x00\x54\x00\x01")  # (5400,0100) WaveformSequence
    assert read_header(dicom_bytes[:place]) == read_header(dicom_bytes)


@pytest.mark.parametrize("data", [b"", b"\0" * 1000, b"\xff" * 1000, b"plain text " * 100])
def test_what_is_no_dicom_has_no_identity(data):
    assert _outcome(data).startswith(
        ("CorruptedData(", "InvalidFormat(", "DicomHeader(sop_class_uid=''")
    )


def test_deflated_objects_tell_the_same_within_the_limits(dicom_bytes):
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes))
    written = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(written, enforce_file_format=True)
    assert read_header(written.getvalue()) == read_header(dicom_bytes)
    with pytest.raises(PayloadTooLarge):
        read_header(written.getvalue(), Limits(max_unpacked_bytes=1000))


def test_a_million_elements_are_not_read():
    element = b"\x08\x00\x50\x00SH\x02\x00xx"
    with pytest.raises(InvalidFormat, match="elements"):
        read_header(b"\0" * 128 + b"DICM" + element * 300_000)


def _outcome(data):
    try:
        return repr(read_header(data))
    except EcgServeError as error:
        return repr(error)


def test_mutations_end_in_a_header_or_an_error_of_ours(dicom_bytes):
    randomly = random.Random(5)
    head = dicom_bytes[:2000]
    ends = set()
    for _ in range(300):
        mutated = bytearray(head)
        for _ in range(randomly.randint(1, 8)):
            mutated[randomly.randrange(len(mutated))] = randomly.randrange(256)
        told = _outcome(bytes(mutated[: randomly.randint(0, len(mutated))]))
        assert "642341" not in told
        ends.add(told.partition("(")[0])
    assert ends >= {"DicomHeader", "CorruptedData"}


def test_values_that_break_their_rules_are_kept_as_they_are(dicom_bytes):
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes))
    from pydicom import DataElement
    from pydicom.config import IGNORE

    odd = "x" * 100 + "!"
    dataset.add(DataElement("PatientID", "LO", odd, validation_mode=IGNORE))
    dataset.add(DataElement("PatientBirthDate", "DA", "19th May", validation_mode=IGNORE))
    file = io.BytesIO()
    dataset.save_as(file)
    filing = read_header(file.getvalue()).filing
    assert (filing["PatientID"], filing["PatientBirthDate"]) == (odd, "19th May")
