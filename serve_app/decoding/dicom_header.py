"""What a DICOM object says of itself: its UIDs, and whose study it belongs to.

The patient's and the study's identifiers are read here for one purpose: that results can be filed
beside the object they are about. They go into DICOM objects alone, never into a log or a message.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from serve_app.decoding.dicom_deflated import inflated
from serve_app.decoding.dicom_pieces import Pieces
from serve_app.decoding.upload import DEFAULT_LIMITS, Limits
from serve_app.errors import CorruptedData, EcgServeError

__all__ = ["FILING_KEYWORDS", "DicomHeader", "read_header"]

FILING_KEYWORDS: Final = (
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    "ReferringPhysicianName",
)
_UIDS: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
_READ: Final = (*_UIDS, *FILING_KEYWORDS)
_UID: Final = re.compile(r"[0-9.]{1,64}", re.ASCII)
_LAST_GROUP: Final = 0x0020


@dataclass(frozen=True)
class DicomHeader:
    """An object's identity.

    Attributes:
        sop_class_uid: Empty where it is not said or no UID, as the others.
        sop_instance_uid: Of the object.
        series_instance_uid: Of its series.
        filing: By DICOM keyword (`FILING_KEYWORDS`), what files a result beside it.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    filing: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def study_instance_uid(self) -> str:
        """Of its study."""
        return self.filing.get("StudyInstanceUID", "")


def read_header(data: bytes, limits: Limits = DEFAULT_LIMITS) -> DicomHeader:
    """Read the attributes before the waveform; what is not there is left out.

    Raises:
        InvalidFormat: No DICOM, or with far too many elements.
        CorruptedData: Damaged.
        PayloadTooLarge: A deflated object that holds more than `limits` allow.
    """
    try:
        dataset = _read(inflated(data, limits))
        said = {word: text for word in _READ if (text := _text(dataset, word))}
    except EcgServeError:
        raise
    except Exception:  # pydicom raises anything on hostile bytes, and quotes them
        raise CorruptedData("The DICOM object cannot be read.") from None
    sop_class, instance, series = (_uid(said.pop(keyword, "")) for keyword in _UIDS)
    return DicomHeader(sop_class, instance, series, said)


def _read(data: bytes) -> Any:
    from pydicom import config
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    # Its warnings quote the values of elements.
    config.settings.reading_validation_mode = config.IGNORE
    dataset = read_partial(
        Pieces(data),
        stop_when=lambda tag, _vr, _length: tag.group > _LAST_GROUP,
        force=True,
        specific_tags=[Tag(word) for word in (*_READ, "SpecificCharacterSet")],
    )
    dataset.decode()
    return dataset


def _uid(text: str) -> str:
    """In a damaged object anything may stand in its place."""
    return text if _UID.fullmatch(text) else ""


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip("\0 ")
