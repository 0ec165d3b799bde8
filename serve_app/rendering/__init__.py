"""A Result in the field's other forms: tables, FHIR, the paper picture, DICOM.

``render(result, recording, media_type)`` gives the bytes. Every form says what JSON says of
itself: that nobody has reviewed it, and whether a demo model answered.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from serve_app.errors import NotAcceptable
from serve_app.recording import Recording
from serve_app.results import Result

__all__ = ["MEDIA_TYPES", "Renderer", "render"]

Renderer = Callable[[Result, Recording], bytes]


def _from(module: str, function: str) -> Renderer:
    """A renderer that is imported when it is first asked: most requests want JSON alone."""

    def renderer(result: Result, recording: Recording) -> bytes:
        found: Renderer = getattr(import_module(f"serve_app.rendering.{module}"), function)
        return found(result, recording)

    return renderer


MEDIA_TYPES: Final[Mapping[str, Renderer]] = MappingProxyType(
    {
        "text/csv": _from("csv_table", "render_csv"),
        "application/fhir+json": _from("fhir", "render_fhir"),
        "image/svg+xml": _from("picture", "render_svg"),
        "application/pdf": _from("picture", "render_pdf"),
        "image/png": _from("picture", "render_png"),
        "application/dicom": _from("dicom_sr", "render_dicom_sr"),
    }
)


def render(result: Result, recording: Recording, media_type: str) -> bytes:
    """The result in another form.

    Args:
        result: Of prediction or analysis.
        recording: What it is about; the picture draws it.
        media_type: One of `MEDIA_TYPES`.

    Raises:
        NotAcceptable: No such form.
        NotInstalled: The form needs a library that is not installed.
    """
    renderer = MEDIA_TYPES.get(media_type)
    if renderer is None:
        told = ", ".join(MEDIA_TYPES)
        raise NotAcceptable(f"No {media_type[:100]!r} is made here.", hint=f"Ask for {told}.")
    return renderer(result, recording)
