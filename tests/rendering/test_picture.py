"""The paper picture: physical sizes, what stands above it, what bad signals do to it."""

import asyncio
import io
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from serve_app.recording import STANDARD_LEADS, make_recording
from serve_app.rendering import render

SVG = "{http://www.w3.org/2000/svg}"


def page_of(result, recording):
    return ET.fromstring(render(result, recording, "image/svg+xml"))


def texts(page):
    return [element.text for element in page.iter(f"{SVG}text")]


def traces(page):
    """Points of the waves in mm, one array a lead's panel."""
    found = []
    for path in page.iter(f"{SVG}path"):
        if "clip-path" in path.attrib:
            points = path.get("d").removeprefix("M").split(" L")
            found.append(np.array([list(map(float, point.split(","))) for point in points]))
    return found


def test_three_rows_of_four_leads_and_a_rhythm_strip(predicted):
    page = page_of(predicted.result, predicted.recording)
    shown = texts(page)
    assert sorted(name for name in shown if name in STANDARD_LEADS) == sorted(
        [*STANDARD_LEADS, "II"]
    )
    assert len(traces(page)) == 13


def test_it_is_drawn_at_25_mm_a_second_and_10_mm_a_millivolt(predicted):
    page = page_of(predicted.result, predicted.recording)
    strip = traces(page)[-1]
    fs_hz = predicted.recording.fs_hz
    assert np.diff(strip[:, 0]) == pytest.approx(25 / fs_hz, abs=1e-5)
    lead_ii = predicted.recording.signal_mv[predicted.recording.leads.index("II")]
    drawn_mv = -strip[:, 1] / 10
    assert np.ptp(drawn_mv) == pytest.approx(np.ptp(lead_ii), abs=1e-4)
    width_mm, height_mm = (page.get(side) for side in ("width", "height"))
    assert width_mm.endswith("mm")
    assert page.get("viewBox") == f"0 0 {width_mm[:-2]} {height_mm[:-2]}"


def pulses(page):
    """Points of the calibration pulses in mm, and by how much each is moved down."""
    for path in page.iter(f"{SVG}path"):
        if "clip-path" not in path.attrib:
            points = [point.split(",") for point in path.get("d").removeprefix("M").split(" L")]
            moved_mm = float(path.get("transform").removeprefix("translate(0 ")[:-1])
            yield np.array(points, float) + np.array([0, moved_mm])


@pytest.mark.parametrize("peak_mv", [-3.0, 3.0])
def test_calibration_pulses_stand_at_0_mv(predicted, peak_mv):
    """The panels hold more below 0 mV than above, or the other way round."""
    recording = predicted.recording
    signal_mv = np.zeros_like(recording.signal_mv)
    signal_mv[:, 100] = peak_mv
    page = page_of(predicted.result, replace(recording, signal_mv=signal_mv))
    zero_mv = [trace[0, 1] for trace in traces(page)]
    pulse_mm = list(pulses(page))
    assert len(pulse_mm) == 4
    rows = [zero_mv[0], zero_mv[1], zero_mv[2], zero_mv[12]]  # I, II, III and the strip
    assert [pulse[0, 1] for pulse in pulse_mm] == pytest.approx(rows, abs=1e-3)
    assert [pulse[2, 1] for pulse in pulse_mm] == pytest.approx(np.array(rows) - 10, abs=1e-3)


def test_flat_leads_say_so(pipeline, predicted):
    recording = predicted.recording
    signal_mv = recording.signal_mv.copy()
    signal_mv[[recording.leads.index("II"), recording.leads.index("V3")]] = 0.1
    spoilt = replace(recording, signal_mv=signal_mv)
    result = asyncio.run(pipeline.analyze(spoilt))
    marked = {
        (text.text, mark.text)
        for text in page_of(result, spoilt).iter(f"{SVG}text")
        for mark in text
        if "flat" in mark.text
    }
    assert marked == {("II", "flat"), ("V3", "flat")}
    before = list(page_of(predicted.result, recording).iter(f"{SVG}tspan"))
    assert all("flat" not in mark.text for mark in before)


