"""/v1/predict:batch in this process: order, one bad item, whole-request problems, bounds."""

import asyncio
import json

import pytest
from starlette.testclient import TestClient

from serve_app.api import create_app
from serve_app.api.batch import BatchLine
from serve_app.errors import EcgServeError, ModelUnavailable
from serve_app.pipeline import Pipeline
from serve_app.recording import STANDARD_LEADS
from serve_app.settings import load_settings

PATH = "/v1/predict:batch"


def lines(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    told = [BatchLine.model_validate_json(line) for line in response.content.splitlines()]
    assert [line.index for line in told] == list(range(len(told)))
    return told


@pytest.fixture(scope="module")
def ptbxl(data_dir):
    folder = data_dir / "twelve_lead" / "ptbxl" / "records500" / "00000"
    headers = sorted(folder.glob("*.hea"))[:4]
    files = [path for header in headers for path in (header, header.with_suffix(".dat"))]
    return {path.name: path.read_bytes() for path in files}


def test_a_zip_of_records_answers_as_each_alone(client, ptbxl, zipped):
    told = lines(client.post(PATH, content=zipped(ptbxl)))
    assert [line.name for line in told] == sorted({name[:-4] for name in ptbxl})
    for line in told:
        files = [
            ("file", (f"{line.name}{end}", ptbxl[line.name + end])) for end in (".hea", ".dat")
        ]
        alone = client.post("/v1/predict", files=files).json()
        assert line.result.recording.sha256 == alone["recording"]["sha256"]
        batched = [prediction.probability for prediction in line.result.predictions]
        single = [prediction["probability"] for prediction in alone["predictions"]]
        assert batched == pytest.approx(single, abs=1e-5)


def test_one_bad_item_harms_none_and_keeps_its_place(client, dicom_bytes, ptbxl):
    bad = {"a.dcm": dicom_bytes[:9000], "b.dat": b"lost", "empty.csv": b""}
    files = {"first.dcm": dicom_bytes, **bad, **ptbxl, "last.dcm": dicom_bytes}
    told = lines(client.post(PATH, files=[("file", each) for each in files.items()]))
    codes = {line.name: line.error.code for line in told if line.error}
    assert codes == {"a.dcm": "corrupted_data", "b.dat": "invalid_format",
                     "empty.csv": "invalid_format"}  # fmt: skip
    assert [told[0].name, told[-1].name] == ["first.dcm", "last.dcm"]
    assert all((line.result is None) != (line.error is None) for line in told)
    assert {line.error.request_id for line in told if line.error} == {told[0].result.request_id}


def test_a_json_array(client, sinus_mv):
    leads = {name: row.tolist() for name, row in zip(STANDARD_LEADS, sinus_mv, strict=True)}
    good = {"fs_hz": 500, "units": "mV", "leads": leads}
    bad = [{"fs_hz": 500}, 7, "text", {"fs_hz": 500, "leads": {"I": [1, 2]}}]
    response = client.post(PATH, json=[good, *bad, good])
    told = lines(response)
    codes = [line.error and line.error.code for line in told]
    expected = ["schema_violation", "invalid_format", "schema_violation", "invalid_signal"]
    assert codes == [None, *expected, None]
    assert "name" not in json.loads(response.content.splitlines()[0])
    alone = client.post("/v1/predict", json=good).json()
    assert told[-1].result.predictions[0].probability == pytest.approx(
        alone["predictions"][0]["probability"], abs=1e-5
    )


def test_the_query_is_every_recording_s(client, sinus_mv, as_npy):
    query = {"fs_hz": 500, "leads": "I,II", "missing_leads": "zero", "analysis": "false",
             "embedding": "true"}  # fmt: skip
    files = [("file", (f"{i}.npy", as_npy(sinus_mv[:2]))) for i in range(3)]
    for line in lines(client.post(PATH, params=query, files=files)):
        assert line.result.analysis is None
        assert line.result.embedding
        assert line.result.recording.zero_filled_leads == list(STANDARD_LEADS[2:])


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", "application/octet-stream", 400, "invalid_format"),
        (b"[]", "application/json", 400, "invalid_format"),
        (b'{"fs_hz": 500}', "application/json", 400, "invalid_format"),
        (b"[{}", "application/json", 400, "invalid_format"),
        (b"PK\x03\x04 damaged", "application/zip", 400, "corrupted_data"),
        (b"DICM", "image/png", 415, "unsupported_media_type"),
        (b"[" + b"{}," * 1000 + b"{}]", "application/json", 413, "payload_too_large"),
    ],
)
def test_what_is_no_batch_is_told_before_the_stream(client, body, kind, status, code):
    response = client.post(PATH, content=body, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("model=other", 404, "model_not_found"),
        ("precision=int3", 400, "invalid_parameter"),
        ("fs_hz=-1", 400, "invalid_parameter"),
    ],
)
def test_what_is_wrong_with_all_is_told_before_the_stream(client, query, status, code):
    response = client.post(f"{PATH}?{query}", json=[{}])
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_the_default_model_s_absence_is_told_before_the_stream(settings, dicom_bytes):
    class Gone:
        async def info(self, model=None):
            raise ModelUnavailable("Gone.")

    with TestClient(create_app(Pipeline(settings, Gone()), settings)) as client:
        response = client.post(PATH, files={"file": ("a.dcm", dicom_bytes)})
    assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")


