"""XML as strangers send it: no entities, no DTD, no network, and bounded in every direction.

What is refused before the parser sees it: entity declarations and internal DTD subsets (billion
laughs, quadratic blow-up, external entities), unknown encodings, and more markup than any
recording has. libxml2 itself bounds depth (256) and the length of one text (10 MB).
"""

import codecs
import importlib
import re
from functools import cache
from typing import Any, Final, NoReturn

from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, EcgServeError, InvalidFormat, PayloadTooLarge

__all__ = ["local_name", "looks_like_xml", "parse_xml", "refuse_xml", "root_name", "root_tag"]

# The prolog of a file that is read is shorter: declaration, DOCTYPE, some comments.
_PROLOG_BYTES: Final = 16_384
_MOST: Final = {b"<": 200_000, b"=": 200_000, b"&": 100_000}
_UTF16: Final = (
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
# UTF-16 is declared by many files that have since become UTF-8; the real one is told by its bytes.
_ENCODINGS: Final = {
    **dict.fromkeys(("utf-8", "utf8", "us-ascii", "ascii", "utf-16"), "utf-8"),
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "latin1", "latin-1"), "iso-8859-1"),
    **dict.fromkeys(("windows-1252", "cp1252"), "windows-1252"),
    "iso-8859-15": "iso-8859-15",
}
_DECLARED: Final = re.compile(
    rb"\s*<\?xml\s[^<>]*?\bencoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']"
)
_DOCTYPE: Final = re.compile(rb"<!DOCTYPE[^<>\[\]]*+>", re.IGNORECASE)
_DEFINITION: Final = re.compile(rb"<!(?:DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)", re.IGNORECASE)
# Atomic and possessive, so that hostile prologs cost no more than honest ones.
_ROOT: Final = re.compile(
    rb"\s*+(?>(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^<>\[\]]*+(?:\[.*?\]\s*+)?>)\s*+)*+"
    rb"(<(?:[A-Za-z_][\w.-]*+:)?([A-Za-z_][\w.-]*+)[^<>]*+)",
    re.DOTALL | re.IGNORECASE,
)
_LAST_TAG: Final = re.compile(rb"</(?:[\w.-]+:)?([\w.-]+)\s*>\s*\Z")
_BARE_AMPERSAND: Final = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9A-Fa-f]{1,6});)")
_RESOURCE_LIMIT: Final = 114  # libxml2's XML_ERR_RESOURCE_LIMIT
_UNREAD: Final = {
    "cardiologyxml": "GE CardioSoft or CASE XML",
    "sapphire": "GE Sapphire XML",
    "healthdata": "the export.xml of Apple Health; its recordings are electrocardiograms/*.csv",
    "clinicaldocument": "an HL7 CDA document",
    "html": "an HTML page",
    "svg": "an SVG picture",
}


def looks_like_xml(data: bytes) -> bool:
    """Whether the first character is that of markup, in any encoding that is read."""
    head = _ascii_head(data).lstrip()
    return head[:1] == b"<" and (head[1:2].isalpha() or head[1:2] in {b"?", b"!", b"_"})


def root_tag(data: bytes) -> tuple[str, str]:
    """The root element's local name and its whole start tag; empty where there is none."""
    match = _ROOT.match(_ascii_head(data))
    if match is None:
        return "", ""
    return match[2].decode("latin-1"), match[1].decode("latin-1")


def root_name(data: bytes) -> str:
    """The root element's local name; empty where there is none."""
    return root_tag(data)[0]


