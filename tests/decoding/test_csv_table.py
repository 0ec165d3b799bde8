"""CSV: the dialects that people export, made of one real recording."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.errors import (
    CorruptedData,
    InvalidFormat,
    InvalidParameter,
    InvalidSignal,
    MissingParameter,
    PayloadTooLarge,
)
from serve_app.recording import STANDARD_LEADS, Recording

FS = Hints(fs_hz=1000)


def table(signal: np.ndarray, header: str = "", *, mark: str = ",", first=None) -> str:
    """Lines of numbers under a header; `first` makes a leading cell of the sample's index."""
    lines = [header] if header else []
    for i, row in enumerate(signal.T.tolist()):
        cells = [repr(value) for value in row]
        lines.append(mark.join([first(i), *cells] if first else cells))
    return "\n".join(lines) + "\n"


def names(mark: str = ",", leads: tuple[str, ...] = STANDARD_LEADS) -> str:
    return mark.join(leads)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_header_and_delimiters(short: np.ndarray, mark: str) -> None:
    decoded = decode(table(short, names(mark), mark=mark).encode(), FS)
    assert_array_equal(decoded.signal_mv, short)
    assert (decoded.leads, decoded.fs_hz, decoded.format) == (STANDARD_LEADS, 1000, "csv")
    assert decoded.units_assumed


@pytest.mark.parametrize("mark", [";", "\t"])
def test_decimal_comma(short: np.ndarray, mark: str) -> None:
    text = table(short, names(mark), mark=mark, first=None).replace(".", ",")
    assert_array_equal(decode(text.encode(), FS).signal_mv, short)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\n\n"])
def test_line_endings(short: np.ndarray, ending: str) -> None:
    text = table(short, names()).replace("\n", ending)
    assert_array_equal(decode(text.encode(), FS).signal_mv, short)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(short: np.ndarray, encoding: str) -> None:
    header = names(leads=tuple(f"{lead} (µV)" for lead in STANDARD_LEADS))
    decoded = decode(table(short * 1000, header).encode(encoding), FS)
    assert_allclose(decoded.signal_mv, short, rtol=1e-6)
    assert not decoded.units_assumed


def test_no_header_is_the_standard_order(short: np.ndarray) -> None:
    decoded = decode(table(short).encode(), FS)
    assert decoded.leads == STANDARD_LEADS
    assert_array_equal(decoded.signal_mv, short)


def test_no_header_and_other_leads_must_be_named(short: np.ndarray) -> None:
    text = table(short[:3]).encode()
    with pytest.raises(MissingParameter) as caught:
        decode(text)
    assert caught.value.extra == {"parameters": ["fs_hz", "leads"]}
    decoded = decode(text, Hints(fs_hz=1000, leads=("II", "I", "MLII")))
    assert decoded.leads == ("I", "II", "MLII")
    assert_array_equal(decoded.signal_mv[1], short[0])


@pytest.mark.parametrize(
    ("header", "first"),
    [
        ("time", lambda i: f"{i / 1000:.3f}"),
        ("Time (s)", lambda i: repr(i / 1000 + 5)),
        ("time [ms]", str),
        ("t_ms", str),
        ("ms", lambda i: f"{i}.0"),
        ("timestamp", lambda i: repr(1.7e9 + i / 1000)),
        ("Elapsed time", lambda i: f"'0:{i / 1000:06.3f}'"),
    ],
)
def test_time_column_gives_the_rate(short: np.ndarray, header: str, first) -> None:
    text = table(short, f"{header},{names()}", first=first).encode()
    decoded = decode(text)
    assert decoded.fs_hz == 1000
    assert_array_equal(decoded.signal_mv, short)
    with pytest.raises(InvalidParameter):
        decode(text, Hints(fs_hz=500))


def test_time_rounded_to_milliseconds(short: np.ndarray) -> None:
    text = table(short, f"time,{names()}", first=lambda i: f"{i / 360:.3f}").encode()
    assert decode(text).fs_hz == 360