class Gate:
    """A model whose answers wait to be let through, and that counts who waits."""

    def __init__(self, info):
        self._info = info
        self.asked = self.at_once = self.waiting = 0
        self.open = asyncio.Semaphore(0)

    async def info(self, model=None):
        return self._info

    async def ask(self, segments, model=None):
        self.asked += 1
        self.waiting += 1
        self.at_once = max(self.at_once, self.waiting)
        try:
            await self.open.acquire()
        finally:
            self.waiting -= 1
        raise ModelUnavailable("Only a gate.")


class Talk:
    """An ASGI conversation: what the app sends is taken one by one."""

    def __init__(self, app, body):
        self.sent = asyncio.Queue(1)
        self.gone = asyncio.Event()
        self._body = [body]
        headers = [(b"content-type", b"application/zip")]
        scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
                 "http_version": "1.1", "method": "POST", "path": PATH, "raw_path": PATH.encode(),
                 "query_string": b"", "headers": headers, "scheme": "http"}  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self.sent.put))

    async def _receive(self):
        if self._body:
            return {"type": "http.request", "body": self._body.pop()}
        await self.gone.wait()
        return {"type": "http.disconnect"}


@pytest.fixture
def gated(pipeline, zipped, dicom_bytes):
    """An app with a gate for a model, and a body of 12 recordings."""

    async def make(**overrides):
        settings = load_settings(**overrides)
        gate = Gate(await pipeline.model_info())
        app = create_app(Pipeline(settings, gate), settings)
        return gate, Talk(app, zipped({f"{i:02}.dcm": dicom_bytes for i in range(12)}))

    return make


async def settled(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_lines_leave_as_soon_as_they_are_ready_and_few_recordings_are_under_way(gated):
    async def play():
        gate, talk = await gated(batch_concurrency=3)
        await settled(lambda: gate.waiting == 3)
        for _ in range(3):
            gate.open.release()
        start = await talk.sent.get()
        first = await asyncio.wait_for(talk.sent.get(), 5)
        assert start["status"] == 200
        assert json.loads(first["body"])["error"]["code"] == "model_unavailable"
        assert first["more_body"]
        for _ in range(9):
            gate.open.release()
        bodies = [(await talk.sent.get())["body"] for _ in range(12)]
        await talk.task
        assert json.loads(bodies[-2])["index"] == 11
        assert gate.at_once == 3

    asyncio.run(play())


def test_who_does_not_read_is_not_worked_for(gated):
    async def play():
        gate, talk = await gated(batch_concurrency=2)
        for _ in range(12):
            gate.open.release()
        await settled(talk.sent.full)
        await asyncio.sleep(0.5)
        # The first message waits to be taken, and those that are under way.
        assert gate.asked <= 4
        while (await talk.sent.get()).get("more_body", True):
            pass
        await talk.task
        assert gate.asked == 12

    asyncio.run(play())


def test_who_leaves_ends_the_work(gated):
    async def play():
        gate, talk = await gated(batch_concurrency=4)
        await talk.sent.get()
        await settled(lambda: gate.waiting == 4)
        talk.gone.set()
        await asyncio.wait_for(talk.task, 5)
        assert (gate.waiting, gate.asked) == (0, 4)

    asyncio.run(play())


def test_a_bug_in_one_recording_s_way_is_told_in_its_line(settings, pipeline, dicom_bytes):
    class Broken(Gate):
        async def ask(self, segments, model=None):
            self.asked += 1
            if self.asked == 1:
                raise RuntimeError("secret of /tmp/patient")
            raise EcgServeError("Told.")

    info = asyncio.run(pipeline.model_info())
    files = [("file", (f"{i}.dcm", dicom_bytes)) for i in range(3)]
    with TestClient(create_app(Pipeline(settings, Broken(info)), settings)) as client:
        response = client.post(PATH, files=files)
    assert "secret" not in response.text
    assert [line.error.code for line in lines(response)] == ["processing_failed"] * 3
