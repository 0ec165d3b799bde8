"""application/fhir+json: a DiagnosticReport of FHIR R4, which R4B reads unchanged.

Observations and the model (a Device) are contained. Nobody's data are in it: the subject is
anonymous, and the status is preliminary, since no person has reviewed it.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from serve_app.recording import Recording
from serve_app.rendering.findings import NOT_REVIEWED, conclusion
from serve_app.rendering.measurements import Measurement, measurements
from serve_app.results import ModelInfo, Prediction, Result

__all__ = ["render_fhir"]

_Resource = dict[str, Any]
_LOINC: Final = "http://loinc.org"
_UCUM: Final = "http://unitsofmeasure.org"
_INTERPRETATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_OWN: Final = "urn:ecg-fm-serve:fhir:"
_ANONYMOUS: Final = {"display": "anonymous"}


def render_fhir(result: Result, recording: Recording) -> bytes:
    """A DiagnosticReport (LOINC 11524-6, EKG study) as JSON."""
    del recording
    observations = [
        _measured(number, each, result) for number, each in enumerate(measurements(result))
    ]
    model = result.model
    if model is not None:
        observations.append(_predicted(result, model))
    contained = [*observations, _device(model)] if model else observations
    report = {
        "resourceType": "DiagnosticReport",
        "id": result.id,
        "language": "en",
        "contained": contained,
        "extension": list(_caution(result)),
        "identifier": [{"system": f"{_OWN}result", "value": result.id}],
        "status": "preliminary",
        "category": [_concept("http://terminology.hl7.org/CodeSystem/v2-0074", "EC")],
        "code": _concept(_LOINC, "11524-6", "EKG study"),
        "subject": _ANONYMOUS,
        "issued": result.created_at.isoformat(timespec="milliseconds"),
        "result": [{"reference": f"#{each['id']}"} for each in observations],
        "conclusion": conclusion(result),
    }
    return json.dumps(report, ensure_ascii=False, allow_nan=False).encode()


def _caution(result: Result) -> Iterator[_Resource]:
    """What a program has to know before it shows the report."""
    yield {"url": f"{_OWN}review", "valueString": NOT_REVIEWED}
    yield {"url": f"{_OWN}recording-sha256", "valueString": result.recording.sha256}
    yield {"url": f"{_OWN}quality-acceptable", "valueBoolean": result.quality.acceptable}
    if result.model is not None:
        yield {"url": f"{_OWN}demo", "valueBoolean": result.model.demo}
    if result.degraded is not None:
        yield {"url": f"{_OWN}degraded", "valueCode": result.degraded}


def _measured(number: int, measurement: Measurement, result: Result) -> _Resource:
    code = {"text": measurement.name}
    if measurement.loinc:
        code = _concept(_LOINC, measurement.loinc, measurement.name)
    quantity = _quantity(measurement.value, measurement.unit)
    return _observation(f"measured-{number + 1}", code, result) | {"valueQuantity": quantity}


def _predicted(result: Result, model: ModelInfo) -> _Resource:
    code = {"text": f"Scores of the labels of {model.name}"}
    return _observation("predicted", code, result) | {
        "device": {"reference": "#model"},
        "component": [_component(each) for each in result.predictions],
    }


def _observation(identity: str, code: _Resource, result: Result) -> _Resource:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "preliminary",
        "code": code,
        "subject": _ANONYMOUS,
        "issued": result.created_at.isoformat(timespec="milliseconds"),
    }


def _component(prediction: Prediction) -> _Resource:
    calibrated = {
        "url": f"{_OWN}calibrated-probability",
        "valueDecimal": round(prediction.calibrated_probability, 6),
    }
    noisy = {"url": f"{_OWN}noisy-label", "valueBoolean": True}
    return {
        "extension": [calibrated, noisy] if prediction.noisy_label else [calibrated],
        "code": {"text": prediction.label},
        "valueQuantity": _quantity(prediction.probability, "1"),
        "interpretation": [_concept(_INTERPRETATION, "POS" if prediction.positive else "NEG")],
        "referenceRange": [
            {
                "high": _quantity(prediction.threshold, "1"),
                "text": "negative below the model's threshold",
            }
        ],
    }


def _device(model: ModelInfo) -> _Resource:
    kind = {"text": "Machine learning model; research use only, not a medical device"}
    return {
        "resourceType": "Device",
        "id": "model",
        "extension": [
            {"url": f"{_OWN}demo", "valueBoolean": model.demo},
            {"url": f"{_OWN}engine", "valueString": f"{model.engine} {model.precision}"},
        ],
        "identifier": [{"system": f"{_OWN}model-sha256", "value": model.sha256}],
        "deviceName": [{"name": model.name, "type": "model-name"}],
        "type": kind,
        "version": [
            {"type": {"text": "revision"}, "value": model.revision},
            {"type": {"text": "SHA-256 of the weights"}, "value": model.sha256},
        ],
    }


def _concept(system: str, code: str, text: str | None = None) -> _Resource:
    coding = {"coding": [{"system": system, "code": code}]}
    return coding | {"text": text} if text else coding


def _quantity(value: float, unit: str) -> _Resource:
    return {"value": round(value, 6), "unit": unit, "system": _UCUM, "code": unit}
