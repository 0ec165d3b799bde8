"""JSON: both forms, and one answer that names all that is wrong."""

import json
import time
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic_core import from_json

from serve_app.decoding import Hints, Limits, decode
from serve_app.errors import (
    InvalidFormat,
    InvalidParameter,
    InvalidSignal,
    MissingParameter,
    PayloadTooLarge,
    SchemaViolation,
)
from serve_app.recording import STANDARD_LEADS


def fields(caught: pytest.ExceptionInfo[SchemaViolation]) -> list[str]:
    return [error["field"] for error in caught.value.extra["errors"]]


@pytest.mark.parametrize(
    "text",
    [
        b'{"fs_hz": 500, "fs_hz": 250, "leads": {"II": [%s]}}',
        b'{"fs_hz": 500, "leads": {"II": [%s], "II": [0.5, 0.5]}}',
        b'{"fs_hz": 500, "leads": {"II": [%s], "II": [NaN]}}',
    ],
)
def test_members_of_one_name_are_refused(text):
    with pytest.raises(SchemaViolation, match="more than once"):
        decode(text % b", ".join([b"0.25"] * 600))


def test_leads_form(short: np.ndarray, made: ModuleType) -> None:
    decoded = decode(made.json(short, STANDARD_LEADS))
    assert_array_equal(decoded.signal_mv, short)
    assert (decoded.fs_hz, decoded.leads, decoded.format) == (1000, STANDARD_LEADS, "json")
    assert not decoded.units_assumed


def test_signal_form(short: np.ndarray) -> None:
    body = {"fs_hz": 1000.0, "units": "uV", "signal": (short[:2] * 1000).tolist()}
    decoded = decode(json.dumps(body | {"lead_names": ["Lead II", "v5"]}).encode())
    assert decoded.leads == ("II", "V5")
    assert_allclose(decoded.signal_mv, short[:2], rtol=1e-6)
    assert decode(json.dumps(body).encode(), Hints(leads=("I", "II"))).leads == ("I", "II")


def test_byte_order_mark_and_blanks(short: np.ndarray, made: ModuleType) -> None:
    text = made.json(short, STANDARD_LEADS)
    for body in (b"\xef\xbb\xbf" + text, b"\n\t " + text + b"\n"):
        assert_array_equal(decode(body).signal_mv, short)


def test_units_default_to_millivolts_and_say_so() -> None:
    body = b'{"fs_hz": 500, "leads": {"I": [0.5, 1, null, NaN, -Infinity]}}'
    decoded = decode(body)
    assert decoded.units_assumed
    assert_array_equal(decoded.signal_mv, np.float32([[0.5, 1, np.nan, np.nan, -np.inf]]))
    in_uv = decode(body, Hints(units="uV"))
    assert in_uv.signal_mv[0, 0] == np.float32(0.0005)
    assert not in_uv.units_assumed


def test_rate_from_the_query() -> None:
    body = b'{"leads": {"I": [1, 2]}}'
    with pytest.raises(MissingParameter, match="fs_hz"):
        decode(body)
    assert decode(body, Hints(fs_hz=250)).fs_hz == 250


def test_contradicting_hint() -> None:
    with pytest.raises(InvalidParameter):
        decode(b'{"fs_hz": 500, "leads": {"I": [1, 2]}}', Hints(fs_hz=501))


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ('{"fs_hz": 500}', ["leads"]),
        ('{"leads": {"I": [1]}, "signal": [[1]]}', ["leads"]),
        ('{"leads": {"I": [1]}, "lead_names": ["I"]}', ["lead_names"]),
        ('{"leads": [[1]]}', ["leads"]),
        ('{"leads": {"I": 1, "II": [1], "V1": "x"}}', ["leads.I", "leads.V1"]),
        ('{"leads": {"I": ["1"]}}', ["leads.I"]),
        ('{"leads": {"I": [true]}}', ["leads.I"]),
        ('{"leads": {"I": [[1]]}}', ["leads.I"]),
        ('{"signal": [1, 2], "lead_names": "I"}', ["lead_names", "signal.0", "signal.1"]),
        ('{"signal": {"I": [1]}}', ["signal"]),
        ('{"signal": [[1]], "lead_names": [1]}', ["lead_names"]),
        ('{"fs_hz": "500", "units": "mmHg", "patient": "x", "leads": {"I": [1]}}',
         ["fs_hz", "patient", "units"]),
        ('{"fs_hz": true, "leads": {"I": [1]}}', ["fs_hz"]),
        ('{"fs_hz": 0, "leads": {"I": [1]}}', ["fs_hz"]),
        ('{"fs_hz": NaN, "leads": {"I": [1]}}', ["fs_hz"]),
        ("[[1, 2]]", ["body"]),
        ('{"leads": {"I": ' + "[" * 2000 + "]" * 2000 + "}}", ["body"]),
    ],
)  # fmt: skip
def test_schema(body: str, wrong: list[str]) -> None:
    with pytest.raises(SchemaViolation) as caught:
        decode(body.encode())
    assert fields(caught) == wrong
    assert "patient: x" not in str(caught.value)


@pytest.mark.parametrize("body", ["{", '{"leads": {"I": [1, 2', "{'leads': 1}", "[" * 500, "{]}"])
def test_syntax(body: str) -> None:
    with pytest.raises(InvalidFormat, match="line 1 column"):
        decode(body.encode())


def test_unequal_and_empty_leads() -> None:
    with pytest.raises(InvalidSignal, match="from 1 to 2"):
        decode(b'{"fs_hz": 500, "leads": {"I": [1, 2], "II": [1]}}')
    for body in (b'{"fs_hz": 1, "leads": {}}', b'{"fs_hz": 1, "leads": {"I": []}}'):
        with pytest.raises(InvalidSignal, match="no samples"):
            decode(body)


