"""The tree of errors: each has its status, code and title, and survives pickling."""

import pickle

import pytest

from serve_app import errors
from serve_app.errors import EcgServeError

CLASSES = [getattr(errors, name) for name in errors.__all__]
# From the contract: what others test against.
CONTRACT = {
    "invalid_format": 400,
    "corrupted_data": 400,
    "invalid_signal": 400,
    "missing_parameter": 400,
    "unsupported_media_type": 415,
    "processing_failed": 500,
    "overloaded": 503,
    "model_unavailable": 503,
    "resource_exhausted": 503,
    "inference_timeout": 504,
}


def test_all_names_every_class():
    defined = {
        name
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, EcgServeError)
    }
    assert defined == set(errors.__all__)


@pytest.mark.parametrize("kind", CLASSES)
def test_survives_pickling(kind):
    error = kind("what happened", "what to do", {"leads": ["V1"]})
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.detail, again.hint, again.extra) == (error.detail, error.hint, error.extra)
    assert str(again) == "what happened"


@pytest.mark.parametrize("kind", CLASSES)
def test_is_drawn_in_the_docstring(kind):
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind("x").hint


@pytest.mark.parametrize(("code", "status"), CONTRACT.items())
def test_codes_of_the_contract(code, status):
    assert any((kind.code, kind.status) == (code, status) for kind in CLASSES)
