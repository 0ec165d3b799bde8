"""FHIR resources as dictionaries, from JSON or XML, with the Observations in them.

XML becomes what FHIR's JSON would be, as far as observations need it; numbers stay text.
"""

from typing import Any, Final

from pydantic_core import from_json

from serve_app.decoding.json_body import looks_like_json
from serve_app.decoding.upload import Limits
from serve_app.decoding.xml_document import local_name, parse_xml, root_tag
from serve_app.errors import CorruptedData, InvalidFormat, PayloadTooLarge

__all__ = ["Node", "looks_like_fhir", "nodes", "observations", "read_resource"]

Node = dict[str, Any]

_NAMESPACE: Final = "http://hl7.org/fhir"
_TYPE: Final = b'"resourceType"'
_BOM: Final = b"\xef\xbb\xbf"
# A Bundle with a report and its Observations has some hundred; samples are one string a lead.
_MAX_BRACKETS, _MAX_QUOTES, _MAX_COMMAS = 20_000, 200_000, 200_000
# Elements that repeat, and those that hold a resource of their own.
_REPEATED: Final = ("coding", "component", "contained", "entry")
_HOLDERS: Final = ("contained", "resource")


def looks_like_fhir(data: bytes) -> bool:
    """Whether a resource is named, in JSON, or the root element is FHIR's."""
    if looks_like_json(data):
        return _TYPE in data
    return f'"{_NAMESPACE}"' in root_tag(data)[1].replace("'", '"')


def read_resource(data: bytes, limits: Limits) -> Node:
    """The resource that the bytes are.

    Raises:
        InvalidFormat: A syntax error, or no resource.
        CorruptedData: Cut short.
        PayloadTooLarge: More text or structure than is taken.
    """
    if not looks_like_fhir(data):
        raise InvalidFormat("This is no FHIR resource.")
    if not looks_like_json(data):
        return _from_xml(parse_xml(data, limits))
    limits.check_text(len(data))
    brackets = data.count(b"[") + data.count(b"{")
    if brackets > _MAX_BRACKETS or data.count(b'"') > _MAX_QUOTES or data.count(b",") > _MAX_COMMAS:
        raise PayloadTooLarge(
            "The FHIR resource has far more elements than a recording.", hint="Send one recording."
        )
    try:
        resource = from_json(data.removeprefix(_BOM))
    except ValueError as error:
        if "EOF" in str(error):
            raise CorruptedData("The FHIR JSON is cut short.") from None
        raise InvalidFormat("The FHIR JSON has a syntax error.") from None
    if not isinstance(resource, dict):
        raise InvalidFormat("The FHIR JSON is no resource.")
    return resource


def nodes(value: object) -> list[Node]:
    """The objects in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def observations(resource: Node) -> list[Node]:
    """The Observation that it is, and those in its bundle or contained in it, in their order."""
    found, waiting = [], [resource]
    for node in waiting:  # it grows while it is walked
        if node.get("resourceType") == "Observation":
            found.append(node)
        entries = [entry.get("resource") for entry in nodes(node.get("entry"))]
        waiting += [*nodes(node.get("contained")), *nodes(entries)]
    return found


def _from_xml(element: Any) -> Node:
    return {"resourceType": local_name(element)} | _members(element)


def _members(element: Any) -> Node:
    members: Node = {}
    for child in element:
        if not str(child.tag).startswith(f"{{{_NAMESPACE}}}"):
            continue  # the narrative is XHTML
        name, value = local_name(child), _value(child)
        if name in _REPEATED:
            members.setdefault(name, []).append(value)
        else:
            members[name] = value
    return members


def _value(element: Any) -> Any:
    if local_name(element) in _HOLDERS:
        return _from_xml(element[0]) if len(element) else {}
    text = element.get("value")
    return _members(element) if text is None else text
