"""FHIR: R4's period and R5's interval, JSON and XML, alone or in what holds it."""

import json
import re
import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidSignal,
    MissingParameter,
    PayloadTooLarge,
)
from serve_app.recording import STANDARD_LEADS

NUMBERS = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64} | {
    f"V{n}": n + 2 for n in range(1, 7)
}
UV_PER_STEP = 2.5
MDC = "urn:oid:2.16.840.1.113883.6.24"
Json = dict[str, Any]


def sampled(values: np.ndarray | str, **changes: object) -> Json:
    text = values if isinstance(values, str) else " ".join(map(str, values.tolist()))
    data = {
        "origin": {"value": 0, "unit": "microvolt", "code": "uV"},
        "period": 1,
        "factor": UV_PER_STEP,
        "dimensions": 1,
        "data": text,
    } | changes
    return {key: value for key, value in data.items() if value is not None}


def coded(code: object, display: str = "", system: str = MDC) -> Json:
    coding = {"system": system, "code": code}
    return {"coding": [coding | ({"display": display} if display else {})]}


def component(lead: str, values: np.ndarray | str, **changes: object) -> Json:
    code = coded(str(131_328 + NUMBERS[lead]))
    return {"code": code, "valueSampledData": sampled(values, **changes)}


def observation(*components: Json, **members: object) -> Json:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": coded("131328"),
        "subject": {"display": "Zzyzx"},
        "component": list(components),
    } | members


def as_body(resource: Json) -> bytes:
    return json.dumps(resource).encode()


def as_xml(resource: Json) -> bytes:
    text = to_xml(resource["resourceType"], resource)
    return text.replace(">", ' xmlns="http://hl7.org/fhir">', 1).encode()


def to_xml(name: str, value: object) -> str:
    if isinstance(value, list):
        return "".join(to_xml(name, item) for item in value)
    if not isinstance(value, dict):
        return f"<{name} value={quoteattr(str(value))}/>"
    inner = "".join(to_xml(k, v) for k, v in value.items() if k != "resourceType")
    kind = value.get("resourceType")
    if kind and name != kind:
        inner = f"<{kind}>{inner}</{kind}>"
    return f"<{name}>{inner}</{name}>"


WRITERS = pytest.mark.parametrize("write", [as_body, as_xml])


@pytest.fixture(scope="session")
def steps(short: np.ndarray) -> np.ndarray:
    return np.rint(short * 1000 / UV_PER_STEP).astype(int)


@pytest.fixture(scope="session")
def expected(steps: np.ndarray) -> np.ndarray:
    return (steps * UV_PER_STEP / 1000).astype(np.float32)


@pytest.fixture(scope="session")
def components(steps: np.ndarray) -> list[Json]:
    return [component(lead, row) for lead, row in zip(STANDARD_LEADS, steps, strict=True)]


def test_equal_to_the_record_it_was_made_of(data_dir: Path) -> None:
    path = data_dir / "derived/fhir/ptbxl14.json"
    decoded = decode_path(path)
    record = decode_path(data_dir / "twelve_lead/ptbxl/records500/00000/00014_hr.hea")
    assert_array_equal(decoded.signal_mv, record.signal_mv)
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 500)
    assert (decoded.format, decoded.units_assumed) == ("fhir", False)
    again = decode(as_xml(json.loads(path.read_bytes())))
    assert_array_equal(again.signal_mv, record.signal_mv)


def test_examples_of_the_standard(data_dir: Path) -> None:
    """R4 in JSON and R5 in XML hold the same; neither says a unit."""
    folder = data_dir / "formats/fhir"
    r4 = decode_path(folder / "observation-example-sample-data.json", Hints(units="uV"))
    r5 = decode_path(folder / "observation-example-sample-data.xml", Hints(units="uV"))
    assert_array_equal(r4.signal_mv, r5.signal_mv)
    assert r4.leads == r5.leads == ("I", "II", "III")
    assert r4.fs_hz == r5.fs_hz == 100
    assert_allclose(r4.signal_mv[:, 0], (2041 * 1.612 + 2048) / 1000, rtol=1e-6)
    assert decode_path(folder / "observation-example-sample-data.json").units_assumed


