"""Recordings of any length by both clients, over loopback; and answers that break off."""

import asyncio
import threading
import tracemalloc
from contextlib import closing

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.server import free_port
from serve_app.api import create_app
from serve_app.client import NO_RETRIES, AsyncClient, Client, Retries, ServerProblem
from serve_app.errors import NotFound, Unavailable
from serve_app.settings import load_settings
from serve_app.streaming.lines import RecordingLine, SummaryLine, WindowLine
from tests.flaky_app import Flaky, overloaded
from tests.live_app import live

QUICK = Retries(attempts=4, within_s=20)
PROBLEM = (
    b'{"type": "error", "code": "model_unavailable", "title": "Model unavailable", "status": 503,'
    b' "detail": "It went away.", "hint": "Later.", "request_id": "1"}\n'
)


@pytest.fixture(scope="module")
def flaky(pipeline):
    settings = load_settings(max_long_body_mb=8, max_long_recordings=1)
    return Flaky(create_app(pipeline, settings))


@pytest.fixture(scope="module")
def url(flaky):
    with live(flaky) as url:
        yield url


@pytest.fixture(autouse=True)
def forgotten(flaky):
    flaky.failures, flaky.seen = [], []


@pytest.fixture(params=["plain", "asynchronous"])
def follow(request, url):
    """`follow(what, sent, **query)` by either client: all lines; `taken` gets each as it comes."""

    def plainly(*args, at=url, retries=QUICK, taken=lambda line: None, **query):
        with Client(at, retries=retries) as client:
            return [line for line in client.follow(*args, **query) if taken(line) is None]

    async def asynchronously(*args, at=url, retries=QUICK, taken=lambda line: None, **query):
        async with AsyncClient(at, retries=retries) as client:
            return [line async for line in client.follow(*args, **query) if taken(line) is None]

    if request.param == "plain":
        return plainly
    return lambda *args, **query: asyncio.run(asynchronously(*args, **query))


@pytest.fixture(scope="module")
def first_lines(url, dicom_path):
    """A recording's line and a window's, as the server writes them."""
    with Client(url) as client:
        return [line.to_json() + b"\n" for line in client.follow("analyze", dicom_path)][:2]


def answering(body):
    """An application that answers everything by these bytes, or what gives them."""

    async def answer(request):
        async for _ in request.stream():
            pass
        if isinstance(body, bytes):
            return Response(body, media_type="application/x-ndjson")
        return StreamingResponse(body(), media_type="application/x-ndjson")

    return Starlette(routes=[Route("/v1/{what}", answer, methods=["POST"])])


@pytest.mark.parametrize(
    ("name", "windows", "beats"),
    [
        ("beats/mitdb/100.hea", 181, 2273),
        ("formats/ishne/ECG_P28.01.ecg", 10, 94),
        ("derived/edf/mitdb201_plus.edf", 6, 89),
    ],
)
def test_real_recordings_in_typed_lines(follow, data_dir, name, windows, beats):
    first, *told, last = follow("analyze", data_dir / name)
    assert isinstance(first, RecordingLine)
    assert isinstance(last, SummaryLine)
    assert len(told) == first.windows == windows
    assert all(isinstance(line, WindowLine) for line in told)
    assert last.rhythm.beats == pytest.approx(beats, abs=2)


def test_options_reach_the_server(follow, dicom_path, sinus_mv):
    lines = follow("predict", str(dicom_path), window_s=5)
    assert [len(line.predictions) for line in lines[1:-1]] == [17, 17]
    query = {"fs_hz": 500, "leads": ("I", "II"), "missing_leads": "zero"}
    lines = follow("predict", sinus_mv[:2], **query)
    assert len(lines[0].recording.zero_filled_leads) == 10
    assert lines[0].model.demo
    lines = follow("analyze", dicom_path.read_bytes())
    assert lines[0].model is None


