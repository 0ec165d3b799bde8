"""The paper picture: 25 mm/s, 10 mm/mV, three rows of four leads and a rhythm strip.

Drawn by ecg-plot as SVG in millimetres, under a head of findings; PDF and PNG by CairoSVG.
"""

import math
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.errors import NotInstalled
from serve_app.recording import STANDARD_LEADS, Recording
from serve_app.rendering.findings import caveats, findings, model_line, rate_text
from serve_app.results import Result

__all__ = ["render_pdf", "render_png", "render_svg"]

_SHOWN_S: Final = 10.0
_MAX_STACKED_LEADS: Final = 12
_MAX_MV: Final = 5.0
_PNG_DPI: Final = 150
_MIN_WIDTH_MM: Final = 160.0
_MARGIN_MM: Final = 12.0
_LINE_MM: Final = 5.2
_HEAD_TOP_MM: Final = 8.0
_TEXT_MM: Final = 3.6
# Of a sans-serif letter, in its size: on the wide side, so that lines are broken early.
_LETTER: Final = 0.56
_WARNING, _PLAIN = "#a02020", "#111111"
_SVG: Final = "http://www.w3.org/2000/svg"
_Signal = npt.NDArray[np.float64]


def render_svg(result: Result, recording: Recording) -> bytes:
    """One page, sized in millimetres; the first 10 s of what is longer, and it says so.

    Each lead is drawn about its median, as paper electrocardiographs leave direct voltages out.
    """
    leads = _drawn_leads(recording)
    signal_mv = _drawn_signal(recording, leads)
    chart = _chart(signal_mv, leads, recording.fs_hz)
    picture = ET.fromstring(chart.to_svg())  # noqa: S314 - made here
    _stand_pulses_at_0_mv(picture, chart)
    _mark_poor_leads(picture, chart, leads, result)
    width_mm = max(chart.width_mm, _MIN_WIDTH_MM)
    head = _head(result, _notes(recording, leads), width_mm)
    return _page(picture, head, width_mm, chart.height_mm)


def render_pdf(result: Result, recording: Recording) -> bytes:
    """The same as vectors in a PDF of the same size; raises NotInstalled without CairoSVG."""
    return _converted("svg2pdf", render_svg(result, recording))


def render_png(result: Result, recording: Recording) -> bytes:
    """The same as a raster of 150 dots an inch; raises NotInstalled without CairoSVG."""
    return _converted("svg2png", render_svg(result, recording), dpi=_PNG_DPI)


def _converted(function: str, svg: bytes, **options: float) -> bytes:
    try:
        cairosvg = import_module("cairosvg")
    except (ImportError, OSError) as error:  # OSError: without the system's Cairo library
        raise NotInstalled(
            "PDF and PNG pictures need CairoSVG and Cairo, which are not installed.",
            hint="pip install 'ecg-fm-serve[pictures]', or ask for image/svg+xml.",
        ) from error
    convert: Callable[..., bytes] = getattr(cairosvg, function)
    return convert(bytestring=svg, **options)


def _drawn_leads(recording: Recording) -> tuple[str, ...]:
    """The standard twelve where they are all there, else as many as fit on a page."""
    if not recording.missing_leads:
        return STANDARD_LEADS
    return recording.leads[:_MAX_STACKED_LEADS]


def _drawn_signal(recording: Recording, leads: tuple[str, ...]) -> _Signal:
    """``(leads, samples)`` of at most 10 s, each about its median; what is not finite is NaN."""
    samples = min(recording.signal_mv.shape[1], max(1, round(_SHOWN_S * recording.fs_hz)))
    rows = [recording.leads.index(lead) for lead in leads]
    signal = recording.signal_mv[rows, :samples].astype(np.float64)
    signal[~np.isfinite(signal)] = np.nan
    return np.stack([row - _median(row) for row in signal])


def _median(row: _Signal) -> float:
    finite = row[np.isfinite(row)]
    return float(np.median(finite)) if finite.size else 0.0


def _chart(signal_mv: _Signal, leads: tuple[str, ...], fs_hz: float) -> Any:
    options: dict[str, Any] = {"layout": "stacked"}
    if leads == STANDARD_LEADS:
        short = signal_mv.shape[1] / fs_hz <= _SHOWN_S / 4  # each column holds all of it
        time_mode = "simultaneous" if short else "sequential"
        options = {"layout": "12lead", "time_mode": time_mode, "rhythm_lead": "II"}
    return import_module("ecg_plot").plot(
        signal_mv,
        sample_rate=fs_hz,
        lead_names=[_printable(lead) for lead in leads],
        amplitude_range=_amplitude_range(signal_mv),
        speed=25,
        gain=10,
        **options,
    )