@WRITERS
@pytest.mark.parametrize("kind", ["", "application/fhir"])
def test_components(components: list[Json], expected: np.ndarray, write, kind: str) -> None:
    kind = kind and kind + ("+json" if write is as_body else "+xml; charset=utf-8")
    decoded = decode(Upload((("", write(observation(*components))),), kind))
    assert_array_equal(decoded.signal_mv, expected)
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 1000)
    assert "Zzyzx" not in repr(vars(decoded))


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_told_from_our_own_json(components: list[Json], kind: str) -> None:
    assert decode(Upload((("", as_body(observation(*components))),), kind)).format == "fhir"
    ours = b'{"fs_hz": 500, "units": "mV", "leads": {"I": [1, 2]}}'
    assert decode(Upload((("", ours),), kind)).format == "json"


@WRITERS
def test_in_a_bundle_a_report_or_each_lead_alone(
    components: list[Json], expected: np.ndarray, write
) -> None:
    whole = observation(*components)
    alone = [
        {k: v for k, v in observation(**one).items() if k != "component"} for one in components
    ]
    patient = {"resourceType": "Patient", "name": [{"family": "Zzyzx"}]}
    report = {"resourceType": "DiagnosticReport", "contained": [patient, whole]}
    for resource in (
        bundle(patient, whole),
        bundle(*alone),
        report,
        bundle(patient, report),
        observation(contained=alone, component=[]),
    ):
        decoded = decode(write(resource))
        assert_array_equal(decoded.signal_mv, expected)
        assert decoded.leads == STANDARD_LEADS


def bundle(*resources: Json) -> Json:
    return {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}


def test_two_recordings_are_not_mixed(components: list[Json]) -> None:
    with pytest.raises(InvalidFormat, match="2 recordings"):
        decode(as_body(bundle(observation(*components[:6]), observation(*components[6:]))))


def test_as_a_library_writes_it(steps: np.ndarray, expected: np.ndarray) -> None:
    from fhir.resources.observation import Observation
    from fhir.resources.R4B.observation import Observation as ObservationR4B

    r4b = observation(
        *(component(lead, row) for lead, row in zip(STANDARD_LEADS, steps, strict=True))
    )
    r5 = json.loads(as_body(r4b).replace(b'"period": 1', b'"interval": 1, "intervalUnit": "ms"'))
    for model, resource in ((ObservationR4B, r4b), (Observation, r5)):
        body = model.model_validate(resource).model_dump_json().encode()
        decoded = decode(body)
        assert_array_equal(decoded.signal_mv, expected)
        assert decoded.fs_hz == 1000


@WRITERS
@pytest.mark.parametrize(
    ("interval", "unit", "fs_hz"),
    [(2, "ms", 500), (0.004, "s", 250), (2000, "us", 500)],
)
def test_interval_of_r5(steps, write, interval: float, unit: str, fs_hz: float) -> None:
    one = component("II", steps[1], period=None, interval=interval, intervalUnit=unit)
    assert decode(write(observation(one))).fs_hz == pytest.approx(fs_hz)


def test_rate_that_is_not_said(steps: np.ndarray) -> None:
    body = as_body(observation(component("II", steps[1], period=None)))
    with pytest.raises(MissingParameter, match="fs_hz"):
        decode(body)
    assert decode(body, Hints(fs_hz=500)).fs_hz == 500


