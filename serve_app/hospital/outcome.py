"""What is written about a recording: result or problem, and always that it needs review."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from serve_app.decoding import Hints, decode
from serve_app.decoding.dicom_header import read_header
from serve_app.decoding.upload import NO_HINTS, Upload
from serve_app.errors import EcgServeError
from serve_app.rendering import render
from serve_app.rendering.dicom_pdf import render_dicom_pdf
from serve_app.rendering.dicom_sr import render_dicom_sr
from serve_app.results import Result
from serve_app.wording import in_shell

__all__ = ["FORMS", "Form", "Outcome", "envelope", "problem_of"]


@dataclass(frozen=True)
class Form:
    """A form of a result as a file.

    Attributes:
        suffix: Of the file's name.
        media_type: As `rendering.render` knows it; None for what only DICOM nodes take.
    """

    suffix: str
    media_type: str | None


FORMS: Final[Mapping[str, Form]] = {
    "dicom-sr": Form(".sr.dcm", "application/dicom"),
    "dicom-pdf": Form(".pdf.dcm", None),
    "fhir": Form(".fhir.json", "application/fhir+json"),
    "csv": Form(".csv", "text/csv"),
    "svg": Form(".svg", "image/svg+xml"),
    "pdf": Form(".pdf", "application/pdf"),
    "png": Form(".png", "image/png"),
}


class Outcome:
    """A result, and the recording it is about, in whatever form is asked for.

    Args:
        result: The answer.
        upload: The recording as it was sent.
        hints: With which it was answered.
        file_beside: The recording is a DICOM object, and DICOM results are filed in its study,
            patient's identifiers included; else they are anonymous.
    """

    def __init__(
        self, result: Result, upload: Upload, hints: Hints = NO_HINTS, *, file_beside: bool
    ) -> None:
        self.result = result
        self._upload, self._hints = upload, hints
        self._header = read_header(upload.files[0][1]) if file_beside else None

    def render(self, form: str) -> bytes:
        """The bytes of a form; raises as `rendering.render` does."""
        recording = decode(self._upload, self._hints)
        if form == "dicom-sr":
            return render_dicom_sr(self.result, recording, self._header)
        if form == "dicom-pdf":
            return render_dicom_pdf(self.result, recording, self._header)
        media_type = FORMS[form].media_type
        assert media_type is not None  # noqa: S101 - those without were done above
        return render(self.result, recording, media_type)


def envelope(source: Mapping[str, Any], **outcome: Any) -> bytes:
    """The JSON file of an outcome: ``result`` or ``error``, under the review that it needs."""
    told = {"review": "needed", "research_use_only": True, "source": dict(source), **outcome}
    return json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n"


def problem_of(error: EcgServeError) -> dict[str, Any]:
    """What is told of an error."""
    told = {"code": error.code, "detail": error.detail, **error.extra}
    return told | {"hint": in_shell(error.hint)}
