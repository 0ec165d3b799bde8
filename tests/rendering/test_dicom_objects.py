"""SR and encapsulated PDF: read by pydicom, checked by other programs where they are installed."""

import shutil
import subprocess
from io import BytesIO

import pydicom
import pytest

from serve_app.decoding.dicom_header import FILING_KEYWORDS, DicomHeader, read_header
from serve_app.rendering import render
from serve_app.rendering.dicom_pdf import render_dicom_pdf
from serve_app.rendering.dicom_sr import render_dicom_sr


@pytest.fixture(scope="module")
def report(predicted, dicom_bytes):
    """Filed beside the recording."""
    header = read_header(dicom_bytes)
    return pydicom.dcmread(BytesIO(render_dicom_sr(predicted.result, predicted.recording, header)))


def items(dataset):
    for item in dataset.get("ContentSequence", []):
        yield item
        yield from items(item)


def meaning(item):
    return item.ConceptNameCodeSequence[0].CodeMeaning


def test_the_report_is_preliminary_and_unverified(report):
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    assert report.file_meta.MediaStorageSOPInstanceUID == report.SOPInstanceUID
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    conclusion = next(item for item in items(report) if meaning(item) == "Conclusion")
    assert "not reviewed" in conclusion.TextValue
    assert "DEMO" in conclusion.TextValue


def test_every_label_has_score_threshold_and_decision(report, predicted):
    findings = next(item for item in items(report) if meaning(item) == "Findings")
    for item, prediction in zip(
        findings.ContentSequence, predicted.result.predictions, strict=True
    ):
        assert meaning(item) == prediction.label
        score = float(item.MeasuredValueSequence[0].NumericValue)
        assert score == pytest.approx(prediction.probability, rel=1e-5)
        threshold, calibrated, reached = item.ContentSequence
        assert float(threshold.MeasuredValueSequence[0].NumericValue) == pytest.approx(
            prediction.threshold
        )
        assert float(calibrated.MeasuredValueSequence[0].NumericValue) == pytest.approx(
            prediction.calibrated_probability, rel=1e-5
        )
        assert (reached.ConceptCodeSequence[0].CodeMeaning == "Yes") == prediction.positive


def test_it_is_filed_where_the_recording_is(report, dicom_bytes):
    source = pydicom.dcmread(BytesIO(dicom_bytes))
    for keyword in FILING_KEYWORDS:
        assert report.get(keyword) == source.get(keyword), keyword
    assert report.SeriesInstanceUID != source.SeriesInstanceUID
    study = report.CurrentRequestedProcedureEvidenceSequence[0]
    referenced = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert referenced.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert any(item.ValueType == "WAVEFORM" for item in items(report))


def test_names_beyond_ascii_survive(predicted, dicom_bytes):
    source = pydicom.dcmread(BytesIO(dicom_bytes))
    source.SpecificCharacterSet = "ISO_IR 100"
    source.PatientName = "Müller^Jörg"
    file = BytesIO()
    source.save_as(file)
    header = read_header(file.getvalue())
    sr = pydicom.dcmread(BytesIO(render_dicom_sr(predicted.result, predicted.recording, header)))
    assert sr.PatientName == "Müller^Jörg"
    assert sr.SpecificCharacterSet == "ISO_IR 192"


def test_without_a_header_it_is_anonymous(predicted):
    anonymous = pydicom.dcmread(
        BytesIO(render(predicted.result, predicted.recording, "application/dicom"))
    )
    assert not anonymous.PatientName
    assert not anonymous.PatientID
    assert "CurrentRequestedProcedureEvidenceSequence" not in anonymous
    assert anonymous.StudyInstanceUID.is_valid


def test_one_result_is_one_object_and_another_another(predicted, analysed):
    def uids(answered):
        content = render(answered.result, answered.recording, "application/dicom")
        read = pydicom.dcmread(BytesIO(content))
        return read.SOPInstanceUID, read.SeriesInstanceUID, read.StudyInstanceUID

    assert uids(predicted) == uids(predicted)
    assert not set(uids(predicted)) & set(uids(analysed))


def test_the_pdf_is_in_its_envelope(predicted, dicom_bytes):
    header = read_header(dicom_bytes)
    read = pydicom.dcmread(BytesIO(render_dicom_pdf(predicted.result, predicted.recording, header)))
    assert read.EncapsulatedDocument[: read.EncapsulatedDocumentLength].startswith(b"%PDF-")
    assert read.PatientID == header.filing["PatientID"]
    assert read.SourceInstanceSequence[0].ReferencedSOPInstanceUID == header.sop_instance_uid


@pytest.mark.parametrize("render_object", [render_dicom_sr, render_dicom_pdf])
def test_other_programs_find_no_error(predicted, dicom_bytes, tmp_path, render_object):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    path = tmp_path / "object.dcm"
    header = read_header(dicom_bytes)
    path.write_bytes(render_object(predicted.result, predicted.recording, header))
    told = subprocess.run(["dciodvfy", path], capture_output=True, text=True).stderr
    assert "ComprehensiveSR" in told or "EncapsulatedPDF" in told
    assert not [line for line in told.splitlines() if line.startswith("Error")]


def test_dcmtk_prints_the_report(predicted, dicom_bytes, tmp_path):
    if shutil.which("dsrdump") is None:
        pytest.skip("dsrdump is not installed: apt-get install dcmtk")
    path = tmp_path / "sr.dcm"
    path.write_bytes(render_dicom_sr(predicted.result, predicted.recording, None))
    told = subprocess.run(["dsrdump", path], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "Comprehensive SR Document" in told.stdout
    assert "Sinus rhythm" in told.stdout


def test_a_header_does_not_show_whose_it_is(dicom_bytes):
    header = read_header(dicom_bytes)
    assert header.filing["PatientID"]
    assert header.filing["PatientID"] not in repr(header)
    assert isinstance(header, DicomHeader)
