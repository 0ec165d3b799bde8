"""Configuration bounds, frozen results, errors that travel."""

import dataclasses
import pickle

import numpy as np
import pytest
from ecg_processor_py import (
    ConfigError,
    ECGAnalysisConfig,
    ECGError,
    InvalidSignalError,
    NativeError,
    NativeUnavailableError,
)


def test_defaults():
    config = ECGAnalysisConfig()
    assert config.to_dict() == {
        "sampling_rate": 500.0,
        "enable_hrv": True,
        "enable_anomaly_detection": True,
        "min_heart_rate": 40.0,
        "max_heart_rate": 200.0,
        "noise_threshold": 0.1,
        "min_signal_quality": 0.5,
    }


@pytest.mark.parametrize("sampling_rate", [100, 360.0, np.float32(500), np.int64(2000)])
def test_numbers_of_any_kind_are_taken(sampling_rate):
    assert ECGAnalysisConfig(sampling_rate=sampling_rate).sampling_rate == sampling_rate


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sampling_rate", 99.9),
        ("sampling_rate", 2001),
        ("sampling_rate", np.nan),
        ("sampling_rate", "500"),
        ("sampling_rate", True),
        ("sampling_rate", None),
        ("enable_hrv", 1),
        ("enable_anomaly_detection", "yes"),
        ("min_heart_rate", 0),
        ("min_heart_rate", 200.0),
        ("max_heart_rate", 1e9),
        ("max_heart_rate", 39.0),
        ("noise_threshold", 0.0),
        ("noise_threshold", 1.1),
        ("min_signal_quality", -0.1),
    ],
)
def test_values_out_of_bounds_are_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        ECGAnalysisConfig(**{field: value})


def test_unknown_fields_are_refused():
    with pytest.raises(TypeError):
        ECGAnalysisConfig(samplerate=500)


def test_results_and_configurations_are_frozen(analyzer, clean_lead):
    result = analyzer.analyze(clean_lead, ECGAnalysisConfig(sampling_rate=360.0))
    for thing in (result, result.config, result.hrv_metrics, result.lead_quality[0]):
        field = dataclasses.fields(thing)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, field, 1)
    assert pickle.loads(pickle.dumps(result)).to_dict() == result.to_dict()


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (InvalidSignalError, ValueError),
        (ConfigError, ValueError),
        (NativeError, RuntimeError),
        (NativeUnavailableError, ImportError),
    ],
)
def test_errors_have_their_place_and_travel(error, builtin):
    raised = error("what to do")
    raised.batch_index = 3
    copy = pickle.loads(pickle.dumps(raised))
    assert type(copy) is error
    assert (str(copy), copy.batch_index) == ("what to do", 3)
    assert isinstance(raised, ECGError)
    assert isinstance(raised, builtin)
