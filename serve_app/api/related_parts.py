"""multipart/related (RFC 2387) -> its parts, as DICOMweb sends objects."""

from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve_app.errors import InvalidFormat, PayloadTooLarge, UnsupportedMediaType

__all__ = ["related_parts"]

_DICOM: Final = b"application/dicom"
_LONE: Final = (_DICOM, b"application/octet-stream")
_MAX_PARTS: Final = 100


class _Parts:
    """Gathers what the parser finds; the parts' own headers say nothing that is not known."""

    def __init__(self) -> None:
        self.contents: list[bytearray] = []
        self.ended = False

    def begin(self) -> None:
        if len(self.contents) == _MAX_PARTS:
            raise PayloadTooLarge(
                f"At most {_MAX_PARTS} objects are taken at once.", hint="Send them in several."
            )
        self.contents.append(bytearray())

    def add(self, data: bytes, start: int, end: int) -> None:
        self.contents[-1] += data[start:end]

    def end(self) -> None:
        self.ended = True


def related_parts(body: bytes, content_type: str) -> list[bytes]:
    """The objects of a body: its parts, or, if it is none of many parts, the body itself.

    Raises:
        UnsupportedMediaType: Neither one object nor multipart/related of objects.
        InvalidFormat: The multipart body cannot be read, is cut short, or holds no part.
        PayloadTooLarge: Far too many parts.
    """
    if not body:
        raise InvalidFormat("The body is empty.", hint="Send DICOM objects as the body.")
    media_type, parameters = parse_options_header(content_type)
    if media_type in _LONE:
        return [body]
    if media_type != b"multipart/related" or parameters.get(b"type", _DICOM) != _DICOM:
        raise UnsupportedMediaType(
            "DICOM objects are taken here.",
            hint='Send multipart/related; type="application/dicom", or application/dicom.',
        )
    return _split(body, parameters.get(b"boundary", b""))


def _split(body: bytes, boundary: bytes) -> list[bytes]:
    parts = _Parts()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_part_data": parts.add,
                "on_end": parts.end,
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise InvalidFormat("The multipart body cannot be read.") from error
    if not parts.ended or not parts.contents:
        raise InvalidFormat("The multipart body is cut short, or holds no part.")
    return [bytes(content) for content in parts.contents]
