"""The paper picture as an Encapsulated PDF object, for archives that show no SR."""

from typing import Final

from serve_app.decoding.dicom_header import DicomHeader
from serve_app.recording import Recording
from serve_app.rendering.dicom_object import code, new_object, referenced_instance, written
from serve_app.rendering.picture import render_pdf
from serve_app.results import Result

__all__ = ["render_dicom_pdf"]

_ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"


def render_dicom_pdf(
    result: Result, recording: Recording, header: DicomHeader | None = None
) -> bytes:
    """The picture as a DICOM file, filed as `render_dicom_sr` files its report.

    Raises:
        NotInstalled: Without CairoSVG.
    """
    pdf = render_pdf(result, recording)
    document = new_object(result, header, sop_class=_ENCAPSULATED_PDF, kind="pdf")
    document.Modality, document.ConversionType = "DOC", "WSD"
    document.SeriesDescription = "ECG-FM, research use only"
    document.AcquisitionDateTime = ""
    document.BurnedInAnnotation = "NO"  # the picture names nobody
    document.VerificationFlag = "UNVERIFIED"
    document.DocumentTitle = "Electrocardiogram, research use only, not reviewed"
    document.ConceptNameCodeSequence = [code("11524-6", "LN", "EKG study")]
    if header is not None and header.sop_instance_uid:
        document.SourceInstanceSequence = [referenced_instance(header)]
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocumentLength = len(pdf)
    document.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return written(document)
