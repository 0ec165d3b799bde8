"""WS /v1/stream: in this process, and by the client over a real server."""

import asyncio
import json
import time

import ecg_processor_py as core
import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from serve_app.api import create_app
from serve_app.pipeline import Pipeline
from serve_app.recording import STANDARD_LEADS, make_recording
from serve_app.settings import load_settings

PATH = "/v1/stream"
FS_HZ = 500.0


@pytest.fixture(scope="module")
def client(pipeline):
    settings = load_settings(client_timeout_s=1.0, stream_max_speed=1000.0, max_streams=2)
    with TestClient(create_app(pipeline, settings)) as client:
        yield client


@pytest.fixture(scope="module")
def signal_mv(sinus_mv):
    """(12, 11000) millivolts: 22 s at 500 Hz, of a real recording."""
    return np.ascontiguousarray(np.tile(sinus_mv, (1, 3))[:, :11_000])


def start(**changes):
    return {"type": "start", "fs_hz": FS_HZ, "leads": list(STANDARD_LEADS)} | changes


def binary(chunk):
    return chunk.T.astype("<f4").tobytes()


def events_of(socket):
    while True:
        event = socket.receive_json()
        yield event
        if event["type"] in ("summary", "error"):
            return


def answered(client, chunks, **changes):
    """All events for chunks: bytes, or JSON messages."""
    with client.websocket_connect(PATH) as socket:
        socket.send_json(start(**changes))
        for chunk in chunks:
            if isinstance(chunk, bytes):
                socket.send_bytes(chunk)
            else:
                socket.send_json(chunk)
        socket.send_json({"type": "end"})
        return list(events_of(socket))


def cut(signal, size=250):
    return [signal[:, at : at + size] for at in range(0, signal.shape[1], size)]


def of_kind(events, kind):
    return [event for event in events if event["type"] == kind]


@pytest.fixture(scope="module")
def events(client, signal_mv):
    return answered(client, map(binary, cut(signal_mv)))


def test_beats_are_the_signal_core_s(events, signal_mv):
    plain = core.StreamingAnalyzer(FS_HZ, 12)
    expected = plain.push(signal_mv) + plain.flush()
    beats = of_kind(events, "beat")
    assert len(beats) > 18
    assert [beat["time_s"] for beat in beats] == [round(beat.time_s, 6) for beat in expected]
    assert beats[0]["rr_ms"] is None
    assert beats[-1]["heart_rate_bpm"] == pytest.approx(61, abs=3)
    assert all(0 < beat["confidence"] <= 1 for beat in beats)


@pytest.mark.parametrize("samples", [11_000, 1700, 10_000])
def test_the_summary_measures_what_no_result_was_due_for(client, signal_mv, samples):
    summary = answered(client, [binary(signal_mv[:, :samples])], predictions=False)[-1]
    assert summary["rhythm"]["measured_s"] == summary["duration_s"] == samples / FS_HZ
    assert summary["rhythm"]["heart_rate"]["mean_bpm"] == pytest.approx(61, abs=4)


@pytest.mark.parametrize("spoil", [lambda tail: tail * np.nan, lambda tail: tail * 1e6])
def test_a_poor_remainder_is_not_measured(client, signal_mv, spoil):
    """Of 22 s the last 2 s are missing, or no heart's."""
    signal = signal_mv.copy()
    signal[:, 10_000:] = spoil(signal[:, 10_000:])
    summary = answered(client, [binary(signal)], predictions=False)[-1]
    assert summary["rhythm"]["measured_s"] == 20


def test_the_events_in_their_order(events):
    assert events[0]["type"] == "started"
    assert events[0]["model"]["demo"] is True
    assert events[-1]["type"] == "summary"
    results = of_kind(events, "result")
    assert [(each["start_s"], each["end_s"]) for each in results] == [
        *((0, 5), (0, 10), (5, 15), (10, 20))
    ]
    assert events[-1]["results"] == 4
    assert events[-1]["duration_s"] == 22
    assert events[-1]["rhythm"]["beats"] == len(of_kind(events, "beat"))
    assert events[-1]["rhythm"]["heart_rate"]["mean_bpm"] == pytest.approx(61, abs=3)


