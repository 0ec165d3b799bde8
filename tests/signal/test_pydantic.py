"""Configuration and result as fields of pydantic models, in Python and in JSON."""

import ecg_processor_py as ecg
import numpy as np
import pydantic
import pytest


class Report(pydantic.BaseModel):
    config: ecg.ECGAnalysisConfig
    result: ecg.ECGAnalysisResult
    quality: ecg.SignalQuality | None = None


@pytest.fixture(params=["beats", "noise"])
def report(request, strip):
    beats = strip(list(range(60, 4900, 420)))
    noise = np.random.default_rng(0).standard_normal(5000)
    x = beats + 0.01 * noise if request.param == "beats" else noise
    result = ecg.ECGAnalyzerFFI().analyze(x)
    return Report(config=result.config, result=result, quality=ecg.signal_quality(x, 500.0))


def test_results_survive_json(report):
    again = Report.model_validate_json(report.model_dump_json())
    assert type(again.result) is ecg.ECGAnalysisResult
    assert again.result.to_dict() == report.result.to_dict()
    assert again.quality == report.quality
    assert again.config == report.config


def test_a_dump_is_what_to_dict_gives(report):
    assert report.model_dump()["result"] == report.result.to_dict()


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_json_schema_names_every_field(report, mode):
    schema = Report.model_json_schema(mode=mode)
    form = schema["properties"]["result"]
    assert set(form["properties"]) == set(form["required"]) == set(report.result.to_dict())
    assert "sampling_rate" in schema["$defs"]["ECGAnalysisConfig"]["properties"]


@pytest.mark.parametrize(
    "bad", [{"sampling_rate": 99.9}, {"sampling_rate": 2000.1}, {"samplerate": 500}, "500 Hz"]
)
def test_bad_configurations_are_validation_errors(report, bad):
    with pytest.raises(pydantic.ValidationError):
        Report(config=bad, result=report.result)


def test_a_dict_is_no_result(report):
    with pytest.raises(pydantic.ValidationError):
        Report(config=report.config, result={"heart_rate": 60.0})
