"""A server over HTTP and the pipeline in this process answer alike, and fail alike."""

import numpy as np
import pytest

from serve_app.api import create_app
from serve_app.client import ServerProblem
from serve_app.decoding import Hints, Upload
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InferenceTimeout,
    ModelUnavailable,
    Unavailable,
)
from serve_app.hospital.asking import asker, is_final
from tests.live_app import live


@pytest.fixture(scope="module")
def url(pipeline, settings):
    with live(create_app(pipeline, settings)) as url:
        yield url


def uploaded(content):
    return Upload((("", content),))


@pytest.fixture(params=["server", "here"])
def either(request, url, ask):
    if request.param == "here":
        yield ask
        return
    with asker(url) as ask_server:
        yield ask_server


def test_predictions(either, dicom_bytes):
    result = either(uploaded(dicom_bytes))
    assert result.model.demo
    assert len(result.predictions) == 17


def test_what_is_no_signal_for_the_model_is_analysed(either, data_dir):
    holter = (data_dir / "derived/dicom/ambulatory_ecg_mitdb208.dcm").read_bytes()
    result = either(uploaded(holter))
    assert result.model is None
    assert result.analysis.r_peaks_s


def test_hints_reach_a_server(url, data_dir):
    unnamed = (data_dir / "formats/scp/healforce_62.scp").read_bytes()
    with asker(url, hints=Hints(leads=("I", "II", "III"))) as ask_server:
        assert ask_server(uploaded(unnamed)).recording.leads[:3] == ["I", "II", "III"]


@pytest.mark.parametrize(
    "content", [b"\x00\x01nothing", b"\0" * 128 + b"DICM" + b"\xff" * 99], ids=["none", "damaged"]
)
def test_bad_recordings_are_final(either, content):
    with pytest.raises(EcgServeError) as caught:
        either(uploaded(content))
    assert is_final(caught.value)


def test_what_no_analysis_can_be_made_of_is_final(either, as_npy):
    with pytest.raises(EcgServeError) as caught:
        either(uploaded(as_npy(np.zeros((12, 5000)))))
    assert is_final(caught.value)


def test_a_server_that_is_away_may_come_back():
    with asker("http://127.0.0.1:9") as ask, pytest.raises(Unavailable) as caught:
        ask(uploaded(b"x"))
    assert not is_final(caught.value)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (CorruptedData("x"), True),
        (ModelUnavailable("x"), False),
        (InferenceTimeout("x"), False),
        (EcgServeError("x"), False),
        (ServerProblem({"status": 413}), True),
        (ServerProblem({"status": 403}), False),
        (ServerProblem({"status": 429}), False),
        (ServerProblem({"status": 502}), False),
        (ServerProblem({}), False),
    ],
)
def test_which_errors_are_final(error, final):
    assert is_final(error) == final