def parse_xml(data: bytes, limits: Limits, *, mend: bool = False) -> Any:
    """The root element, an ``lxml.etree._Element`` without comments or instructions.

    Args:
        data: The document, in UTF-8, UTF-16, ISO-8859-1 or -15, or Windows-1252.
        limits: How much text is taken.
        mend: Take what some writers leave unescaped: a bare ``&`` or ``<``, a byte of another
            encoding. Only a document whose end is there is mended; what is in it must be checked.

    Raises:
        InvalidFormat: Not well formed, of an unknown encoding, or with definitions of its own.
        CorruptedData: Cut short.
        PayloadTooLarge: More text or markup than is taken.
    """
    limits.check_text(len(data))
    if not looks_like_xml(data):
        raise InvalidFormat("This is no XML.")
    content, encoding = _ascii_compatible(data)
    head = _DOCTYPE.sub(b"", content[:_PROLOG_BYTES], count=1)
    content = head + content[_PROLOG_BYTES:]
    _check_markup(content)
    if mend:
        content = _BARE_AMPERSAND.sub(b"&amp;", content)
    etree = _etree()
    try:
        return etree.fromstring(content, _parser(encoding))
    except etree.XMLSyntaxError as error:
        failure = _failure(error, content)
    if mend and isinstance(failure, InvalidFormat):
        root = etree.fromstring(content, _parser(encoding, recover=True))
        if root is not None:
            return root
    raise failure


def local_name(element: Any) -> str:
    """The element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def refuse_xml(data: bytes, hints: Hints, limits: Limits) -> NoReturn:
    """Refuse XML of a form that no decoder reads, by its name where it is known.

    Raises:
        InvalidFormat: Always.
    """
    del hints, limits
    known = _UNREAD.get(root_name(data).casefold())
    raise InvalidFormat(
        f"This XML is not read here: it is {known}." if known else "This XML is not read here.",
        hint="Send GE MUSE, Philips Sierra, HL7 aECG or FHIR, or another format such as DICOM.",
    )


@cache
def _etree() -> Any:
    # Imported late: only some formats need it.
    return importlib.import_module("lxml.etree")


def _parser(encoding: str, *, recover: bool = False) -> Any:
    return _etree().XMLParser(
        encoding=encoding,
        recover=recover,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _ascii_head(data: bytes) -> bytes:
    """The beginning, in an encoding that holds ASCII as it is."""
    codec = next((codec for start, codec in _UTF16 if data.startswith(start)), None)
    head = data[: 2 * _PROLOG_BYTES if codec else _PROLOG_BYTES]
    if codec:
        head = head.decode(codec, "replace").removeprefix("\ufeff").encode()
    return head.removeprefix(codecs.BOM_UTF8)


def _ascii_compatible(data: bytes) -> tuple[bytes, str]:
    """The document in an encoding that holds ASCII as it is, and that encoding's name."""
    codec = next((codec for start, codec in _UTF16 if data.startswith(start)), None)
    if codec:
        try:
            text = data.decode(codec)
        except UnicodeDecodeError as error:
            cut = error.end >= len(data)
            raise (_cut_short() if cut else InvalidFormat("The XML is not UTF-16.")) from None
        return text.removeprefix("\ufeff").encode(), "utf-8"
    data = data.removeprefix(codecs.BOM_UTF8)
    declared = _DECLARED.match(data[:_PROLOG_BYTES])
    name = declared[1].decode().lower() if declared else "utf-8"
    if name not in _ENCODINGS:
        raise InvalidFormat("The XML's encoding is not read here.", hint="Send it as UTF-8.")
    return data.lstrip(), _ENCODINGS[name]


def _check_markup(content: bytes) -> None:
    if _DEFINITION.search(content):
        raise InvalidFormat(
            "The XML defines entities or a document type of its own.",
            hint="Send it without a DTD.",
        )
    if any(content.count(mark) > most for mark, most in _MOST.items()):
        raise PayloadTooLarge(
            "The XML has far more elements, attributes or references than a recording.",
            hint="Send one recording.",
        )


def _failure(error: Any, content: bytes) -> EcgServeError:
    if error.code == _RESOURCE_LIMIT:
        if "depth" in str(error):
            return InvalidFormat("The XML is far more nested than a recording.")
        return PayloadTooLarge("A text in the XML is longer than is taken.")
    if not _is_closed(content):
        return _cut_short()
    return InvalidFormat(f"The XML is not well formed, near line {error.lineno}.")


def _is_closed(content: bytes) -> bool:
    """Whether the document ends as it should: with the end of its root element."""
    last = _LAST_TAG.search(content[-1000:])
    return last is not None and last[1].decode("latin-1") == root_name(content)


def _cut_short() -> CorruptedData:
    return CorruptedData("The XML is cut short.")