def test_time_column_without_header(short: np.ndarray) -> None:
    decoded = decode(table(short, first=lambda i: f"{i * 0.002:.3f}").encode())
    assert (decoded.fs_hz, decoded.leads) == (500, STANDARD_LEADS)


@pytest.mark.parametrize("header", ["'sample #'", "index", "", "#", "time"])
def test_index_column_is_no_lead_and_no_time(short: np.ndarray, header: str) -> None:
    text = table(short[:2], f"{header},'MLII','V5'", first=str).encode()
    with pytest.raises(MissingParameter):
        decode(text)
    decoded = decode(text, Hints(fs_hz=360))
    assert decoded.leads == ("V5", "MLII")
    assert_array_equal(decoded.signal_mv, short[[1, 0]])


def test_pandas_without_names(short: np.ndarray) -> None:
    numbers = ",".join(map(str, range(12)))
    for text in (table(short, numbers), table(short, f",{numbers}", first=str)):
        assert_array_equal(decode(text.encode(), FS).signal_mv, short)


def test_units_row(short: np.ndarray) -> None:
    header = f"'Elapsed time',{names()}\n'hh:mm:ss.mmm'{',uV' * 12}"
    decoded = decode(table(short * 1000, header, first=lambda i: f"0:00:{i / 1000:.3f}").encode())
    assert decoded.fs_hz == 1000
    assert_allclose(decoded.signal_mv, short, rtol=1e-6)


@pytest.mark.parametrize("name", ["II (uV)", "II_uV", "II [µV]", "ecg_II_uV", "Lead II uV"])
def test_unit_in_the_name(short: np.ndarray, name: str) -> None:
    decoded = decode(table(short[:1] * 1000, f"t_ms,{name}", first=str).encode())
    assert decoded.leads == ("II",)
    assert_allclose(decoded.signal_mv, short[:1], rtol=1e-6)


def test_hinted_units(short: np.ndarray) -> None:
    text = table(short * 1000, names()).encode()
    decoded = decode(text, Hints(fs_hz=1000, units="uV"))
    assert_allclose(decoded.signal_mv, short, rtol=1e-6)
    assert not decoded.units_assumed
    named = text.replace(b"I,", b"I (mV),", 1)
    with pytest.raises(InvalidParameter):
        decode(named, Hints(fs_hz=1000, units="uV"))


def test_columns_of_other_quantities_are_left_out(short: np.ndarray) -> None:
    text = table(short[:3], "time_ms,II (mV),ABP (mmHg),V5 (mV)", first=str).encode()
    assert decode(text).leads == ("II", "V5")
    with pytest.raises(InvalidSignal):
        decode(table(short[:1], "ABP (mmHg)").encode(), FS)


def test_empty_cells_are_missing_samples(short: np.ndarray) -> None:
    lines = table(short, names()).split("\n")
    lines[3] = ",".join(["", "NA", "null", "-", "NaN", *lines[3].split(",")[5:]])
    decoded = decode("\n".join(lines).encode(), FS)
    assert np.isnan(decoded.signal_mv[:5, 2]).all()
    assert np.isnan(decoded.signal_mv).sum() == 5


def test_lines_that_end_in_a_delimiter(short: np.ndarray) -> None:
    for header in ("", names()):
        text = table(short, header).replace("\n", ",\n")
        assert_array_equal(decode(text.encode(), FS).signal_mv, short)


def test_quoted_numbers(short: np.ndarray) -> None:
    text = "\n".join('"' + line.replace(",", '","') + '"' for line in table(short).split())
    assert_array_equal(decode(text.encode(), FS).signal_mv, short)


