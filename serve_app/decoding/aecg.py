"""HL7 Annotated ECG (aECG, root ``AnnotatedECG``): the FDA's format for trials.

A series holds sequence sets; a set holds the sequences that were sampled together: one of time
and one for each lead, whose value is ``origin + digits * scale``.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.decoded import Decoded
from serve_app.decoding.text_fields import parse_number, parse_samples
from serve_app.decoding.units import Unit, electric_unit, to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.decoding.xml_document import parse_xml, root_name
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal

__all__ = ["decode_aecg", "looks_like_aecg"]

_PER_SECOND: Final = {"s": 1.0, "ms": 1e3, "us": 1e6}
_TIME_CODES: Final = ("TIME_ABSOLUTE", "TIME_RELATIVE")
_AVERAGED_BEAT: Final = "REPRESENTATIVE_BEAT"
_LEAD_PREFIX: Final = "MDC_ECG_LEAD_"


@dataclass(frozen=True)
class _Lead:
    """A lead before its digits are read."""

    name: str
    unit: Unit
    scale_mv: float
    origin_mv: float
    digits: str


def looks_like_aecg(data: bytes) -> bool:
    """Whether the root element is aECG's."""
    return root_name(data) == "AnnotatedECG"


def decode_aecg(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the recorded series of an aECG; derived ones (averaged beats) are left out.

    Of several sets the one with the most leads is taken, then the longest.

    Raises:
        InvalidFormat: No waveform in it, or a field that is missing or makes no sense.
        InvalidSignal: Waveforms, but no voltage among them.
        CorruptedData: Cut short, or leads that differ in length.
        PayloadTooLarge: More text or samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    sets = [
        sequences
        for series in parse_xml(data, limits).iterfind("{*}component/{*}series")
        if _code(series) != _AVERAGED_BEAT
        for sequences in series.iterfind("{*}component/{*}sequenceSet")
    ]
    if not sets:
        raise InvalidFormat(
            "The aECG holds no recorded series.",
            hint="Export it with its rhythm; an averaged beat alone is not read.",
        )
    found = [(sequences, leads) for sequences in sets if (leads := _leads(sequences))]
    if not found:
        raise InvalidSignal("No sequence of the aECG is a lead in volts.")
    sequences, leads = max(found, key=lambda pair: (len(pair[1]), len(pair[1][0].digits)))
    rows = [_samples(lead, limits) for lead in leads]
    if len({row.size for row in rows}) > 1:
        raise CorruptedData("The leads of the aECG differ in length.")
    return Decoded(
        np.stack(rows),
        _sampling_rate(sequences),
        tuple(lead.name for lead in leads),
        frozenset(lead.unit for lead in leads),
        "aecg",
    )


def _sampling_rate(sequences: Any) -> float | None:
    """Samples a second by the set's sequence of time; None where it has none."""
    for sequence in sequences.iterfind("{*}component/{*}sequence"):
        if _code(sequence) in _TIME_CODES:
            increment = sequence.find("{*}value/{*}increment")
            if increment is None:
                raise InvalidFormat("The aECG's time is not evenly spaced.")
            step = parse_number(increment.get("value"), "increment")
            per_second = _PER_SECOND.get(increment.get("unit") or "")
            if per_second is None or step <= 0:
                raise InvalidFormat("The aECG's increment of time is in no known unit, or zero.")
            return per_second / step
    return None


def _leads(sequences: Any) -> list[_Lead]:
    leads = []
    for sequence in sequences.iterfind("{*}component/{*}sequence"):
        digits = sequence.findtext("{*}value/{*}digits")
        if _code(sequence) in _TIME_CODES or digits is None:
            continue
        scale, origin = sequence.find("{*}value/{*}scale"), sequence.find("{*}value/{*}origin")
        unit = _unit(scale)
        if unit is None:
            continue
        name, scale_mv = _code(sequence).removeprefix(_LEAD_PREFIX), _millivolts(scale, "scale")
        if scale_mv == 0:
            raise InvalidFormat("The scale of a lead in the aECG is zero.")
        leads.append(_Lead(name, unit, scale_mv, _millivolts(origin, "origin"), digits))
    return leads


def _code(part: Any) -> str:
    code = part.find("{*}code")
    return "" if code is None else str(code.get("code") or "").strip()


def _unit(quantity: Any) -> Unit | None:
    return None if quantity is None else electric_unit(quantity.get("unit") or "")


def _millivolts(quantity: Any, field: str) -> float:
    unit = _unit(quantity)
    if unit is None:
        raise InvalidFormat(f"The recording's {field} is missing or no voltage.")
    value = np.array([parse_number(quantity.get("value"), field)])
    return float(to_mv(value, unit)[0])


def _samples(lead: _Lead, limits: Limits) -> npt.NDArray[np.float32]:
    digits = parse_samples(lead.digits, limits)
    digits *= lead.scale_mv
    digits += lead.origin_mv
    return digits.astype(np.float32)
