"""application/dicom: a Comprehensive SR, laid out after the ECG Report of PS3.16 (TID 3700).

Preliminary and unverified. The model's labels have no codes that all of their sense is in, so they
are coded in a scheme of our own, 99ECGFM, named after each label.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from serve_app.decoding.dicom_header import DicomHeader
from serve_app.recording import Recording
from serve_app.rendering.dicom_object import (
    code,
    derived_uid,
    new_object,
    referenced_instance,
    written,
)
from serve_app.rendering.findings import conclusion, model_line
from serve_app.rendering.measurements import Measurement, measurements
from serve_app.results import Prediction, Result

__all__ = ["render_dicom_sr"]

_COMPREHENSIVE_SR: Final = "1.2.840.10008.5.1.4.1.1.88.33"
_OWN: Final = "99ECGFM"
_YES, _NO = ("373066001", "SCT", "Yes"), ("373067005", "SCT", "No")
_Code = tuple[str, str, str]


def render_dicom_sr(
    result: Result, recording: Recording, header: DicomHeader | None = None
) -> bytes:
    """The report as a DICOM file.

    Args:
        result: What is reported.
        recording: Is not drawn.
        header: Of the object the result is about: the report is filed in its study and refers to
            it. Without it the report is anonymous and in a study of its own.
    """
    del recording
    report = new_object(result, header, sop_class=_COMPREHENSIVE_SR, kind="sr")
    report.Modality = "SR"
    report.SeriesDescription = "ECG-FM, research use only"
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    report.CodingSchemeIdentificationSequence = [_own_scheme()]
    report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
    report.ConceptNameCodeSequence = [code("11524-6", "LN", "EKG study")]
    report.ContentSequence = list(_content(result, header))
    if header is not None and header.sop_instance_uid:
        report.CurrentRequestedProcedureEvidenceSequence = [_evidence(header)]
    return written(report)


def _own_scheme() -> Any:
    from pydicom import Dataset

    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeUID = _OWN, derived_uid("scheme", _OWN)
    scheme.CodingSchemeName = "Labels of ECG-FM, coded by the SHA-256 of their names"
    return scheme


def _evidence(header: DicomHeader) -> Any:
    from pydicom import Dataset

    series, study = Dataset(), Dataset()
    series.SeriesInstanceUID = header.series_instance_uid
    series.ReferencedSOPSequence = [referenced_instance(header)]
    study.StudyInstanceUID = header.study_instance_uid
    study.ReferencedSeriesSequence = [series]
    return study


def _content(result: Result, header: DicomHeader | None) -> Iterator[Any]:
    yield from _observer(result)
    yield _item("TEXT", ("121077", "DCM", "Conclusion"), TextValue=conclusion(result))
    if header is not None and header.sop_instance_uid:
        yield _item(
            "WAVEFORM",
            ("121112", "DCM", "Source of Measurement"),
            ReferencedSOPSequence=[referenced_instance(header)],
        )
    measured = [_measured(each) for each in measurements(result)]
    yield _container(("122158", "DCM", "ECG Global Measurements"), measured)
    if result.predictions:
        labels = [_label(each) for each in result.predictions]
        yield _container(("121070", "DCM", "Findings"), labels)


def _observer(result: Result) -> Iterator[Any]:
    """Whose language, and which device and model observed."""
    language = ("121049", "DCM", "Language of Content Item and Descendants")
    yield _coded("HAS CONCEPT MOD", language, ("en", "RFC5646", "English"))
    context = "HAS OBS CONTEXT"
    yield _coded(context, ("121005", "DCM", "Observer Type"), ("121007", "DCM", "Device"))
    model = result.model
    uid = derived_uid("model", model.sha256 if model else "none")
    yield _item("UIDREF", ("121012", "DCM", "Device Observer UID"), relation=context, UID=uid)
    told = f"ECG-FM Serve, {model_line(result)}"
    yield _item("TEXT", ("121013", "DCM", "Device Observer Name"), relation=context, TextValue=told)
    sha256 = f"model {model.sha256}; " if model else ""
    yield _item(
        "TEXT",
        ("sha256", _OWN, "SHA-256 of model and recording"),
        relation=context,
        TextValue=f"{sha256}recording {result.recording.sha256}",
    )


def _measured(measurement: Measurement) -> Any:
    concept = (_own_code(measurement.name), _OWN, measurement.name)
    if measurement.mdc:
        concept = (measurement.mdc, "MDC", measurement.name)
    elif measurement.loinc:
        concept = (measurement.loinc, "LN", measurement.name)
    return _number(concept, measurement.value, measurement.unit)


def _label(prediction: Prediction) -> Any:
    """The score, with the threshold, whether it is reached, and the calibrated probability."""
    item = _number(
        (_own_code(prediction.label), _OWN, prediction.label), prediction.probability, "1"
    )
    properties = "HAS PROPERTIES"
    item.ContentSequence = [
        _number(("122411", "DCM", "Threshold Value"), prediction.threshold, "1", properties),
        _number(
            ("calibrated", _OWN, "Calibrated probability"),
            prediction.calibrated_probability,
            "1",
            properties,
        ),
        _coded(
            properties,
            ("reached", _OWN, "Score at or above threshold"),
            _YES if prediction.positive else _NO,
        ),
    ]
    return item


def _own_code(name: str) -> str:
    """At most 16 characters, the same for the same name in every version."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _item(value_type: str, concept: _Code, *, relation: str = "CONTAINS", **value: Any) -> Any:
    from pydicom import Dataset

    item = Dataset()
    item.RelationshipType, item.ValueType = relation, value_type
    item.ConceptNameCodeSequence = [code(*concept)]
    for keyword, content in value.items():
        setattr(item, keyword, content)
    return item


def _container(concept: _Code, items: list[Any]) -> Any:
    return _item("CONTAINER", concept, ContinuityOfContent="SEPARATE", ContentSequence=items)


def _coded(relation: str, concept: _Code, value: _Code) -> Any:
    return _item("CODE", concept, relation=relation, ConceptCodeSequence=[code(*value)])


def _number(concept: _Code, value: float, unit: str, relation: str = "CONTAINS") -> Any:
    from pydicom import Dataset

    measured = Dataset()
    measured.NumericValue = f"{value:.6g}"
    measured.MeasurementUnitsCodeSequence = [
        code(unit, "UCUM", "no units" if unit == "1" else unit)
    ]
    return _item("NUM", concept, relation=relation, MeasuredValueSequence=[measured])