def test_transposed_signal(short: np.ndarray) -> None:
    body = {"fs_hz": 1000, "lead_names": list(STANDARD_LEADS), "signal": short.T[:20].tolist()}
    with pytest.raises(InvalidSignal, match="12 lead names"):
        decode(json.dumps(body).encode())


def test_numbers_beyond_all_bounds() -> None:
    head, tail = b'{"fs_hz": 500, "leads": {"I": [', b"]}}"
    assert np.isinf(decode(head + b"1e400, 1e39" + tail).signal_mv).all()
    for first in (b"", b"null, "):
        with pytest.raises(InvalidSignal):
            decode(head + first + b"1" + b"0" * 400 + tail)
    with pytest.raises(InvalidFormat):
        decode(head + b"1" * 100_000 + tail)


def test_limits(short: np.ndarray, made: ModuleType) -> None:
    body = made.json(short, STANDARD_LEADS)
    for limits in (Limits(max_text_bytes=1000), Limits(max_samples=7000)):
        with pytest.raises(PayloadTooLarge):
            decode(body, limits=limits)


@pytest.mark.parametrize("form", ["leads", "signal"])
@pytest.mark.parametrize("last", ["0.25", "null", "NaN", "-Infinity", "1e400", "7", "-0"])
def test_both_parsers_read_alike(form: str, last: str) -> None:
    row = f"[0.1, 2e-3, 12345678901234567, {last}]"
    samples = f'{{"I": {row}, "II": {row}}}' if form == "leads" else f"[{row}, {row}]"
    body = f'{{"fs_hz": 500, "{form}": {samples}}}'
    expected = np.array(from_json(row), np.float64).astype(np.float32)
    for text in (body, body.replace("0.1", "NaN, 0.1")):  # NaN is for the slower parser alone
        decoded = decode(text.encode(), Hints(leads=("I", "II")))
        assert_array_equal(decoded.signal_mv[1][-4:], expected)


# As long as rows are that the core takes out of the text.
LONG = [0.25 * n for n in range(40)]


@pytest.mark.parametrize("last", ["0.25", "null", "NaN", "1e400", "12345678901234567890", "-0"])
@pytest.mark.parametrize("form", ["leads", "signal"])
def test_long_rows_are_read_as_short_ones_are(form: str, last: str) -> None:
    rows = [json.dumps(LONG), json.dumps(LONG)[:-1] + f", {last}]", "[1, 2]"]
    for these in (rows[:1], rows[1:2], rows[:2], rows):
        names = STANDARD_LEADS[: len(these)]
        leads = ",".join(f'"{name}": {row}' for name, row in zip(names, these, strict=True))
        text = f"{{{leads}}}" if form == "leads" else f"[{','.join(these)}]"
        body = f'{{"{form}": {text}, "fs_hz": 500}}'.encode()
        expected = [np.array(from_json(row), np.float64).astype(np.float32) for row in these]
        if len({len(row) for row in expected}) > 1:
            with pytest.raises(InvalidSignal, match="differ in length"):
                decode(body, Hints(leads=names))
        else:
            assert_array_equal(decode(body, Hints(leads=names)).signal_mv, expected)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"leads": {"I": LONG, "II": None}}, ["leads.II"]),
        ({"leads": {"I": LONG}, "units": LONG}, ["units"]),
        ({"leads": LONG}, ["leads"]),
        ({"signal": LONG}, ["signal.0"]),
        ({"signal": [None], "lead_names": LONG}, ["lead_names", "signal.0"]),
        ({"signal": [LONG], "lead_names": LONG}, ["lead_names"]),
        ({"signal": [LONG], "leads": {"I": LONG}}, ["leads"]),
        ({"signal": [[LONG]]}, ["signal.0"]),
        ({"signal": [LONG], "fs_hz": LONG}, ["fs_hz"]),
        ({"signal": [LONG], "patient": LONG}, ["patient"]),
        (LONG, ["body"]),
    ],
)
def test_long_rows_in_the_wrong_place(body: object, wrong: list[str]) -> None:
    with pytest.raises(SchemaViolation) as caught:
        decode(json.dumps(body).encode())
    assert [field for field in fields(caught) if field.count(".") < 2][: len(wrong)] == wrong


def test_names_of_long_rows() -> None:
    told = json.dumps({"leads": {"null": LONG, json.dumps(LONG): LONG[::-1], "II": LONG}}).encode()
    decoded = decode(told, Hints(fs_hz=500))
    assert decoded.leads[:2] == ("II", "null")
    assert_array_equal(decoded.signal_mv, np.float32([LONG, LONG, LONG[::-1]]))


def test_many_long_rows() -> None:
    rows = [LONG] * 1001
    with pytest.raises(SchemaViolation, match="nested"):
        decode(json.dumps({"signal": rows}).encode())


@pytest.mark.benchmark
def test_cost_of_ten_seconds_of_twelve_leads() -> None:
    rng = np.random.default_rng(0)
    body = json.dumps(
        {
            "fs_hz": 500,
            "leads": dict(
                zip(STANDARD_LEADS, rng.normal(0, 0.3, (12, 5000)).tolist(), strict=True)
            ),
        }
    ).encode()
    times_ms = []
    for _ in range(10):
        started_ns = time.thread_time_ns()
        decode(body)
        times_ms.append((time.thread_time_ns() - started_ns) / 1e6)
    assert min(times_ms) < 5, times_ms
