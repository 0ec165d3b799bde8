"""One body with many recordings: what belongs together, and what is refused as a whole."""

import io
import zipfile

import pytest

from serve_app.decoding import Limits, Upload, decode, split_batch
from serve_app.decoding.json_list import element_spans
from serve_app.errors import EcgServeError, InvalidFormat, PayloadTooLarge, UnsupportedMediaType

LIMITS = Limits()


def zipped(files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return archive.getvalue()


def grouped(files, most=100):
    """{name: the files of that recording}, the same as a zip and as a multipart body."""
    split = [
        split_batch(Upload(tuple(files.items())), LIMITS, most),
        split_batch(Upload((("", zipped(files)),)), LIMITS, most),
    ]
    sent, packed = (
        [(item.name, sorted(content for _, content in item.read().files)) for item in items]
        for items in split
    )
    assert sent == packed
    return sent


def test_a_header_gathers_its_files_and_others_stand_alone():
    header = b"100 1 500 10\n100.dat 16 200 16 0 0 0 0 I\n"
    files = {
        "a.csv": b"csv",
        "x/100.dat": b"xd",
        "x/100.hea": header,
        "y/100.hea": header,
        "y/100.dat": b"yd",
        "b.dcm": b"dcm",
        "x/100.atr": b"xa",
        "lone.dat": b"ld",
    }
    assert grouped(files) == [
        ("a.csv", [b"csv"]),
        ("x/100", sorted([b"xd", header, b"xa"])),
        ("y/100", sorted([header, b"yd"])),
        ("b.dcm", [b"dcm"]),
        ("lone.dat", [b"ld"]),
    ]


def test_a_header_gathers_files_of_other_names():
    header = b"rec 2 500 10\nleft.dat 16 200 16 0 0 0 0 I\nright.dat 16 200 16 0 0 0 0 II\n"
    files = {"left.dat": b"l", "rec.hea": header, "right.dat": b"r", "other.dat": b"o"}
    assert grouped(files) == [("rec", sorted([b"l", header, b"r"])), ("other.dat", [b"o"])]


def test_a_real_record_of_many_segments_is_one_recording(data_dir):
    folder = data_dir / "formats" / "wfdb"
    header = next(
        path
        for path in sorted(folder.rglob("*.hea"))
        if "/" in path.read_text(errors="replace").split(maxsplit=1)[0]
    )
    files = {path.name: path.read_bytes() for path in sorted(header.parent.glob("*"))}
    (whole,) = [
        item
        for item in split_batch(Upload((("", zipped(files)),)), LIMITS, 1000)
        if item.name == header.stem
    ]
    assert len(whole.read().files) > 2
    decode(whole.read())


def test_a_damaged_header_gathers_by_name():
    files = {"r.hea": b"no header at all", "r.dat": b"d"}
    assert [name for name, _ in grouped(files)] == ["r"]


def test_headers_that_name_absurdly_many_files_are_refused():
    header = "\n".join(["rec/900 1 500", *(f"s{i} 10" for i in range(900))]).encode()
    files = {f"{i}.hea": header for i in range(8)}
    with pytest.raises(InvalidFormat, match="far more files"):
        split_batch(Upload((("", zipped(files)),)), LIMITS, 100)
    few = dict(list(files.items())[:2])
    assert [name for name, _ in grouped(few)] == ["0", "1"]


def test_headers_that_name_each_other_are_told_when_decoded():
    files = {"a.hea": b"a/1 1 500\nb 10\n", "b.hea": b"b/1 1 500\na 10\n"}
    for item in split_batch(Upload((("", zipped(files)),)), LIMITS, 5):
        with pytest.raises(EcgServeError):
            decode(item.read())


def test_names_are_shown_printable_and_short():
    (item,) = split_batch(Upload((("e\nvil\x00" + "x" * 500 + ".csv", b"1"),)), LIMITS, 5)
    assert len(item.name) == 200
    assert item.name.isprintable()


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        (b"[1]", [b"1"]),
        (b' [ {"a": [1, 2]} , {"b": "],["} ]\n', [b'{"a": [1, 2]}', b'{"b": "],["}']),
        (b'[{"a\\"]": 1}, "x,y", [3, [4]]]', [b'{"a\\"]": 1}', b'"x,y"', b"[3, [4]]"]),
        (b"\xef\xbb\xbf[{}]", [b"{}"]),
        (b"[]", []),
    ],
)  # fmt: skip
def test_elements_of_an_array(text, elements):
    assert [text[a:b].strip() for a, b in element_spans(text, 10)] == elements


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"[1, 2", InvalidFormat),
        (b"[1,, 2]", InvalidFormat),
        (b"[,1]", InvalidFormat),
        (b"[1] 2", InvalidFormat),
        (b"x [1]", InvalidFormat),
        (b'["' + b'\\"' * 300_000, InvalidFormat),
        (b"[" * 300_000, InvalidFormat),
        (b"[" * 700_000, PayloadTooLarge),
        (b"[" + b"1," * 300_000 + b"1]", PayloadTooLarge),
        (b"[" + b"," * 300_000, InvalidFormat),
    ],
)
def test_arrays_that_are_none_take_no_time(text, kind):
    with pytest.raises(kind):
        element_spans(text, 10)


@pytest.mark.parametrize(
    ("files", "kind", "error"),
    [
        ((("", b""),), "application/octet-stream", InvalidFormat),
        ((("", b"[]"),), "application/json", InvalidFormat),
        ((("", b'{"fs_hz": 500}'),), "application/json", InvalidFormat),
        ((("", b"DICM"),), "application/octet-stream", InvalidFormat),
        ((("", b"x"),), "text/html", UnsupportedMediaType),
        ((("", zipped({"a.csv": b"1"})[:50]),), "application/zip", EcgServeError),
        ((("", zipped({"../a.csv": b"1"})),), "application/zip", InvalidFormat),
        ((("", zipped({})),), "application/zip", InvalidFormat),
        ((("", b"[{}, {}, {}, {}]"),), "application/json", PayloadTooLarge),
        (tuple((f"{i}.csv", b"1") for i in range(4)), "multipart/form-data", PayloadTooLarge),
        ((("", zipped({f"{i}.csv": b"1" for i in range(4)})),), "", PayloadTooLarge),
        ((("", zipped({f"{i}.csv": b"1" for i in range(90)})),), "", PayloadTooLarge),
    ],
)
def test_bodies_that_are_no_batch(files, kind, error):
    with pytest.raises(error):
        split_batch(Upload(files, kind), LIMITS, 3)


def test_each_recording_is_bounded_not_the_archive():
    limits = Limits(max_unpacked_bytes=1 << 20)
    archive = zipped({"a.csv": bytes(1 << 20), "b.csv": bytes((1 << 20) + 1), "c.csv": b"1"})
    a, b, c = split_batch(Upload((("", archive),)), limits, 3)
    assert len(a.read().files[0][1]) == 1 << 20
    with pytest.raises(PayloadTooLarge):
        b.read()
    assert c.read().files == (("c.csv", b"1"),)