@WRITERS
def test_errors_and_limits_are_missing_samples(write) -> None:
    one = component("I", "1 E 2.5 L U -3", lowerLimit=-10, upperLimit=10)
    uv = decode(write(observation(one))).signal_mv[0] * 1000
    assert_allclose(uv, [2.5, np.nan, 6.25, np.nan, np.nan, -7.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("origin", "per_mv"),
    [
        ({"value": 0, "code": "uV"}, 1e3),
        ({"value": 0, "unit": "mV"}, 1),
        ({"value": 0, "unit": "millivolts", "code": "mV"}, 1),
        ({"unit": "\u00b5V"}, 1e3),
    ],
)
def test_units(steps: np.ndarray, origin: Json, per_mv: float) -> None:
    decoded = decode(as_body(observation(component("I", steps[0], origin=origin, factor=None))))
    assert_allclose(decoded.signal_mv[0], steps[0] / per_mv, rtol=1e-6)


def test_origin_is_added_after_the_factor(steps: np.ndarray) -> None:
    one = component("I", steps[0], origin={"value": -1024, "code": "uV"})
    decoded = decode(as_body(observation(one)))
    assert_allclose(decoded.signal_mv[0], (steps[0] * UV_PER_STEP - 1024) / 1000, rtol=1e-6)


def test_other_components_are_left_out(components: list[Json], steps: np.ndarray) -> None:
    pressure = {
        "code": coded("150020"),
        "valueSampledData": sampled(steps[0], origin={"unit": "mm[Hg]"}),
    }
    rate = {"code": coded("8867-4"), "valueQuantity": {"value": 60, "unit": "/min"}}
    assert decode(as_body(observation(rate, components[1], pressure))).leads == ("II",)
    with pytest.raises(InvalidSignal, match="in volts"):
        decode(as_body(observation(pressure)))
    with pytest.raises(InvalidFormat, match="no SampledData"):
        decode(as_body(observation(rate)))
    silent = component("V1", steps[0], origin={"value": 0})
    with pytest.raises(InvalidFormat, match="others do not"):
        decode(as_body(observation(components[0], silent)))


@pytest.mark.parametrize(
    ("code", "lead"),
    [
        (coded("131329"), "I"),
        (coded("131389"), "III"),
        (coded("131392", "MDC_ECG_ELEC_POTL_AVF"), "aVF"),
        (coded("131337"), "V7"),
        (coded("131074"), "II"),  # MDC_ECG_LEAD_II
        (coded("MDC_ECG_ELEC_POTL_V3R"), "V3R"),
        (coded("x", "MDC_ECG_LEAD_AVL", "urn:other"), "aVL"),
        (coded("131329", "Lead II", "urn:other"), "II"),
        ({"text": "Lead V4"}, "V4"),
        ({"text": "chest", "coding": [{}, coded("131331")["coding"][0]]}, "V1"),
        (coded("9" * 30), "9" * 30),
        (coded(131329, "Lead V2"), "V2"),
        ({}, "lead 1"),
        ([], "lead 1"),
        ({"coding": {"code": "131329"}}, "lead 1"),
    ],
)
def test_lead_by_code_then_by_name(steps: np.ndarray, code: object, lead: str) -> None:
    one = {"code": code, "valueSampledData": sampled(steps[0])}
    assert decode(as_body(observation(one))).leads == (lead,)


@WRITERS
def test_leads_interleaved(steps: np.ndarray, expected: np.ndarray, write) -> None:
    data = sampled(steps.T.reshape(-1), dimensions=12)
    whole = observation(valueSampledData=data, component=[])
    decoded = decode(write(whole))
    assert_array_equal(decoded.signal_mv, expected)
    assert decoded.leads == STANDARD_LEADS
    two = observation(valueSampledData=sampled("1 2 3 4 5 6", dimensions=2), component=[])
    with pytest.raises(MissingParameter, match="leads"):
        decode(write(two))
    assert decode(write(two), Hints(leads=("II", "V5"))).leads == ("II", "V5")
    with pytest.raises(InvalidFormat, match="several dimensions"):
        decode(write(observation(component("I", steps[0]), valueSampledData=data)))


WRONG = [
    {"period": 0}, {"period": -1}, {"period": "x"}, {"period": True}, {"period": 10**400},
    {"period": None, "interval": 1, "intervalUnit": "Hz"}, {"period": None, "interval": 1},
    {"factor": 0}, {"factor": "x"}, {"factor": {}}, {"factor": float("nan")},
    {"origin": {"value": "x", "code": "uV"}}, {"origin": {"value": [1], "code": "uV"}},
    {"dimensions": 0}, {"dimensions": -1}, {"dimensions": 1.5}, {"dimensions": 10**9},
    {"dimensions": 7}, {"data": None}, {"data": 5}, {"data": ["1"]}, {"data": "1 2 Zzyzx"},
    {"data": "1,2,3"}, {"data": "1-2"}, {"data": "1.2.3"}, {"data": "nan"}, {"data": "EE"},
    {"data": "1E"}, {"data": "\u0661"}, {"offsets": "1 2"}, {"codeMap": "x"},
]  # fmt: skip


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: str(changes)[:40])
def test_a_wrong_field(steps: np.ndarray, changes: Json) -> None:
    body = as_body(
        observation(component("I", steps[0]) | {"valueSampledData": sampled(steps[0], **changes)})
    )
    with pytest.raises((InvalidFormat, CorruptedData)) as caught:
        decode(body)
    assert "Zzyzx" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("change", [{"period": 2}, {"data": "1 2 3"}])