def test_a_result_is_of_the_last_ten_seconds(events, pipeline, signal_mv):
    told = of_kind(events, "result")[2]["result"]
    window = make_recording(
        signal_mv[:, 2500:7500], fs_hz=FS_HZ, leads=STANDARD_LEADS, format="array", sha256="0"
    )
    alone = asyncio.run(pipeline.predict(window)).to_dict()
    assert told["quality"] == alone["quality"]
    assert told["analysis"] == alone["analysis"]
    assert len(told["segments"]) == 1
    assert (told["segments"][0]["start_s"], told["segments"][0]["end_s"]) == (5, 10)
    assert told["segments"][0]["probabilities"] == pytest.approx(
        alone["segments"][1]["probabilities"], abs=1e-5
    )
    assert len(told["predictions"]) == 17
    assert told["recording"]["duration_s"] == 10
    assert told["degraded"] is None


def test_json_says_what_binary_says(client, signal_mv, events):
    chunks = [{"samples": chunk.tolist()} for chunk in cut(signal_mv, 777)]
    told = answered(client, chunks)
    assert of_kind(told, "beat") == of_kind(events, "beat")
    for one, other in zip(of_kind(told, "result"), of_kind(events, "result"), strict=True):
        assert one["result"]["analysis"] == other["result"]["analysis"]


def test_microvolts(client, signal_mv, events):
    chunks = map(binary, cut(signal_mv * 1000))
    told = of_kind(answered(client, chunks, units="uV"), "beat")
    expected = of_kind(events, "beat")
    assert [beat["time_s"] for beat in told] == [beat["time_s"] for beat in expected]


def test_one_lead_without_a_model(client, signal_mv):
    chunks = [{"samples": chunk[1].tolist()} for chunk in cut(signal_mv)]
    told = answered(client, chunks, leads=["II"], predictions=False)
    assert told[0]["model"] is None
    result = of_kind(told, "result")[-1]
    assert result["not_predicted"] is None
    assert result["result"]["predictions"] == []
    assert result["result"]["analysis"]["heart_rate_bpm"] == pytest.approx(61, abs=3)


def test_leads_as_zeros(client, signal_mv):
    told = answered(
        client, map(binary, cut(signal_mv[:2])), leads=["I", "ii"], missing_leads="zero"
    )
    assert told[0]["leads"] == ["I", "II"]
    result = of_kind(told, "result")[0]["result"]
    assert len(result["recording"]["zero_filled_leads"]) == 10
    assert len(result["predictions"]) == 17


def test_missing_samples(client, signal_mv):
    broken = signal_mv.copy()
    broken[:, 5500:6500] = np.nan
    told = answered(client, map(binary, cut(broken)))
    reasons = [each["not_predicted"] for each in of_kind(told, "result")]
    assert reasons == [None, None, "missing_samples", "missing_samples"]
    assert of_kind(told, "result")[2]["result"] is None
    assert not [beat for beat in of_kind(told, "beat") if 11.3 < beat["time_s"] < 13]
    after = next(beat for beat in of_kind(told, "beat") if beat["time_s"] > 13)
    assert after["rr_ms"] is None
    samples = [[None] * 250] * 12
    assert answered(client, [{"samples": samples}])[-1]["rhythm"]["beats"] == 0


def test_a_flat_line(client):
    told = answered(client, [binary(np.zeros((12, 2500), np.float32))])
    result = of_kind(told, "result")[0]
    assert result["not_predicted"] == "flat"
    assert "flat" in result["result"]["quality"]["leads"]["I"]["issues"]


def assert_ended(client, messages, code, close_code, **changes):
    with client.websocket_connect(PATH) as socket:
        for message in messages:
            if isinstance(message, bytes):
                socket.send_bytes(message)
            elif isinstance(message, str):
                socket.send_text(message)
            else:
                socket.send_json(message)
        error = next(event for event in events_of(socket) if event["type"] == "error")
        assert error["code"] == code, error
        assert {"status", "title", "detail", "hint", "request_id"} <= error.keys()
        assert "/tmp" not in json.dumps(error)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert (closed.value.code, closed.value.reason) == (close_code, code)