def test_what_stands_above(predicted):
    shown = " | ".join(texts(page_of(predicted.result, predicted.recording)))
    assert "Research use only - not reviewed" in shown
    assert "DEMO MODEL" in shown
    assert "Sinus rhythm 0.998" in shown
    assert "heart rate 61 /min" in shown
    assert "shown" not in shown  # all of it is


def test_of_long_recordings_the_beginning_is_shown_and_told(holter):
    page = page_of(holter.result, holter.recording)
    assert any("first 10 s of 60 s shown" in text for text in texts(page))
    assert all(np.ptp(trace[:, 0]) <= 250 for trace in traces(page))
    assert len(traces(page)) == 2


def test_one_lead_is_drawn_alone(single_lead):
    page = page_of(single_lead.result, single_lead.recording)
    assert len(traces(page)) == 1
    assert "ECG" in texts(page)


def test_of_short_recordings_each_lead_is_whole(predicted):
    recording = predicted.recording
    short = make_recording(
        recording.signal_mv[:, :1500],
        fs_hz=recording.fs_hz,
        leads=recording.leads,
        format="npy",
        sha256="0" * 64,
    )
    drawn = traces(page_of(predicted.result, short))
    assert len(drawn) == 13
    assert [np.ptp(trace[:, 0]) for trace in drawn] == pytest.approx([25 * 1.499] * 13, abs=1e-3)


def test_leads_beyond_the_twelve_are_told(predicted, data_dir):
    from serve_app.decoding import decode_path

    recording = decode_path(data_dir / "formats/wfdb/s0010_re.hea")
    shown = texts(page_of(predicted.result, recording))
    assert any("12 of 15 leads shown" in text for text in shown)
    assert "vx" not in shown


def test_no_text_is_wider_than_the_page(predicted):
    result = predicted.result
    everything = [p.model_copy(update={"positive": True}) for p in result.predictions]
    page = page_of(result.model_copy(update={"predictions": everything}), predicted.recording)
    width_mm = float(page.get("width")[:-2])
    head = [e for e in page if e.tag == f"{SVG}text"]
    assert len(head) > 4
    for line in head:
        assert len(line.text) * float(line.get("font-size")) * 0.5 < width_mm - 12
    places = [float(line.get("y")) for line in head]
    inner = page.find(f"{SVG}svg")
    assert places == sorted(places)
    assert places[-1] < float(inner.get("y")) + 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda signal: np.full_like(signal, np.nan),
        np.zeros_like,
        lambda signal: np.where(signal > 0.2, np.inf, signal),
        lambda signal: signal * 1e6,
        lambda signal: signal + 3e5,
    ],
    ids=["all missing", "flat", "infinite", "huge", "offset"],
)
def test_any_signal_gives_a_page_of_bounded_size(predicted, spoil):
    recording = predicted.recording
    spoilt = make_recording(
        spoil(recording.signal_mv),
        fs_hz=recording.fs_hz,
        leads=recording.leads,
        format="npy",
        sha256="0" * 64,
    )
    page = page_of(predicted.result, spoilt)
    assert float(page.get("height")[:-2]) < 600
    assert "nan" not in ET.tostring(page, encoding="unicode").lower().replace("nanosecond", "")


def test_names_of_leads_cannot_break_the_drawing(single_lead):
    recording = single_lead.recording
    evil = "\x00</svg><script>alert(1)</script>\x1b"
    named = make_recording(
        recording.signal_mv,
        fs_hz=recording.fs_hz,
        leads=(evil,),
        format="wfdb",
        sha256="0" * 64,
    )
    page = page_of(single_lead.result, named)
    assert not list(page.iter(f"{SVG}script"))
    assert any("<script>" in (text or "") for text in texts(page))


def test_the_raster_has_150_dots_an_inch(single_lead):
    from PIL import Image

    page = page_of(single_lead.result, single_lead.recording)
    png = render(single_lead.result, single_lead.recording, "image/png")
    width_px, height_px = Image.open(io.BytesIO(png)).size
    assert width_px == pytest.approx(float(page.get("width")[:-2]) / 25.4 * 150, abs=2)
    assert height_px == pytest.approx(float(page.get("height")[:-2]) / 25.4 * 150, abs=2)
