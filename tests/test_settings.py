import pytest

from serve_app.errors import SettingsError
from serve_app.settings import Settings, load_settings


def test_defaults_serve_the_demo_on_loopback(settings):
    assert (settings.model, settings.host, settings.port) == ("demo", "127.0.0.1", 8000)
    assert settings.profile == "graph"


def test_environment_then_overrides(monkeypatch):
    monkeypatch.setenv("ECG_PORT", "9001")
    monkeypatch.setenv("ECG_MAX_BODY_MB", "7")
    assert load_settings(port=None).port == 9001
    assert load_settings(port=9002).port == 9002
    assert load_settings().max_body_mb == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ECG_PORT", "eighty"),
        ("ECG_PORT", "0"),
        ("ECG_GRPC_PORT", "0"),
        ("ECG_GRPC_PORT", "8000"),
        ("ECG_PROFILE", "everything"),
        ("ECG_PRECISION", "int3"),
        ("ECG_REQUEST_TIMEOUT_S", "-1"),
        ("ECG_MAX_BODY_MB", "0"),
        ("ECG_MODEL", ""),
        ("ECG_MODEL_REVISION", ""),
        ("ECG_MODEL_REVISION", "main"),
        ("ECG_MODEL_REVISION", "abc123"),
        ("ECG_MAX_BODY_MIB", "5"),
        ("ECG_MODELS", "/models/v2"),
        ("ECG_MODELS", '[""]'),
        ("ECG_MAX_LOADED_MODELS", "1"),
        ("ECG_WHEN_MODEL_FAILS", "guess"),
    ],
)
def test_malformed_or_unknown_variables_are_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert name.removeprefix("ECG_").lower() in str(refused.value).lower()


def test_unknown_keys_are_refused():
    with pytest.raises(SettingsError, match="hots"):
        load_settings(hots="127.0.0.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "ecg.example"])
def test_other_addresses_are_refused_without_auth(host):
    with pytest.raises(SettingsError, match="loopback"):
        load_settings(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_needs_no_auth(host):
    assert load_settings(host=host).host == host


def test_replica_bounds_must_fit():
    with pytest.raises(SettingsError, match="model_max_replicas"):
        load_settings(model_min_replicas=3, model_max_replicas=2)


def test_every_setting_is_told_apart_by_name():
    assert all(name == name.lower() for name in Settings.model_fields)
