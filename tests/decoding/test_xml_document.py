"""XML: recognised by its root, in any usual encoding, and no attack gets past the parser."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from serve_app.decoding import Limits, Upload, decode
from serve_app.decoding.upload import DEFAULT_LIMITS
from serve_app.decoding.xml_document import local_name, looks_like_xml, parse_xml, root_name
from serve_app.errors import CorruptedData, EcgServeError, InvalidFormat, PayloadTooLarge

NAMESPACED = {
    "RestingECG": "<RestingECG>",
    "restingecgdata": '<restingecgdata xmlns="http://www3.medical.philips.com">',
    "AnnotatedECG": '<AnnotatedECG xmlns="urn:hl7-org:v3">',
    "Observation": '<Observation xmlns="http://hl7.org/fhir">',
}


def parsed(document: bytes, **options: bool):
    return parse_xml(document, DEFAULT_LIMITS, **options)


@pytest.mark.parametrize(
    "encoded",
    [
        "<a>\u00b5V</a>".encode(),
        b"\xef\xbb\xbf" + "<a>\u00b5V</a>".encode(),
        b'<?xml version="1.0" encoding="UTF-8"?>\n' + "<a>\u00b5V</a>".encode(),
        b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xb5V</a>",
        b'<?xml version = "1.0" encoding = "windows-1252"?><a>\xb5V</a>',
        '<?xml version="1.0" encoding="utf-16"?><a>\u00b5V</a>'.encode("utf-16"),
        '<?xml version="1.0" encoding="utf-16"?><a>\u00b5V</a>'.encode("utf-16-le"),
        "<a>\u00b5V</a>".encode("utf-16-be"),
        b"\xfe\xff" + "<a>\u00b5V</a>".encode("utf-16-be"),
        # Converted, but its declaration was not.
        '<?xml version="1.0" encoding="utf-16"?><a>\u00b5V</a>'.encode(),
        b'\n <?xml version="1.0"?><!-- \xc2\xb5 --><!DOCTYPE a SYSTEM "a.dtd"><a>&#181;V</a>\n',
    ],
)
def test_encodings(encoded: bytes) -> None:
    assert looks_like_xml(encoded)
    assert root_name(encoded) == "a"
    assert parsed(encoded).text == "\u00b5V"


@pytest.mark.parametrize("name", ["UTF-7", "ebcdic-cp-us", "utf-32", "x"])
def test_other_encodings(name: str) -> None:
    with pytest.raises(InvalidFormat, match="encoding"):
        parsed(f'<?xml version="1.0" encoding="{name}"?><a/>'.encode())


@pytest.mark.parametrize(
    "body", [b"<", b"< a/>", b"<<a/>", b"1<2", b"", b"a", b"<1/>", b"\xff\xfe", b"-<a/>"]
)
def test_what_is_no_xml(body: bytes) -> None:
    assert not looks_like_xml(body)
    assert root_name(body) == ""
    with pytest.raises(InvalidFormat, match="no XML"):
        parsed(body)


def test_names_are_local() -> None:
    assert root_name(b'<f:Bundle xmlns:f="http://hl7.org/fhir"/>') == "Bundle"
    assert local_name(parsed(b'<f:Bundle xmlns:f="http://hl7.org/fhir"/>')) == "Bundle"


LAUGHS = '<!DOCTYPE {root} [<!ENTITY a "ha">{more}]>'
MORE = "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
ATTACKS = {
    "billion laughs": LAUGHS.replace("{more}", MORE) + "{tag}<x>&i;</x>",
    "quadratic": '<!DOCTYPE {root} [<!ENTITY i "' + "x" * 10_000 + '">]>{tag}' + "&i;" * 50_000,
    "in an attribute": LAUGHS.replace("{more}", MORE) + '{tag}<x y="&i;"/>',
    "a file": '<!DOCTYPE {root} [<!ENTITY i SYSTEM "file:///etc/passwd">]>{tag}<x>&i;</x>',
    "a parameter": '<!DOCTYPE {root} [<!ENTITY % i SYSTEM "http://127.0.0.1:9/">%i;]>{tag}',
    "a default": '<!DOCTYPE {root} [<!ATTLIST x y CDATA "z">]>{tag}<x/>',
    "late": "{tag}<!DOCTYPE {root} [<!ENTITY i 'x'>]><x>&i;</x>",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("root", NAMESPACED)
@pytest.mark.parametrize("attack", ATTACKS)
def test_entities_are_refused_unexpanded(attack: str, root: str, encoding: str) -> None:
    text = ATTACKS[attack].replace("{root}", root).replace("{tag}", NAMESPACED[root])
    started = time.process_time()
    with pytest.raises(InvalidFormat) as caught:
        decode(f"{text}</{root}>".encode(encoding))
    assert "defines entities" in str(caught.value)
    assert time.process_time() - started < 1


def test_a_dtd_is_not_fetched() -> None:
    asked = []

    class Recorder(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        dtd = f"http://127.0.0.1:{server.server_port}/a.dtd"
        include = '<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>'
        root = parsed(f'<!DOCTYPE a SYSTEM "{dtd}"><a>{include}</a>'.encode())
        server.shutdown()
    assert asked == []
    assert local_name(root[0]) == "include"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<a>" * 300 + b"</a>" * 300, InvalidFormat),
        (b"<a>" * 100_000, EcgServeError),
        (b"<a>" + b"<b/>" * 300_000 + b"</a>", PayloadTooLarge),
        (b"<a " + b" ".join(b"b%d=''" % i for i in range(300_000)) + b"/>", PayloadTooLarge),
        (b"<a>" + b"x" * 11_000_000 + b"</a>", PayloadTooLarge),
        (b"<a b='" + b"x" * 11_000_000 + b"'/>", PayloadTooLarge),
        (b"<!--" * 300_000, PayloadTooLarge),
        (b"<!---->" * 300_000 + b"<a/>", PayloadTooLarge),
        (b"<a>" + b"&" * 1_000_000 + b"</a>", PayloadTooLarge),
        (b"<?" + b"?" * 1_000_000, EcgServeError),
        (b"<a>" + b"]]>" * 300_000, EcgServeError),
    ],
)
def test_size_and_depth(body: bytes, error: type[EcgServeError]) -> None:
    started = time.process_time()
    with pytest.raises(error):
        parsed(body)
    root_name(body)
    assert time.process_time() - started < 2


def test_text_over_the_limit() -> None:
    with pytest.raises(PayloadTooLarge):
        parse_xml(b"<a>" + b" " * 1000 + b"</a>", Limits(max_text_bytes=1000))


@pytest.mark.parametrize(
    "body", [b"<a>", b"<a><b></b>", b"<a><b>1</b></", b"<a b='1", b"<a><b/>\n"]
)
@pytest.mark.parametrize("mend", [False, True])
def test_cut_short(body: bytes, mend: bool) -> None:
    with pytest.raises(CorruptedData, match="cut short"):
        parsed(body, mend=mend)


def test_utf_16_cut_within_a_character() -> None:
    with pytest.raises(CorruptedData, match="cut short"):
        parsed("<a>1</a>".encode("utf-16")[:-1])
    with pytest.raises(InvalidFormat):
        parsed(b"\xff\xfe" + b"\0\xd8\0\xd8" * 9)


@pytest.mark.parametrize("text", [b"R & D", b"a&b;", b"&nbsp;", b"&#xQ;", b"&", b"P&amp;Q & R"])
def test_bare_ampersands_are_mended_only_on_demand(text: bytes) -> None:
    document = b"<a>" + text + b"</a>"
    assert parsed(document, mend=True).text.encode() == text.replace(b"&amp;", b"&")
    with pytest.raises(InvalidFormat, match="near line 1"):
        parsed(document)


def test_other_faults_are_mended_around() -> None:
    document = b"<a>\n<b>QTc <450 ms</b><c>1</c>\n<d>\xb5V</d><e>2</e></a>"
    root = parsed(document, mend=True)
    assert root.findtext(".//c") == "1"
    with pytest.raises(InvalidFormat, match="near line 2"):
        parsed(document)


@pytest.mark.parametrize("kind", ["text/xml", "application/xml; charset=utf-8", ""])
@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<?xml version='1.0'?><CardiologyXML/>", "CardioSoft"),
        (b"<HealthData locale='de_DE'>", "electrocardiograms"),
        (b"<!DOCTYPE html>\n<html lang='en'>", "HTML"),
        ("<ClinicalDocument/>".encode("utf-16"), "CDA"),
        (b"<EcgDocument name='Jane'/>", r"not read here\.$"),
        (b'<!DOCTYPE a [<!ENTITY a "' + b"x" * 99_999 + b'">]><a/>', r"not read here\.$"),
        (b"<!-- no root", r"not read here\.$"),
        (b'<Observation xmlns="urn:other"/>', r"not read here\.$"),
    ],
)
def test_other_xml_is_named_where_known(kind: str, body: bytes, what: str) -> None:
    with pytest.raises(InvalidFormat, match=what) as caught:
        decode(Upload((("", body),), kind))
    assert "HL7 aECG" in caught.value.hint
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("kind", ["text/xml", "application/xml"])
def test_any_xml_under_the_general_type(data_dir: Path, kind: str) -> None:
    for name, found in [
        ("muse/braveheart_example1.xml", "muse"),
        ("philips/sierra_1_04_01.xml", "philips"),
        ("aecg/Example.xml", "aecg"),
        ("fhir/observation-example-sample-data.xml", "fhir"),
    ]:
        body = (data_dir / "formats" / name).read_bytes()
        assert decode(Upload((("", body),), kind)).format == found
        with pytest.raises(InvalidFormat, match="Content-Type says DICOM, but the body looks like"):
            decode(Upload((("", body),), "application/dicom"))


def test_fhir_type_is_for_fhir_alone(data_dir: Path) -> None:
    body = (data_dir / "formats/aecg/Example.xml").read_bytes()
    with pytest.raises(InvalidFormat, match="Content-Type says FHIR, but the body looks like HL7"):
        decode(Upload((("", body),), "application/fhir+xml"))
    with pytest.raises(InvalidFormat, match="looks like JSON"):
        decode(Upload((("", b'{"leads": {}}'),), "application/fhir+json"))
    with pytest.raises(InvalidFormat, match="looks like JSON"):
        decode(Upload((("", b'{"leads": {}}'),), "text/xml"))
