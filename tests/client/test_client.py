"""Both clients against a real server over loopback, and against one that fails now and then."""

import asyncio
import pickle

import numpy as np
import pytest
from starlette.responses import PlainTextResponse

from benchmarks.server import free_port
from serve_app.api import create_app
from serve_app.client import NO_RETRIES, AsyncClient, Client, Retries, ServerProblem
from serve_app.decoding import Upload, decode
from serve_app.errors import NotFound, Unavailable
from serve_app.recording import STANDARD_LEADS
from tests.flaky_app import Flaky, overloaded
from tests.live_app import live

QUICK = Retries(attempts=4, within_s=20)


@pytest.fixture(scope="module")
def flaky(pipeline, settings):
    return Flaky(create_app(pipeline, settings))


@pytest.fixture(scope="module")
def url(flaky):
    with live(flaky) as url:
        yield url


@pytest.fixture(autouse=True)
def forgotten(flaky):
    flaky.failures, flaky.seen = [], []


@pytest.fixture(params=["plain", "asynchronous"])
def ask(request, url):
    """`ask(what, *args, **query)` by either client, with its retries."""

    def plainly(what, *args, retries=QUICK, **query):
        with Client(url, retries=retries) as client:
            return getattr(client, what)(*args, **query)

    async def asynchronously(what, *args, retries=QUICK, **query):
        async with AsyncClient(url, retries=retries) as client:
            return await getattr(client, what)(*args, **query)

    if request.param == "plain":
        return plainly
    return lambda *args, **query: asyncio.run(asynchronously(*args, **query))


def test_a_recording_in_every_form_is_answered_alike(ask, dicom_path, dicom_bytes):
    recording = decode(dicom_bytes)
    heart_rates = {
        ask(
            "analyze", sent, **({"fs_hz": 1000} if isinstance(sent, np.ndarray) else {})
        ).analysis.heart_rate_bpm
        for sent in (
            dicom_path,
            str(dicom_path),
            dicom_bytes,
            Upload((("", dicom_bytes),)),
            recording,
            recording.signal_mv,
        )
    }
    assert len(heart_rates) == 1


def test_a_wfdb_header_brings_its_signals(ask, data_dir):
    folder = data_dir / "twelve_lead" / "ptbxl" / "records500" / "00000"
    result = ask("predict", folder / "00014_hr.hea", analysis=False)
    assert result.recording.format == "wfdb"
    assert result.analysis is None


def test_each_question_has_its_typed_answer(ask, dicom_path):
    assert ask("predict", dicom_path, embedding=True).embedding
    assert ask("embed", dicom_path).to_array().shape[0] == 2
    assert ask("explain", dicom_path, method="attention").segments
    (card,) = ask("models")
    assert card == ask("model", "demo")
    assert ask("is_ready") is True


def test_leads_and_options_reach_the_server(ask, sinus_mv):
    result = ask(
        "predict", sinus_mv[:2], fs_hz=500, leads=("I", "II"), missing_leads="zero", analysis=False
    )
    assert result.recording.zero_filled_leads == list(STANDARD_LEADS[2:])


def test_a_problem_is_raised_with_its_document(ask):
    with pytest.raises(ServerProblem, match="empty") as told:
        ask("predict", b"")
    assert told.value.problem["code"] == "invalid_format"
    assert told.value.http_status == 400
    again = pickle.loads(pickle.dumps(told.value))
    assert again.problem == told.value.problem


def test_what_failed_for_the_moment_is_asked_again_under_one_key(ask, flaky, dicom_path):
    flaky.failures = [overloaded(), PlainTextResponse("bad gateway", 502), "cut"]
    assert ask("analyze", dicom_path).analysis
    assert len(flaky.seen) == 4
    assert len(set(flaky.keys())) == 1


def test_two_questions_have_two_keys(ask, flaky, dicom_path):
    ask("analyze", dicom_path)
    ask("analyze", dicom_path)
    assert len(set(flaky.keys())) == 2


def test_it_waits_as_long_as_it_is_told(ask, flaky, dicom_path):
    flaky.failures = [overloaded("1")]
    loop = asyncio.new_event_loop()
    started_s = loop.time()
    ask("analyze", dicom_path)
    assert 1.0 <= loop.time() - started_s < 8
    loop.close()


def test_it_gives_up_after_the_last_try(ask, flaky, dicom_path):
    flaky.failures = [overloaded() for _ in range(9)]
    with pytest.raises(ServerProblem, match="Full"):
        ask("analyze", dicom_path)
    assert len(flaky.seen) == QUICK.attempts


def test_what_is_wrong_is_not_asked_again(ask, flaky):
    with pytest.raises(ServerProblem):
        ask("predict", b"garbage")
    assert len(flaky.seen) == 1


def test_one_try_is_one_try(ask, flaky, dicom_path):
    flaky.failures = [overloaded()]
    with pytest.raises(ServerProblem):
        ask("analyze", dicom_path, retries=NO_RETRIES)
    assert len(flaky.seen) == 1


def test_nobody_there(dicom_path):
    with (
        Client(f"http://127.0.0.1:{free_port()}", retries=NO_RETRIES) as client,
        pytest.raises(Unavailable, match="cannot be reached"),
    ):
        client.predict(dicom_path)


def test_a_file_that_is_not_there(ask, tmp_path):
    with pytest.raises(NotFound, match="cannot be read"):
        ask("predict", tmp_path / "missing.hea")