@pytest.mark.parametrize(
    "times",
    [
        lambda i: f"{(i + (i > 300)) / 1000:.3f}",  # a sample is missing
        lambda i: f"{(i + 0.2 * (i % 2)) / 1000:.5f}",  # jitter
        lambda i: f"{i / 1000:.2f}",  # too coarse
        lambda i: f"{-i / 1000:.3f}",
        lambda _: "5.0",
    ],
)
def test_irregular_times_are_refused(short: np.ndarray, times) -> None:
    with pytest.raises(InvalidSignal):
        decode(table(short, f"time,{names()}", first=times).encode())


@pytest.mark.parametrize("damage", ["0.1,0.2", "0.1," * 11 + "patient", ",".join(["1.2.3"] * 12)])
def test_damaged_line(short: np.ndarray, damage: str) -> None:
    lines = table(short, names()).split("\n")
    lines[100] = damage
    with pytest.raises(CorruptedData) as caught:
        decode("\n".join(lines).encode(), FS)
    assert "patient" not in str(caught.value)


def test_a_lead_named_twice(short: np.ndarray) -> None:
    with pytest.raises(InvalidSignal):
        decode(table(short[:2], "II,ii").encode(), FS)


@pytest.mark.parametrize(
    "text",
    [
        "record,age,sex\nA0001,71,M\n",
        "just a text\n",
        "I,II,III\n",
        "a\nb\nc\n1,2\n",
        "I,II\n1,2,3,4\n",
        (",".join(["1"] * 300) + "\n") * 300,
    ],
)
def test_what_is_no_table_of_leads(text: str) -> None:
    for content_type in ("text/csv; charset=utf-8", "application/octet-stream"):
        with pytest.raises((InvalidFormat, CorruptedData, InvalidSignal)):
            decode(Upload((("", text.encode()),), content_type), FS)


def test_limits(short: np.ndarray) -> None:
    text = table(short, names()).encode()
    for limits in (Limits(max_text_bytes=1000), Limits(max_samples=7000)):
        with pytest.raises(PayloadTooLarge):
            decode(text, FS, limits)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("ending", ["\n", "\r\n", None])
def test_a_line_for_each_lead(short: np.ndarray, mark: str, named: bool, ending) -> None:
    heads = [[f"{lead} (mV)"] if named else [] for lead in STANDARD_LEADS]
    rows = zip(heads, short.tolist(), strict=True)
    lines = [mark.join([*head, *map(repr, row)]) for head, row in rows]
    text = (ending or f"{mark}\n").join(lines) + (ending or "")
    if mark != ",":
        text = text.replace(".", ",")
    decoded = decode(text.encode(), FS)
    assert_array_equal(decoded.signal_mv, short)
    assert (decoded.leads, decoded.units_assumed) == (STANDARD_LEADS, not named)


@pytest.mark.parametrize("index", [True, False])
def test_pandas_with_a_line_for_each_lead(short: np.ndarray, index: bool) -> None:
    lines = [list(range(short.shape[1])), *short.tolist()]
    heads = ["", *range(12)] if index else [None] * 13
    rows = [
        [*([] if head is None else [head]), *line] for head, line in zip(heads, lines, strict=True)
    ]
    text = "\n".join(",".join(map(str, row)) for row in rows)
    assert_array_equal(decode(text.encode(), FS).signal_mv, short)


def test_a_line_for_time(short: np.ndarray) -> None:
    rows = [("t_ms", range(600)), ("II", short[1].tolist()), ("V5 (mmHg)", range(600))]
    text = "\n".join(",".join([head, *map(str, row)]) for head, row in rows)
    decoded = decode(text.encode())
    assert (decoded.fs_hz, decoded.leads) == (1000, ("II",))


@pytest.mark.parametrize("damage", ["0.1,0.2", "0.1," * 599 + "patient", ",".join(["1"] * 601)])
def test_damaged_line_of_a_lead(short: np.ndarray, damage: str) -> None:
    lines = [",".join(map(repr, row)) for row in short.tolist()]
    lines[5] = damage
    with pytest.raises(CorruptedData) as caught:
        decode("\n".join(lines).encode(), FS)
    assert "patient" not in str(caught.value)


