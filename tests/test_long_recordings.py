"""Recordings of any length, in this process."""

import asyncio
import tracemalloc

import numpy as np
import pytest

from serve_app.decoding import Hints, decode_path
from serve_app.errors import InvalidParameter, InvalidSignal, ModelUnavailable
from serve_app.pipeline import Options, Pipeline
from serve_app.recording import STANDARD_LEADS, make_recording
from serve_app.settings import load_settings
from serve_app.streaming.following import follow
from serve_app.streaming.lines import SummaryLine, WindowLine
from serve_app.streaming.source import open_path, open_sent

pytestmark = pytest.mark.usefixtures("nothing_stays_on_disk")


def lines_of(sent, pipeline, settings, hints=None, **wanted):
    async def collect():
        with open_sent(sent, settings, hints or Hints()) as recording:
            return [line async for line in follow(recording, pipeline, **wanted)]

    return asyncio.run(collect())


@pytest.fixture(scope="module")
def twelve_leads(data_dir):
    """(12, 35000) millivolts: 35 s of PTB record s0010 at 1 kHz."""
    whole = decode_path(data_dir / "formats/wfdb/s0010_re.hea")
    return whole.signal_mv[:12, :35_000]


@pytest.fixture(scope="module")
def half_hour(data_dir, settings, pipeline):
    """The lines of MIT-BIH 100 without a model."""
    return lines_of(data_dir / "beats/mitdb/100.hea", pipeline, settings)


def of_array(signal_mv, fs_hz=1000.0, leads=STANDARD_LEADS):
    return make_recording(signal_mv, fs_hz=fs_hz, leads=leads, format="npy", sha256="0" * 64)


def test_lines_come_in_order(half_hour):
    first, *windows, last = half_hour
    assert first.type == "recording"
    assert first.windows == len(windows) == last.windows == 181
    assert all(isinstance(window, WindowLine) for window in windows)
    assert isinstance(last, SummaryLine)
    assert [window.start_s for window in windows] == [10.0 * i for i in range(181)]
    assert windows[-1].end_s == pytest.approx(first.recording.duration_s)
    assert first.model is None
    assert {window.not_predicted for window in windows} == {None}


def test_beats_are_those_of_the_annotations(half_hour, data_dir):
    summary = half_hour[-1]
    # MIT-BIH 100 has 2273 annotated beats, 33 + 1 of them premature.
    assert summary.rhythm.beats == pytest.approx(2273, abs=2)
    assert summary.rhythm.anomaly_counts["premature_beat"] == pytest.approx(34, abs=3)
    in_windows = [at for window in half_hour[1:-1] for at in window.r_peaks_s]
    assert len(in_windows) == summary.rhythm.beats
    assert in_windows == sorted(in_windows)


def test_the_whole_says_what_analysis_of_the_whole_says(half_hour, data_dir, pipeline):
    whole = asyncio.run(pipeline.analyze(decode_path(data_dir / "beats/mitdb/100.hea")))
    told = half_hour[-1].rhythm
    assert told.heart_rate.mean_bpm == pytest.approx(whole.analysis.heart_rate_bpm, rel=1e-3)
    for name in ("sdnn_ms", "rmssd_ms", "mean_nn_ms"):
        assert told.hrv[name] == pytest.approx(whole.analysis.hrv[name], rel=0.02), name


def test_a_window_is_predicted_as_a_recording_of_its_own(twelve_leads, pipeline, settings):
    lines = lines_of(of_array(twelve_leads), pipeline, settings, options=Options())
    windows = lines[1:-1]
    assert [window.not_predicted for window in windows] == [None] * 4
    for window in windows:
        part = twelve_leads[:, int(window.start_s * 1000) : int(window.end_s * 1000)]
        alone = asyncio.run(pipeline.predict(of_array(part)))
        assert [each.probability for each in window.predictions] == pytest.approx(
            [each.probability for each in alone.predictions], abs=1e-4
        )
        # Windows are judged without looking for their beats, which the ratio needs.
        assert window.quality.score == alone.quality.score
        assert {name: (lead.score, lead.issues) for name, lead in window.quality.leads.items()} == {
            name: (lead.score, lead.issues) for name, lead in alone.quality.leads.items()
        }
    summary = lines[-1]
    assert summary.windows_predicted == 4
    assert len(summary.predictions) == len(summary.burden) == 17
    sinus = next(each for each in summary.predictions if each.label == "Sinus rhythm")
    of_windows = [
        each.probability for w in windows for each in w.predictions if each.label == sinus.label
    ]
    # Of the last window's 5 s there is one segment, of the others there are two.
    assert sinus.probability == pytest.approx(
        np.average(of_windows, weights=[2, 2, 2, 1]), abs=1e-5
    )


