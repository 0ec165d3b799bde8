"""A DICOM object of ours: what report and encapsulated PDF have in common.

Their UIDs are derived from the Result's id, so that the same result, sent twice, is one object.
"""

import uuid
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import serve_app
from serve_app.decoding.dicom_header import DicomHeader
from serve_app.results import Result

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["code", "derived_uid", "new_object", "referenced_instance", "written"]

# ISO/IEC 9834-8: UIDs from UUIDs need no registration.
_UID_ROOT: Final = "2.25"
_NAMESPACE: Final = uuid.UUID("6f1f24fd-2b44-5d9b-8f0c-4f4c40a2e6a5")
_TYPE_2: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("StudyID", "AccessionNumber", "ReferringPhysicianName"),
)


def derived_uid(*parts: str) -> str:
    """A UID that is always the same for the same parts."""
    return f"{_UID_ROOT}.{uuid.uuid5(_NAMESPACE, '/'.join(parts)).int}"


def new_object(result: Result, header: DicomHeader | None, *, sop_class: str, kind: str) -> Any:
    """A Dataset in the study of `header`; without one, in a study of its own and anonymous.

    Args:
        result: Its id makes the UIDs.
        header: Of the object that the result is about.
        sop_class: UID.
        kind: Tells the results's objects apart, such as ``"sr"``.
    """
    from pydicom import Dataset

    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = derived_uid(result.id, kind, "instance")
    dataset.SeriesInstanceUID = derived_uid(result.id, kind, "series")
    dataset.StudyInstanceUID = derived_uid(result.id, "study")
    _file(dataset, header)
    # Local time without an offset, as the dates of the study that are copied.
    created = result.created_at.astimezone()
    dataset.InstanceCreationDate = dataset.ContentDate = f"{created:%Y%m%d}"
    dataset.InstanceCreationTime = dataset.ContentTime = f"{created:%H%M%S}"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.Manufacturer = "ECG-FM Serve"
    dataset.ManufacturerModelName = result.model.name[:64] if result.model else "signal analysis"
    dataset.SoftwareVersions = serve_app.__version__
    return dataset


def _file(dataset: "Dataset", header: DicomHeader | None) -> None:
    """Copy what files the object, as it was sent, be it valid or not."""
    from pydicom import DataElement
    from pydicom.config import IGNORE
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    filing = dict.fromkeys(_TYPE_2, "") | dict(header.filing if header else {})
    for keyword, text in filing.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None  # noqa: S101 - of the standard
        element = DataElement(tag, dictionary_VR(tag), text, validation_mode=IGNORE)
        dataset.add(element)


def code(value: str, scheme: str, meaning: str) -> Any:
    """An item of a code sequence; a meaning has at most 64 characters."""
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, scheme
    item.CodeMeaning = meaning[:64]
    return item


def referenced_instance(header: DicomHeader) -> Any:
    """An item that names the object the result is about."""
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = header.sop_class_uid
    item.ReferencedSOPInstanceUID = header.sop_instance_uid
    return item


def written(dataset: Any) -> bytes:
    """The object as a DICOM file, Explicit VR Little Endian."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = derived_uid("implementation")
    dataset.file_meta.ImplementationVersionName = f"ECGFM_{serve_app.__version__}"[:16]
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