def _amplitude_range(signal_mv: _Signal) -> tuple[float, float]:
    """The same for all leads, in half millivolts; the chart marks what lies outside."""
    finite = signal_mv[np.isfinite(signal_mv)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    return (
        -max(1.0, min(_MAX_MV, math.ceil(-low * 2) / 2)),
        max(1.0, min(_MAX_MV, math.ceil(high * 2) / 2)),
    )


def _stand_pulses_at_0_mv(picture: ET.Element, chart: Any) -> None:
    """On paper a calibration pulse stands at 0 mV; ecg-plot draws it in the middle of the panel."""
    first_mm = min(panel.x for panel in chart.panels)
    panels = [panel for panel in chart.panels if panel.x == first_mm]
    pulses = [path for path in picture.iter(f"{{{_SVG}}}path") if "clip-path" not in path.attrib]
    for panel, pulse in zip(panels, pulses, strict=True):
        foot_mm = float(pulse.get("d", "").partition(" ")[0].partition(",")[2])
        pulse.set("transform", f"translate(0 {panel.baseline - foot_mm:g})")


def _mark_poor_leads(
    picture: ET.Element, chart: Any, leads: tuple[str, ...], result: Result
) -> None:
    """Write quality issues beside the names of their leads: why a line is flat, say."""
    # Found by their place: a lead may be called like anything else that stands on the page.
    drawn = {(str(panel.x), str(panel.y - 1)): leads[panel.lead] for panel in chart.panels}
    for text in picture.iter(f"{{{_SVG}}}text"):
        lead = drawn.get((text.get("x", ""), text.get("y", "")))
        quality = result.quality.leads.get(lead) if lead else None
        if quality and quality.issues:
            mark = ET.SubElement(text, f"{{{_SVG}}}tspan", {"dx": "1.5", "fill": _WARNING})
            mark.text = ", ".join(quality.issues).replace("_", " ")


def _notes(recording: Recording, leads: tuple[str, ...]) -> list[str]:
    notes = []
    if recording.duration_s > _SHOWN_S:
        notes.append(f"first {_SHOWN_S:g} s of {recording.duration_s:.0f} s shown")
    if len(leads) < len(recording.leads):
        notes.append(f"{len(leads)} of {len(recording.leads)} leads shown")
    return notes


def _head(result: Result, notes: list[str], width_mm: float) -> list[tuple[str, str, bool]]:
    """Lines of text with their colour and whether they are bold, none wider than the page."""
    labels = [f"{each.label} {each.probability:.3f}" for each in findings(result)]
    told = ", ".join(labels) or "no label at or above its threshold"
    if result.model is None:
        told = "signal analysis only"
    facts = [rate_text(result), f"quality {result.quality.score:.2f}", *notes]
    facts += [model_line(result), f"analysed {result.created_at:%Y-%m-%d %H:%M} UTC"]
    lines = [(" - ".join(caveats(result)), _WARNING, True), (told, _PLAIN, True)]
    lines.append((" · ".join(facts), _PLAIN, False))
    return [
        (line, colour, bold)
        for text, colour, bold in lines
        for line in _wrapped(text, width_mm - 2 * _MARGIN_MM)
    ]


def _wrapped(text: str, width_mm: float) -> list[str]:
    letters = max(20, int(width_mm / (_TEXT_MM * _LETTER)))
    return textwrap.wrap(_printable(text), letters)


def _page(
    picture: ET.Element, head: list[tuple[str, str, bool]], width_mm: float, height_mm: float
) -> bytes:
    head_mm = _HEAD_TOP_MM + _LINE_MM * (len(head) - 1)
    height_mm += head_mm
    size = {"width": f"{width_mm:g}mm", "height": f"{height_mm:g}mm"}
    page = ET.Element(f"{{{_SVG}}}svg", size)
    page.set("viewBox", f"0 0 {width_mm:g} {height_mm:g}")
    ET.SubElement(page, f"{{{_SVG}}}title").text = "Electrocardiogram, " + head[0][0]
    paper = {"x": "0", "y": "0", "width": "100%", "height": "100%", "fill": "white"}
    ET.SubElement(page, f"{{{_SVG}}}rect", paper)
    picture.set("y", f"{head_mm:g}")
    for side in ("width", "height"):  # the page's coordinates are millimetres
        picture.set(side, picture.get(side, "").removesuffix("mm"))
    page.append(picture)
    for row, (text, colour, bold) in enumerate(head):
        ET.SubElement(page, f"{{{_SVG}}}text", _text_style(row, colour, bold)).text = text
    svg: bytes = ET.tostring(page, encoding="utf-8", xml_declaration=True)
    return svg


def _text_style(row: int, colour: str, bold: bool) -> dict[str, str]:
    return {
        "x": f"{_MARGIN_MM:g}",
        "y": f"{_HEAD_TOP_MM + row * _LINE_MM:g}",
        "font-size": f"{_TEXT_MM:g}",
        "font-family": "sans-serif",
        "font-weight": "bold" if bold else "normal",
        "fill": colour,
    }


def _printable(text: str) -> str:
    """XML knows no control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
