"""The measurements that reports carry, with their codes in LOINC and in MDC (ISO/IEEE 11073)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from serve_app.results import Result

__all__ = ["Measurement", "measurements"]


@dataclass(frozen=True)
class Measurement:
    """A number with its unit.

    Attributes:
        name: For people.
        value: In `unit`.
        unit: UCUM code.
        loinc: Code, where LOINC has one.
        mdc: Code of DICOM context groups 3227 to 3229, where they have one.
    """

    name: str
    value: float
    unit: str
    loinc: str | None = None
    mdc: str | None = None


# Key of Result.analysis.intervals -> name, LOINC, MDC.
_INTERVALS: Final = {
    "pr_ms": ("PR interval", "8625-6", "2:15872"),
    "qrs_ms": ("QRS duration", "8633-0", "2:16156"),
    "qt_ms": ("QT interval", "8634-8", "2:16160"),
    "qtc_ms": ("QTc interval", "8636-3", "2:15876"),
}


def measurements(result: Result) -> Iterator[Measurement]:
    """What was measured of the signal; nothing stands for what was not."""
    analysis = result.analysis
    if analysis is not None and analysis.heart_rate_bpm is not None:
        yield Measurement("Heart rate", analysis.heart_rate_bpm, "/min", "8867-4")
    for key, value in (analysis.intervals if analysis else {}).items():
        if value is not None:
            name, loinc, mdc = _INTERVALS.get(key, (key, None, None))
            yield Measurement(name, value, "ms" if key.endswith("_ms") else "1", loinc, mdc)
    yield Measurement("Signal quality score, 0 to 1", result.quality.score, "1")