@pytest.mark.parametrize(
    "first",
    [
        "no JSON",
        "[1, 2]",
        "[" * 100_000,
        b"\0" * 48,
        {"samples": [[1.0]]},
        start(fs_hz=20),
        start(fs_hz="NaN"),
        start(leads=[]),
        start(leads=["I"] * 101),
        start(units="V"),
        start(windows=5),
    ],
)
def test_a_start_that_is_none(client, first):
    assert_ended(client, [first], "schema_violation", 1008)


@pytest.mark.parametrize(
    "message",
    [
        b"\0" * 47,
        {"samples": [[1.0]]},
        {"samples": [[1.0], [1.0, 2.0]]},
        {"samples": "abc"},
        {"samples": [[[1.0]]] * 12},
        {"chunk": []},
        "[]",
    ],
)
def test_samples_that_are_none(client, message):
    assert_ended(client, [start(), message], "schema_violation", 1008)


def test_leads_of_which_no_model_can_be_asked(client):
    assert_ended(client, [start(leads=["II"])], "invalid_signal", 1008)
    assert_ended(client, [start(leads=["MLII"], missing_leads="zero")], "invalid_signal", 1008)
    assert_ended(client, [start(leads=["I", "i"])], "invalid_signal", 1008)


def test_hints_are_for_a_stream(client):
    with client.websocket_connect(PATH) as socket:
        socket.send_json(start(leads=["II"]))
        (error,) = (event for event in events_of(socket) if event["type"] == "error")
    assert '"missing_leads": "zero" in the first message' in error["hint"]


def test_another_model(client):
    assert_ended(client, [start(model="other")], "model_not_found", 1008)
    assert_ended(client, [start(precision="int3")], "invalid_parameter", 1008)


def test_a_message_that_is_too_large(client):
    assert_ended(client, [start(), b"\0" * (48 << 15)], "payload_too_large", 1009)


def test_a_client_that_says_nothing(client):
    assert_ended(client, [], "client_timeout", 1013)
    assert_ended(client, [start()], "client_timeout", 1013)


def test_only_so_many_at_once(client):
    with client.websocket_connect(PATH) as one, client.websocket_connect(PATH) as two:
        for socket in (one, two):
            socket.send_json(start())
            assert socket.receive_json()["type"] == "started"
        assert_ended(client, [], "overloaded", 1013)
    # Their places are free again.
    assert answered(client, [])[-1]["type"] == "summary"


def test_pages_of_other_origins_are_refused(pipeline):
    def opened(origin):
        try:
            with client.websocket_connect(PATH, headers={"Origin": origin}) as socket:
                socket.send_json(start())
                return socket.receive_json()["type"] == "started"
        except WebSocketDisconnect:
            return False

    settings = load_settings(cors_origins=["https://viewer.example"])
    with TestClient(create_app(pipeline, settings)) as client:
        assert opened("https://viewer.example")
        assert opened("http://testserver")
        assert not opened("https://other.example")
        assert not opened("null")


@pytest.mark.parametrize("when", ["refuse", "signal_only"])
def test_a_model_that_goes_away(failing_model, signal_mv, when):
    settings = load_settings(when_model_fails=when, stream_max_speed=1000.0)
    app = create_app(Pipeline(settings, failing_model(1)), settings)
    with TestClient(app) as client:
        if when == "refuse":
            messages = [start(), *map(binary, cut(signal_mv))]
            assert_ended(client, messages, "model_unavailable", 1013)
            return
        told = of_kind(answered(client, map(binary, cut(signal_mv))), "result")
    assert [each["not_predicted"] for each in told] == [None, *["model_unavailable"] * 3]
    assert [each["result"]["degraded"] for each in told] == [None, *["signal_only"] * 3]
    assert told[-1]["result"]["analysis"]["heart_rate_bpm"] == pytest.approx(61, abs=3)


def test_who_sends_too_fast_waits(pipeline, signal_mv):
    settings = load_settings(stream_max_speed=10.0)
    with TestClient(create_app(pipeline, settings)) as client:
        started_s = time.monotonic()
        answered(client, map(binary, cut(signal_mv)), predictions=False)
        # 22 s of signal, of which 10 may come at once, at ten times real time.
        assert time.monotonic() - started_s > 1.2