def test_lines_come_while_the_server_still_works(follow, first_lines, dicom_path):
    seen = threading.Event()

    async def body():
        yield first_lines[0]
        assert await asyncio.to_thread(seen.wait, 20)
        yield first_lines[1] + PROBLEM

    taken = []

    def take(line):
        taken.append(line.type)
        seen.set()

    with live(answering(body)) as url, pytest.raises(ServerProblem, match="It went away") as told:
        follow("analyze", dicom_path, at=url, taken=take)
    assert taken == ["recording", "window"]
    assert told.value.problem["code"] == "model_unavailable"
    assert told.value.http_status == 503


def test_files_are_sent_as_they_are_read(follow, tmp_path):
    size = 64 << 20
    (tmp_path / "day.hea").write_text("day 1 500 33554432\nday.dat 16 1000/mV 16 0 0 0 0 II\n")
    for name in ("day.dat", "day.bin"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    received = []

    async def measure(scope, receive, send):
        count, more = 0, True
        while more:
            message = await receive()
            count, more = count + len(message["body"]), message["more_body"]
        received.append((count, dict(scope["headers"])))
        await PlainTextResponse("enough", 400)(scope, receive, send)

    with live(measure) as url:
        for name in ("day.hea", "day.bin"):
            tracemalloc.start()
            with pytest.raises(ServerProblem):
                follow("analyze", tmp_path / name, at=url, retries=NO_RETRIES)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < size / 8
    (parts, of_parts), (body, of_body) = received
    assert body == size == int(of_body[b"content-length"])
    assert size < parts == int(of_parts[b"content-length"])
    assert of_parts[b"content-type"].startswith(b"multipart/form-data")


def test_it_is_tried_again_until_the_first_line(follow, flaky, data_dir, dicom_path):
    flaky.failures = [overloaded(), PlainTextResponse("bad gateway", 502), "cut"]
    assert follow("analyze", dicom_path)[-1].type == "summary"
    assert len(flaky.seen) == 4
    flaky.failures = ["cut"]  # its files are read again from their start
    folder = data_dir / "twelve_lead/ptbxl/records500/00000"
    assert follow("analyze", folder / "00014_hr.hea")[0].recording.format == "wfdb"


@pytest.mark.parametrize("end", ["clean", "broken"])
def test_what_breaks_off_is_told_and_not_asked_again(follow, first_lines, dicom_path, end):
    async def body():
        for line in first_lines:
            yield line
        if end == "broken":
            raise ConnectionError

    app, taken = Flaky(answering(body)), []
    with live(app) as url, pytest.raises(Unavailable, match="ends at 10 s, without a summary"):
        follow("analyze", dicom_path, at=url, taken=lambda line: taken.append(line.type))
    assert taken == ["recording", "window"]
    assert len(app.seen) == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}\n", b'{"type": "recording"}\n', b"\xff\n", b"window first"]
)
def test_what_is_no_such_answer(follow, first_lines, dicom_path, body):
    body = first_lines[1] if body == b"window first" else body
    with live(answering(body)) as url, pytest.raises(ServerProblem, match="cannot be read"):
        follow("analyze", dicom_path, at=url)


def test_problems_before_the_first_line(follow, flaky, tmp_path, sinus_mv):
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(9 << 20))
    for sent, code in (
        (large, "payload_too_large"),
        (b"hello, world", "invalid_format"),
        (sinus_mv, "missing_parameter"),
    ):
        with pytest.raises(ServerProblem) as told:
            follow("predict", sent)
        assert told.value.problem["code"] == code
    assert len(flaky.seen) == 3


def test_files_that_cannot_be_read(follow, flaky, tmp_path):
    for path in (tmp_path / "none.ecg", tmp_path / "none.hea", tmp_path):
        with pytest.raises(NotFound, match="cannot be read"):
            follow("analyze", path)
    assert not flaky.seen


def test_nobody_there(follow, dicom_path):
    with pytest.raises(Unavailable, match="cannot be reached"):
        follow("analyze", dicom_path, at=f"http://127.0.0.1:{free_port()}", retries=NO_RETRIES)


def test_who_leaves_early_gives_his_place_back(url, data_dir):
    path = data_dir / "beats/mitdb/100.hea"
    with Client(url, retries=QUICK) as client:
        for _ in range(3):  # only one is taken on at once
            with closing(client.follow("predict", path, missing_leads="zero")) as lines:
                assert next(lines).type == "recording"
