"""What pydantic asks of a result; imported by pydantic alone, which then is there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .types import Anomaly, ECGAnalysisConfig, ECGAnalysisResult, HRVMetrics, LeadQuality

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

Metric = float | None

# The JSON form of each field, as `ECGAnalysisResult.to_dict` gives it.
JSON_FIELDS: dict[str, Any] = {
    "heart_rate": Metric,
    "rr_intervals": list[float],
    "qrs_peaks": list[int],
    "hrv_metrics": dict[str, Any] | None,
    "anomalies": list[Anomaly],
    "signal_quality": float,
    "lead_quality": list[dict[str, Any]],
    "processing_time_ms": float,
    "algorithm_version": str,
    "processing_backend": Literal["rust", "python"],
    "config": ECGAnalysisConfig,
}


def of_result(handler: GetCoreSchemaHandler) -> CoreSchema:
    """Take instances and their JSON form, and write them as `to_dict` does."""
    from pydantic_core import core_schema

    fields = {
        name: core_schema.typed_dict_field(handler.generate_schema(kind), required=True)
        for name, kind in JSON_FIELDS.items()
    }
    form = core_schema.typed_dict_schema(fields, extra_behavior="forbid")
    return core_schema.json_or_python_schema(
        json_schema=core_schema.no_info_after_validator_function(_read, form),
        python_schema=core_schema.is_instance_schema(ECGAnalysisResult),
        serialization=core_schema.plain_serializer_function_ser_schema(
            ECGAnalysisResult.to_dict, return_schema=core_schema.any_schema()
        ),
    )


def _read(form: dict[str, Any]) -> ECGAnalysisResult:
    """Turn the JSON form back into a result; null stands for NaN."""
    hrv = form["hrv_metrics"]
    leads = [LeadQuality(lead["score"], tuple(lead["issues"])) for lead in form["lead_quality"]]
    changed = {
        "heart_rate": _number(form["heart_rate"]),
        "rr_intervals": np.array(form["rr_intervals"], dtype=np.float64),
        "qrs_peaks": np.array(form["qrs_peaks"], dtype=np.int64),
        "hrv_metrics": hrv and HRVMetrics(**{name: _number(hrv[name]) for name in hrv}),
        "anomalies": tuple(form["anomalies"]),
        "lead_quality": tuple(leads),
    }
    return ECGAnalysisResult(**{**form, **changed})


def _number(value: Any) -> Any:
    return math.nan if value is None else value
