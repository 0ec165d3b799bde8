"""STOW-RS (PS3.18, 10.5): DICOM objects in, and in the answer what was found in each.

Nothing is stored, so there is nothing to retrieve: the Result comes back at once, in a private
block of the item that the standard answers for each object.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from serve_app.api.declarations import PRIVATE, PROBLEMS, Services, ServicesOf, UploadOf
from serve_app.api.negotiation import choose_media_type
from serve_app.api.related_parts import related_parts
from serve_app.decoding import Upload
from serve_app.decoding.dicom_header import DicomHeader, read_header
from serve_app.errors import (
    EcgServeError,
    InvalidSignal,
    NotAcceptable,
    PayloadTooLarge,
    RecordingError,
    RequestError,
    Unavailable,
)
from serve_app.results import Result

__all__ = ["dicom_web_router"]

_DICOM: Final = "application/dicom"
_ANSWERS: Final = ("application/dicom+json", "application/json")
_AT_ONCE: Final = 4
_WAVEFORM_CLASSES: Final = "1.2.840.10008.5.1.4.1.1.9."
_NO_HEADER: Final = DicomHeader("", "", "")
# Failure reasons: PS3.18 annex I, PS3.4 annex B.2.3, PS3.7 annex C.
_PROCESSING_FAILURE, _CLASS_NOT_SUPPORTED = 0x0110, 0x0122
_OUT_OF_RESOURCES, _OTHER_STUDY, _CANNOT_UNDERSTAND = 0xA700, 0xA900, 0xC000
# The private block: its creator, the Result's JSON, a problem's JSON.
_CREATOR, _RESULT, _PROBLEM = "00990010", "00991001", "00991002"
_CREATOR_NAME: Final = "ECG-FM SERVE"


class OtherStudy(RequestError):
    """An object of another study than the path names."""

    code = "other_study"
    title = "Object of another study"
    default_hint = "Send it to its own study, or to /studies."


@dataclass(frozen=True)
class _Stored:
    """What came of one object."""

    header: DicomHeader
    result: Result | None = None
    error: EcgServeError | None = None


async def _dicom_json_wanted(request: Request) -> str:
    try:
        return choose_media_type(request.headers, _ANSWERS)
    except NotAcceptable as error:
        raise NotAcceptable(error.detail, hint="Ask for application/dicom+json.") from error


_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            'multipart/related; type="application/dicom"': {
                "schema": {"type": "string", "format": "binary"}
            },
            _DICOM: {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_RESPONSES: dict[int | str, dict[str, Any]] = PROBLEMS | {
    status: {
        "description": text,
        "content": {_ANSWERS[0]: {"schema": {"type": "object"}}},
    }
    for status, text in {
        200: "Every object was answered: ReferencedSOPSequence, with the Results.",
        202: "Some were not: FailedSOPSequence says which and why.",
        409: "None was.",
    }.items()
}
dicom_web_router = APIRouter(prefix="/v1/dicom-web", tags=["DICOMweb"])
_Wanted = Annotated[str, Depends(_dicom_json_wanted)]


@dicom_web_router.post(
    "/studies", openapi_extra=_BODY, responses=_RESPONSES, summary="STOW-RS: any study's objects"
)
async def store(services: ServicesOf, media_type: _Wanted, upload: UploadOf) -> Response:
    """Ask the model about each ECG object; nothing is stored."""
    return await _store(services, media_type, upload, None)


@dicom_web_router.post(
    "/studies/{study}",
    openapi_extra=_BODY,
    responses=_RESPONSES,
    summary="STOW-RS: one study's objects",
)
async def store_in_study(
    services: ServicesOf,
    media_type: _Wanted,
    study: Annotated[
        str,
        Path(pattern=r"^[0-9.]{1,64}$", examples=["1.3.76.13.65829.2.20130125082826.1072139.2"]),
    ],
    upload: UploadOf,
) -> Response:
    """As without a study; objects of another one fail."""
    return await _store(services, media_type, upload, study)


async def _store(
    services: Services, media_type: str, upload: Upload, study: str | None
) -> Response:
    if len(upload.files) != 1:
        raise RequestError("Form fields are no DICOM objects.", hint="Send multipart/related.")
    objects = related_parts(upload.files[0][1], upload.content_type)
    places = asyncio.Semaphore(_AT_ONCE)

    async def answer(content: bytes) -> _Stored:
        async with places:
            return await _answer(services, content, study)

    stored = await asyncio.gather(*map(answer, objects))
    failed = [each for each in stored if each.error is not None]
    if len(failed) == len(stored):
        # Told as 503 with Retry-After, which clients know how to take.
        for each in failed:
            if isinstance(each.error, Unavailable):
                raise each.error
    status = 200 if not failed else 202 if len(failed) < len(stored) else 409
    content = json.dumps(_dataset(stored)).encode()
    return Response(content, status, dict(PRIVATE), media_type=media_type)


async def _answer(services: Services, content: bytes, study: str | None) -> _Stored:
    header = _NO_HEADER
    try:
        header = await asyncio.to_thread(read_header, content)
        if study is not None and header.study_instance_uid != study:
            raise OtherStudy("The object is not of the study that the path names.")
        result = await _result(services, Upload((("", content),), _DICOM))
    except EcgServeError as error:
        return _Stored(header, error=error)
    services.metrics.observe_result(result)
    return _Stored(header, result)


async def _result(services: Services, upload: Upload) -> Result:
    """Prediction, or the analysis alone of what is no signal for the model."""
    try:
        return await services.pipeline.predict(upload)
    except InvalidSignal:
        return await services.pipeline.analyze(upload)


def _dataset(stored: list[_Stored]) -> dict[str, Any]:
    """The Store Instances Response (PS3.18, 10.5.3.2) in the DICOM JSON model."""
    dataset: dict[str, Any] = {"00081190": {"vr": "UR"}}
    for tag, items in (
        ("00081198", [_failed_item(each, each.error) for each in stored if each.error]),
        ("00081199", [_stored_item(each, each.result) for each in stored if each.result]),
    ):
        if items:
            dataset[tag] = {"vr": "SQ", "Value": items}
    return dataset


def _stored_item(stored: _Stored, result: Result) -> dict[str, Any]:
    return dict(_reference(stored.header)) | _private(_RESULT, result.to_json().decode())


def _failed_item(stored: _Stored, error: EcgServeError) -> dict[str, Any]:
    problem = {"code": error.code, "detail": error.detail, "hint": error.hint}
    return {
        **dict(_reference(stored.header)),
        "00081197": {"vr": "US", "Value": [_failure_reason(stored.header, error)]},
        **_private(_PROBLEM, json.dumps(problem)),
    }


def _reference(header: DicomHeader) -> Iterator[tuple[str, dict[str, Any]]]:
    for tag, uid in (("00081150", header.sop_class_uid), ("00081155", header.sop_instance_uid)):
        yield tag, {"vr": "UI", "Value": [uid]} if uid else {"vr": "UI"}


def _private(tag: str, text: str) -> dict[str, Any]:
    return {
        _CREATOR: {"vr": "LO", "Value": [_CREATOR_NAME]},
        tag: {"vr": "UT", "Value": [text]},
    }


def _failure_reason(header: DicomHeader, error: EcgServeError) -> int:
    if isinstance(error, OtherStudy):
        return _OTHER_STUDY
    if isinstance(error, (Unavailable, PayloadTooLarge)):
        return _OUT_OF_RESOURCES
    if header.sop_class_uid and not header.sop_class_uid.startswith(_WAVEFORM_CLASSES):
        return _CLASS_NOT_SUPPORTED
    return _CANNOT_UNDERSTAND if isinstance(error, RecordingError) else _PROCESSING_FAILURE