def test_gaps_are_marked_and_the_rest_goes_on(twelve_leads, pipeline, settings):
    broken = np.array(twelve_leads)
    broken[:, 12_000:14_000] = np.nan
    broken[3, 20_000:22_500] = np.nan
    lines = lines_of(of_array(broken), pipeline, settings, options=Options())
    first, second, third, last = lines[1:-1]
    assert [w.not_predicted for w in (first, second, third, last)] == [
        *(None, "missing_samples", "missing_samples", None)
    ]
    assert second.missing == dict.fromkeys(STANDARD_LEADS, 0.2)
    assert second.quality is None
    assert third.missing == {"aVR": 0.25}
    assert set(third.quality.leads) == set(STANDARD_LEADS) - {"aVR"}
    assert first.predictions
    assert last.predictions
    assert not second.predictions
    summary = lines[-1]
    assert summary.windows_not_predicted == {"missing_samples": 2}
    assert summary.degraded is None
    assert summary.rhythm.measured_s == 25
    assert not [at for at in second.r_peaks_s if 12.3 < at < 14]


def test_flat_windows_and_remainders_are_not_predicted(twelve_leads, pipeline, settings):
    broken = np.array(twelve_leads[:, :33_000])
    broken[:, 10_000:20_000] = 0.0
    lines = lines_of(of_array(broken), pipeline, settings, options=Options())
    reasons = [window.not_predicted for window in lines[1:-1]]
    assert reasons == [None, "flat", None, "too_short"]


def test_leads_may_be_given_as_zeros(data_dir, pipeline, settings, tmp_path):
    path = data_dir / "beats/mitdb/100.hea"
    with pytest.raises(InvalidSignal, match="leads missing"):
        lines_of(path, pipeline, settings, options=Options())
    recording = decode_path(path)
    part = of_array(recording.signal_mv[:, : 360 * 40], 360.0, recording.leads)
    lines = lines_of(part, pipeline, settings, options=Options(missing_leads="zero"), window_s=20.0)
    assert len(lines[0].recording.zero_filled_leads) == 11
    assert [len(window.predictions) for window in lines[1:-1]] == [17, 17]


@pytest.mark.parametrize("window_s", [0.0, 4.0, 12.0, 305.0, float("nan")])
def test_windows_that_cannot_be(twelve_leads, pipeline, settings, window_s):
    with pytest.raises(InvalidParameter):
        lines_of(of_array(twelve_leads), pipeline, settings, window_s=window_s)


def test_microvolts_taken_for_millivolts_are_refused_at_once(twelve_leads, pipeline, settings):
    with pytest.raises(InvalidSignal, match="200 mV"):
        lines_of(of_array(twelve_leads * 1000), pipeline, settings)


def test_a_model_that_goes_away(twelve_leads, failing_model):
    long = of_array(np.tile(twelve_leads[:, ::4], (1, 12)), 250.0)  # 420 s: three questions
    strict = load_settings()
    with pytest.raises(ModelUnavailable):
        lines_of(long, Pipeline(strict, failing_model(1)), strict, options=Options())
    lenient = load_settings(when_model_fails="signal_only")
    lines = lines_of(long, Pipeline(lenient, failing_model(1)), lenient, options=Options())
    summary = lines[-1]
    assert summary.degraded == "signal_only"
    assert summary.windows_predicted == 16
    assert summary.windows_not_predicted == {"model_unavailable": 26}
    assert summary.predictions
    assert summary.rhythm.measured_s == pytest.approx(420)


async def count_lines(path, hints, pipeline, settings):
    with open_path(path, settings, hints) as recording:
        return len([0 async for _ in follow(recording, pipeline)])


def test_memory_does_not_grow_with_the_recording(data_dir, pipeline, settings, tmp_path):
    signal_mv = decode_path(data_dir / "beats/mitdb/100.hea").signal_mv
    hints = Hints(fs_hz=360, leads=("a", "b"))
    peaks = []
    for minutes in (10, 40):
        np.save(tmp_path / "long.npy", np.tile(signal_mv, 2)[:, : minutes * 60 * 360])
        tracemalloc.start()
        lines = asyncio.run(count_lines(tmp_path / "long.npy", hints, pipeline, settings))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert lines == minutes * 6 + 2
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 0.7 * 8 * 40 * 60 * 360
