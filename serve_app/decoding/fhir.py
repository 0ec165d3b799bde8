"""FHIR R4, R4B and R5: an Observation whose leads are SampledData, as JSON or XML.

It may be alone, in a Bundle, or contained in a DiagnosticReport. A sample is
``origin + factor * data``. The words E (error), L (below the lower limit) and U (above the upper)
become NaN: whether the limits are scaled like the data is left open by the standard, and a sample
known to be missing is better than one invented.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.decoding.decoded import MAX_LEADS, Decoded
from serve_app.decoding.fhir_resources import Node, nodes, observations, read_resource
from serve_app.decoding.lead_numbers import LEAD_NAMES
from serve_app.decoding.text_fields import parse_count, parse_number, parse_samples
from serve_app.decoding.units import Unit, electric_unit, to_mv
from serve_app.decoding.upload import Hints, Limits
from serve_app.errors import CorruptedData, InvalidFormat, InvalidSignal

__all__ = ["decode_fhir"]

_PER_SECOND: Final = {"s": 1.0, "ms": 1e3, "us": 1e6, "min": 1 / 60}
_MDC: Final = "2.16.840.1.113883.6.24"
# MDC_ECG_ELEC_POTL and MDC_ECG_LEAD_CONFIG: their numbers and names, before those of the lead.
_CODE_BASES: Final = (131_328, 131_072)
_NAME_PREFIXES: Final = ("MDC_ECG_ELEC_POTL_", "MDC_ECG_LEAD_")
_UNREAD: Final = ("offsets", "codeMap")


@dataclass(frozen=True)
class _Channel:
    """A SampledData and what it is of.

    Attributes:
        lead: The lead's name; empty where it is not said.
        unit: Of origin and samples; None where it is not said.
        data: The SampledData.
    """

    lead: str
    unit: Unit | None
    data: Node


def decode_fhir(data: bytes, hints: Hints, limits: Limits) -> Decoded:
    """Decode the one recording in a FHIR resource.

    Leads are the components of one Observation, or one Observation each.

    Raises:
        InvalidFormat: No SampledData, several recordings, or a field that makes no sense.
        InvalidSignal: SampledData, but no voltage among them, or leads of unequal length or rate.
        CorruptedData: Cut short, or samples that are no numbers.
        PayloadTooLarge: More text or samples than `limits` allow.
    """
    del hints  # they are applied to what this returns
    channels = _ecg_channels(_sampled(read_resource(data, limits)))
    blocks = [_block(channel, limits) for channel in channels]
    rates = {_sampling_rate(channel.data) for channel in channels}
    lengths = {block.shape[1] for block in blocks}
    if len(rates) > 1 or len(lengths) > 1:
        raise InvalidSignal(
            "The leads of the FHIR resource differ in length or sampling rate.",
            hint="Send leads that were recorded together.",
        )
    return Decoded(
        np.concatenate(blocks),
        rates.pop(),
        _lead_names(channels, blocks),
        frozenset(channel.unit for channel in channels if channel.unit),
        "fhir",
    )


def _sampled(resource: Node) -> list[Node]:
    """The parts with SampledData: components of an Observation, or Observations."""
    recordings = [found for one in observations(resource) if (found := _parts(one))]
    if not recordings:
        raise InvalidFormat(
            "The FHIR resource holds no SampledData.",
            hint="Send an Observation with valueSampledData, or a Bundle that holds one.",
        )
    if len(recordings) > 1 and any(len(parts) > 1 for parts in recordings):
        raise InvalidFormat(
            f"The FHIR resource holds {len(recordings)} recordings.", hint="Send one at a time."
        )
    parts = [part for parts in recordings for part in parts]
    if len(parts) > MAX_LEADS:
        raise InvalidFormat(f"The FHIR resource holds more than {MAX_LEADS} leads.")
    return parts


def _parts(observation: Node) -> list[Node]:
    candidates = [observation, *nodes(observation.get("component"))]
    return [part for part in candidates if isinstance(part.get("valueSampledData"), dict)]


def _ecg_channels(parts: list[Node]) -> list[_Channel]:
    """The channels in volts, or, where none says its unit, all that are silent on it."""
    channels, silent = [], []
    for part in parts:
        data = part["valueSampledData"]
        origin = data.get("origin")
        said = _texts(origin, "code", "unit") if isinstance(origin, dict) else []
        unit = next((unit for unit in map(electric_unit, said) if unit), None)
        if unit is not None:
            channels.append(_Channel(_lead(part), unit, data))
        elif not said:
            silent.append(_Channel(_lead(part), None, data))
    if channels and silent:
        raise InvalidFormat("Some leads of the FHIR resource state their unit, others do not.")
    if not channels and not silent:
        raise InvalidSignal("No SampledData of the FHIR resource is in volts.")
    return channels or silent


def _lead(part: Node) -> str:
    """The lead by its MDC code, else by the name that goes with a code, else by the text."""
    concept = part.get("code")
    if not isinstance(concept, dict):
        return ""
    codings = nodes(concept.get("coding"))
    numbers = [_lead_number(coding) for coding in codings]
    named = (LEAD_NAMES[number] for number in numbers if number in LEAD_NAMES)
    texts = [
        *_texts(concept, "text"),
        *(text for coding in codings for text in _texts(coding, "display", "code")),
    ]
    mdc_names = (
        text.removeprefix(prefix)
        for prefix in _NAME_PREFIXES
        for text in texts
        if text.startswith(prefix)
    )
    return next(named, "") or next(mdc_names, "") or next(iter(texts), "")


def _lead_number(coding: Node) -> int | None:
    code = coding.get("code")
    if not str(coding.get("system")).endswith(_MDC) or not isinstance(code, str):
        return None
    if not (code.isascii() and code.isdigit() and len(code) < 10):
        return None
    return next((int(code) - base for base in _CODE_BASES if int(code) > base), None)


def _texts(node: Node, *names: str) -> list[str]:
    found = [node.get(name) for name in names]
    return [text for text in found if isinstance(text, str) and text]


def _sampling_rate(data: Node) -> float | None:
    """Samples a second by R4's period in ms or R5's interval; None where neither is said."""
    if any(name in data for name in _UNREAD):
        raise InvalidFormat("SampledData with offsets or a code map is not read here.")
    if "period" in data:
        field, unit = "period", "ms"
    elif "interval" in data:
        field, unit = "interval", str(data.get("intervalUnit"))
    else:
        return None
    step = parse_number(data[field], field)
    if step <= 0 or unit not in _PER_SECOND:
        raise InvalidFormat(f"The FHIR resource's {field} is zero or in no unit of time.")
    return _PER_SECOND[unit] / step


def _block(channel: _Channel, limits: Limits) -> npt.NDArray[np.float32]:
    """``(dimensions, samples)`` millivolts, or as stored where the unit is not said."""
    data = channel.data
    dimensions = parse_count(data.get("dimensions", 1), "dimensions")
    if not 1 <= dimensions <= MAX_LEADS:
        raise InvalidFormat("The FHIR resource's dimensions are impossible.")
    text = data.get("data")
    if not isinstance(text, str):
        raise InvalidFormat("A SampledData of the FHIR resource holds no data.")
    samples = parse_samples(text, limits, missing="ELU")
    if samples.size % dimensions:
        raise CorruptedData("A SampledData of the FHIR resource is cut short.")
    origin = data.get("origin")
    zero = origin.get("value", 0) if isinstance(origin, dict) else 0
    factor = parse_number(data.get("factor", 1), "factor")
    if factor == 0:
        raise InvalidFormat("The FHIR resource's factor is zero.")
    samples *= factor
    samples += parse_number(zero, "origin")
    scaled = to_mv(samples, channel.unit) if channel.unit else samples
    return scaled.astype(np.float32).reshape(-1, dimensions).T


def _lead_names(
    channels: list[_Channel], blocks: list[npt.NDArray[np.float32]]
) -> tuple[str, ...] | None:
    """A name for each row; None where one SampledData interleaves leads that it does not name."""
    if all(block.shape[0] == 1 for block in blocks):
        return tuple(channel.lead for channel in channels)
    if len(blocks) > 1:
        raise InvalidFormat("Only one SampledData may hold several dimensions.")
    return None