@pytest.mark.parametrize("header", ["# I,V1", "% I,V1", "#I,V1"])
def test_names_behind_a_comment_mark(short: np.ndarray, header: str) -> None:
    assert decode(table(short[:2], header).encode(), FS).leads == ("I", "V1")


WATCH = """Name,"Jane Roe"
Date of Birth,"Jan 1, 1970"
Recorded Date,2019-03-28 12:00:00 +0100
Classification,Sinus Rhythm
Symptoms,
Software Version,1.31
Device,"Watch4,2"
Sample Rate,512.5 hertz


Lead,Lead I
Unit,\u00b5V


"""
GERMAN = (
    WATCH.replace("Name", "Name der Person", 1)
    .replace("Sample Rate,512.5 hertz", "Messrate,512,5 Hertz")
    .replace("Lead,Lead I", "Ableitung,Ableitung I")
    .replace("Unit", "Einheit")
)
JAPANESE = WATCH.replace("Sample Rate,512.5 hertz", "サンプルレート,512.5ヘルツ").replace(
    "Lead,Lead I", "誘導,I誘導"
)


@pytest.mark.parametrize("header", [WATCH, GERMAN, JAPANESE, WATCH.replace(",", ";")])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_apple_health(short: np.ndarray, header: str, decimal: str, ending: str) -> None:
    samples = "\n".join(f"{value:.3f}".replace(".", decimal) for value in short[0] * 1000)
    for encoding in ("utf-8", "utf-8-sig"):
        text = (header + samples + "\n").replace("\n", ending).encode(encoding)
        for content_type in ("text/csv", "application/octet-stream"):
            decoded = decode(Upload((("", text),), content_type))
            assert (decoded.format, decoded.fs_hz, decoded.leads) == ("apple_health", 512.5, ("I",))
            assert not decoded.units_assumed
            assert_allclose(decoded.signal_mv, short[:1], atol=1e-6)
    assert "Roe" not in repr(decoded)


@pytest.mark.parametrize("line", ["Jane Roe", "1.2.3", "1 2", "1_000"])
def test_damaged_apple_health(line: str) -> None:
    with pytest.raises(CorruptedData) as caught:
        decode((WATCH + "1.5\n" * 20 + line + "\n").encode())
    assert "Roe" not in str(caught.value)


def test_apple_health_limits() -> None:
    with pytest.raises(PayloadTooLarge):
        decode((WATCH + "1.5\n" * 2000).encode(), limits=Limits(max_samples=1000))
    with pytest.raises(InvalidParameter):
        decode((WATCH + "1.5\n" * 2000).encode(), Hints(fs_hz=500))


def test_watch_layouts_agree(data_dir: Path) -> None:
    """The same samples under Apple's header, under a localised one, and under the owner's."""
    plain = decode_path(
        data_dir / "formats/applewatch/ecg_2019-03-28.csv",
        Hints(fs_hz=510.467, units="uV", leads=("I",)),
    )
    assert 0.1 < np.ptp(plain.signal_mv) < 10
    for name in ("en", "decimal_comma"):
        watch = decode_path(data_dir / f"derived/applewatch/ecg_native_header_{name}.csv")
        assert (watch.format, watch.fs_hz, watch.leads) == ("apple_health", 510.467, ("I",))
        assert_array_equal(watch.signal_mv, plain.signal_mv)


def test_one_column_without_header(data_dir: Path) -> None:
    hints = Hints(fs_hz=360, leads=("MLII",))
    for path in (data_dir / "beats/nstdb_csv").glob("118e*[0-9].csv"):
        assert_array_equal(decode_path(path, hints).signal_mv[0], np.loadtxt(path, np.float32))


def test_sampling_rates_that_cannot_be(recording: Recording, short: np.ndarray) -> None:
    text = table(short, names()).encode()
    for fs_hz in (0.5, 1e6):
        with pytest.raises(InvalidSignal):
            decode(text, Hints(fs_hz=fs_hz))