def test_leads_that_do_not_go_together(components: list[Json], steps, change: Json) -> None:
    with pytest.raises(InvalidSignal, match="differ"):
        decode(as_body(observation(*components[:3], component("V1", steps[6], **change))))


def test_a_lead_twice(components: list[Json]) -> None:
    with pytest.raises(InvalidSignal, match="more than once"):
        decode(as_body(observation(*components[:2], components[0])))


def test_no_samples() -> None:
    with pytest.raises(InvalidSignal, match="no samples"):
        decode(as_body(observation(component("I", " "))))


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Observation", "component": {"valueSampledData": {}}},
        {"resourceType": "Observation", "component": [1, None, "x", []]},
        {"resourceType": "Bundle", "entry": [{"resource": []}, {}, 7]},
        {"resourceType": "Bundle", "entry": {"resource": {}}},
        {"resourceType": ["Observation"], "contained": "x"},
        [{"resourceType": "Observation"}],
    ],
)
def test_members_of_another_kind(resource: object) -> None:
    with pytest.raises(InvalidFormat):
        decode(json.dumps(resource).encode())


@WRITERS
def test_cut_anywhere(components: list[Json], write) -> None:
    body = write(observation(*components))
    for length in range(0, len(body) - 1, 151):
        with pytest.raises(EcgServeError):
            decode(body[:length])
    with pytest.raises(CorruptedData, match="cut short"):
        decode(body[:-1])


@pytest.mark.parametrize(
    "body",
    [
        b'{"resourceType": "Observation", "component": [' + b"{}," * 300_000 + b"{}]}",
        b'{"resourceType": "Observation", "x": [' + b"1," * 300_000 + b"1]}",
        b'{"resourceType": "Observation", "x": [' + b'"",' * 300_000 + b'""]}',
        b'{"resourceType": "Observation", "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"resourceType": ' * 3000 + b"1" + b"}" * 3000,
        b'{"resourceType": "Observation", "x": ' + b"9" * 100_000 + b"}",
        b'<Bundle xmlns="http://hl7.org/fhir">' + b"<entry><resource>" * 120 + b"</x>",
        b'<Bundle xmlns="http://hl7.org/fhir"><contained/><contained value="1"/></Bundle>',
    ],
)
def test_nothing_but_structure(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(EcgServeError) as caught:
        decode(body)
    assert caught.value.status in {400, 413}
    assert time.process_time() - started < 1


def test_limits(components: list[Json]) -> None:
    body = as_body(observation(*components))
    for limits in (Limits(max_samples=500), Limits(max_samples=7000), Limits(max_text_bytes=1000)):
        with pytest.raises(PayloadTooLarge):
            decode(body, limits=limits)


def test_narrative_is_no_part_of_it(components: list[Json], expected: np.ndarray) -> None:
    body = as_xml(observation(*components))
    text = b'<text><div xmlns="http://www.w3.org/1999/xhtml"><component/>&amp;</div></text>'
    body = re.sub(rb"(<Observation[^>]*>)", rb"\1" + text.replace(b"\\", b""), body, count=1)
    assert_array_equal(decode(body).signal_mv, expected)
