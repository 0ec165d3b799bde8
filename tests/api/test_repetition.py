"""ETag, If-None-Match and Idempotency-Key: what is known already is not worked out again."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.api.idempotency import AnsweredKeys, parse_key
from serve_app.errors import IdempotencyKeyReused, InvalidParameter, RequestInProgress
from serve_app.pipeline import Pipeline

PATHS = ["/v1/predict", "/v1/analyze", "/v1/embed", "/v1/explain"]


def post(client, path, body, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, content=body, headers={"Accept-Encoding": "identity"} | named)


@pytest.mark.parametrize("path", PATHS)
def test_a_known_answer_is_not_sent_again(client, dicom_bytes, path):
    first, second = (post(client, path, dicom_bytes) for _ in range(2))
    tag = first.headers["etag"]
    assert tag == second.headers["etag"]
    assert not tag.startswith("W/")
    known = post(client, path, dicom_bytes, If_None_Match=f'"other", {tag}')
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert known.headers["cache-control"] == "private, no-store"
    for wrong in ('"other"', "*", "nonsense", tag[:-2] + '"'):
        assert post(client, path, dicom_bytes, If_None_Match=wrong).status_code == 200


def test_answers_that_differ_have_tags_that_differ(client, dicom_bytes, data_dir):
    record = data_dir / "formats" / "dicom" / "Example.dcm"
    ways = [
        ("/v1/predict", dicom_bytes, {}),
        ("/v1/analyze", dicom_bytes, {}),
        ("/v1/embed", dicom_bytes, {}),
        ("/v1/predict", record.read_bytes(), {}),
        ("/v1/predict?analysis=false", dicom_bytes, {}),
        ("/v1/predict?missing_leads=zero", dicom_bytes, {}),
        ("/v1/predict?units=uV", dicom_bytes, {}),
        ("/v1/predict", dicom_bytes, {"Accept": "application/x-npy"}),
        ("/v1/predict", dicom_bytes, {"Accept-Encoding": "gzip"}),
        ("/v1/predict", dicom_bytes, {"Accept-Encoding": "zstd"}),
        ("/v1/explain", dicom_bytes, {}),
        ("/v1/explain?method=gradient", dicom_bytes, {}),
    ]
    tags = [post(client, path, body, **headers).headers["etag"] for path, body, headers in ways]
    assert len(set(tags)) == len(ways)


def test_a_tag_names_the_content_and_not_who_asked(client, dicom_bytes):
    def content(response):
        answer = response.json()
        for name in ("id", "created_at", "request_id", "timing_ms"):
            del answer[name]
        return answer

    one = post(client, "/v1/predict", dicom_bytes, X_Request_ID="one")
    two = post(client, "/v1/predict", dicom_bytes, X_Request_ID="two")
    assert one.headers["etag"] == two.headers["etag"]
    assert content(one) == content(two)


def test_a_compressed_answer_s_tag_is_known_again(client, dicom_bytes):
    sent = post(client, "/v1/predict", dicom_bytes, Accept_Encoding="gzip")
    assert sent.headers["etag"].endswith('-gzip"')
    known = post(client, "/v1/predict", dicom_bytes, If_None_Match=sent.headers["etag"])
    assert (known.status_code, known.headers["etag"]) == (304, sent.headers["etag"])


def test_304_asks_no_model(pipeline, settings, dicom_bytes, client):
    class Silent:
        async def info(self, model=None):
            return await pipeline.model_info(model)

        async def ask(self, segments, model=None):
            raise AssertionError("asked")

    tag = post(client, "/v1/predict", dicom_bytes).headers["etag"]
    with TestClient(create_app(Pipeline(settings, Silent()), settings)) as silent:
        assert post(silent, "/v1/predict", dicom_bytes, If_None_Match=tag).status_code == 304


def test_a_bad_request_is_bad_whatever_is_known(client, dicom_bytes):
    tag = post(client, "/v1/predict", dicom_bytes).headers["etag"]
    wrong = post(client, "/v1/predict?model=other", dicom_bytes, If_None_Match=tag)
    assert wrong.status_code == 404
    other = post(client, "/v1/predict?precision=int8", dicom_bytes, If_None_Match=tag)
    assert other.status_code == 400


@pytest.mark.parametrize("path", PATHS)
def test_a_key_brings_back_the_first_answer(client, dicom_bytes, path):
    key = f'"{path}"'
    first = post(client, path, dicom_bytes, Idempotency_Key=key)
    again = post(client, path, dicom_bytes, Idempotency_Key=key)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    packed = post(client, path, dicom_bytes, Idempotency_Key=key, Accept_Encoding="gzip")
    assert packed.json() == first.json()


def test_a_key_is_of_one_request(client, dicom_bytes, data_dir):
    other = (data_dir / "formats" / "dicom" / "Example.dcm").read_bytes()
    post(client, "/v1/analyze", dicom_bytes, Idempotency_Key="of-one")
    for path, body, accept in [
        ("/v1/analyze", other, "*/*"),
        ("/v1/predict", dicom_bytes, "*/*"),
        ("/v1/analyze?fs_hz=1000", dicom_bytes, "*/*"),
        ("/v1/analyze", dicom_bytes, "text/csv"),
    ]:
        refused = post(client, path, body, Idempotency_Key="of-one", Accept=accept)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


def test_an_error_leaves_the_key_free(client, dicom_bytes):
    failed = post(client, "/v1/analyze", dicom_bytes[:9000], Idempotency_Key="freed")
    assert failed.status_code == 400
    assert post(client, "/v1/analyze", dicom_bytes, Idempotency_Key="freed").status_code == 200


@pytest.mark.parametrize("key", ["", " ", '"', '"a', "ä".encode(), "x" * 256, "a b"])
def test_keys_that_are_none(client, dicom_bytes, key):
    refused = post(client, "/v1/analyze", dicom_bytes, Idempotency_Key=key)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")


def test_the_same_request_at_the_same_time_is_told_to_wait(pipeline, settings, dicom_bytes):
    class Held:
        def __init__(self):
            self.asked, self.go_on = threading.Event(), threading.Event()

        async def info(self, model=None):
            return await pipeline.model_info(model)

        async def ask(self, segments, model=None):
            self.asked.set()
            await asyncio.to_thread(self.go_on.wait, 10)
            return await pipeline._model.ask(segments)

    held = Held()
    app = create_app(Pipeline(settings, held), settings)
    with TestClient(app) as client, ThreadPoolExecutor(1) as others:
        first = others.submit(post, client, "/v1/predict", dicom_bytes, Idempotency_Key="k")
        assert held.asked.wait(10)
        refused = post(client, "/v1/predict", dicom_bytes, Idempotency_Key="k")
        assert (refused.status_code, refused.json()["code"]) == (409, "request_in_progress")
        other = post(client, "/v1/predict?analysis=false", dicom_bytes, Idempotency_Key="k")
        assert other.status_code == 422
        held.go_on.set()
        assert first.result().status_code == 200
        again = post(client, "/v1/predict", dicom_bytes, Idempotency_Key="k")
        assert again.json()["id"] == first.result().json()["id"]


def take(keys, key, body=b"answer", fingerprint=b"f"):
    with keys.turn(key, fingerprint) as turn:
        if turn.earlier is None:
            turn.answer = Response(body)
        return turn.earlier


def test_answers_are_forgotten_in_time_and_when_there_are_too_many():
    now = [0.0]
    keys = AnsweredKeys(10, 4000, clock=lambda: now[0])
    assert take(keys, "a") is None
    assert take(keys, "a").body == b"answer"
    now[0] = 10
    assert take(keys, "a") is None
    assert take(keys, "b", bytes(1000)) is None
    assert take(keys, "c", bytes(1000)) is None  # now there is no room for the first
    assert take(keys, "c") is not None
    assert take(keys, "a") is None
    assert take(keys, "large", bytes(5000)) is None
    assert take(keys, "large") is None


def test_a_turn_is_one_at_a_time_and_frees_its_key_when_it_fails():
    keys = AnsweredKeys(10, 4000)

    def fail():
        with keys.turn("a", b"f"):
            for fingerprint, error in ((b"f", RequestInProgress), (b"g", IdempotencyKeyReused)):
                with pytest.raises(error):
                    take(keys, "a", fingerprint=fingerprint)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert take(keys, "a", fingerprint=b"g") is None


def test_both_spellings_of_a_key_are_one():
    assert parse_key('"8e03"') == parse_key(" 8e03 ") == "8e03"
    with pytest.raises(InvalidParameter):
        parse_key('8"e')


def test_an_answer_without_the_model_is_not_tagged(settings, dicom_bytes):
    from serve_app.errors import ModelUnavailable
    from serve_app.settings import load_settings

    class Gone:
        async def info(self, model=None):
            raise ModelUnavailable("Gone.")

        async def ask(self, segments, model=None):
            raise ModelUnavailable("Gone.")

    lenient = load_settings(when_model_fails="signal_only")
    with TestClient(create_app(Pipeline(lenient, Gone()), lenient)) as client:
        answered = post(client, "/v1/predict", dicom_bytes, If_None_Match='"x"')
        assert json.loads(answered.text)["degraded"] == "signal_only"
        assert "etag" not in answered.headers
        array = post(client, "/v1/predict", dicom_bytes, Accept="application/x-npy")
        assert array.json()["code"] == "model_unavailable"
