"""Beats of a stream: the same however it is cut, in time, and those of the whole recording."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from ecg_processor_py import (
    Beat,
    ConfigError,
    ECGAnalysisConfig,
    InvalidSignalError,
    StreamingAnalyzer,
    detect_r_peaks,
    resample,
)
from ecg_processor_py.reference import stream as reference_stream

SECONDS = 20
LATEST_S = 0.5


@pytest.fixture(scope="module")
def strip_mv(mitdb: list[Any]) -> np.ndarray:
    """Both leads of MIT-BIH 100 at 360 Hz, with its beats and noise as recorded."""
    return np.ascontiguousarray(mitdb[0].signal_mv[:, : 360 * SECONDS])


def streamed(x: np.ndarray, fs_hz: float, size: int, use_ffi: bool = True) -> list[Beat]:
    stream = StreamingAnalyzer(fs_hz, len(x), use_ffi=use_ffi)
    chunks = (x[:, start : start + size] for start in range(0, x.shape[1], size))
    return [beat for chunk in chunks for beat in stream.push(chunk)] + stream.flush()


def taken_until_refused(stream: StreamingAnalyzer, x: np.ndarray, size: int) -> int:
    """How many samples the stream took before it refused a chunk."""
    for start in range(0, x.shape[1], size):
        try:
            stream.push(x[:, start : start + size])
        except InvalidSignalError:
            return start
    raise AssertionError("nothing was refused")


def indices(beats: list[Beat]) -> np.ndarray:
    return np.array([beat.index for beat in beats])


def unlike(found: np.ndarray, expected: np.ndarray, reach: float = 1.0) -> int:
    """How many of either have none of the other within `reach` samples."""
    near = np.abs(found[:, None] - expected[None]) <= reach
    return int((~near.any(axis=1)).sum() + (~near.any(axis=0)).sum())


@pytest.mark.parametrize("size", [1, 7, 50, 500, 5000])
def test_beats_do_not_depend_on_how_the_stream_is_cut(
    strip_mv: np.ndarray, size: int, use_ffi: bool
) -> None:
    whole = streamed(strip_mv, 360.0, strip_mv.shape[1], use_ffi)
    assert len(whole) > 20
    cut = streamed(strip_mv, 360.0, size, use_ffi)
    np.testing.assert_equal([vars(beat) for beat in cut], [vars(beat) for beat in whole])


def test_each_beat_comes_within_half_a_second(mitdb: list[Any]) -> None:
    for record in mitdb:
        stream = StreamingAnalyzer(record.fs_hz)
        for end in range(9, 360 * 60, 9):
            for beat in stream.push(record.signal_mv[0, end - 9 : end]):
                assert 0 <= end - beat.index <= LATEST_S * record.fs_hz + 9, record.name


def test_peaks_are_those_of_the_whole_recording(mitdb: list[Any]) -> None:
    beats = differences = 0
    for record in mitdb:
        expected = detect_r_peaks(record.signal_mv[0], record.fs_hz)
        found = indices(streamed(record.signal_mv[:1], record.fs_hz, 500))
        beats, differences = beats + len(expected), differences + unlike(found, expected)
    assert differences <= 0.005 * beats


@pytest.mark.parametrize("database", ["mitdb", "qtdb", "cpsc2021"])
def test_all_leads_give_the_beats_of_the_whole_recording(
    database: str, request: pytest.FixtureRequest
) -> None:
    beats = strangers = elsewhere = 0
    for record in request.getfixturevalue(database):
        expected = detect_r_peaks(record.signal_mv, record.fs_hz)
        found = indices(streamed(record.signal_mv, record.fs_hz, 500))
        beats, elsewhere = beats + len(expected), elsewhere + unlike(found, expected)
        strangers += unlike(found, expected, reach=0.15 * record.fs_hz)
    assert strangers <= 0.005 * beats
    # A beat that differs counts twice: once where it is not, once where it should not be.
    assert elsewhere <= 0.01 * beats


def test_twelve_leads_are_told_in_time(ludb: list[Any]) -> None:
    for record in ludb:
        stream, chunk = StreamingAnalyzer(record.fs_hz, 12), int(0.04 * record.fs_hz)
        for end in range(chunk, record.signal_mv.shape[1] + 1, chunk):
            for beat in stream.push(record.signal_mv[:, end - chunk : end]):
                assert end - beat.index <= LATEST_S * record.fs_hz, record.name


@pytest.mark.parametrize("leads", [1, 2])
@pytest.mark.parametrize("size", [1, 13, 333, 5000])
def test_backends_agree(strip_mv: np.ndarray, size: int, leads: int) -> None:
    both = [streamed(strip_mv[:leads], 360.0, size, use_ffi) for use_ffi in (True, False)]
    rust, python = [[list(vars(beat).values()) for beat in beats] for beats in both]
    np.testing.assert_allclose(rust, python, rtol=1e-6)


@pytest.mark.parametrize("fs_hz", [100.0, 333.3, 2000.0])
def test_backends_agree_at_any_rate(strip_mv: np.ndarray, fs_hz: float) -> None:
    x = resample(strip_mv, 360.0, fs_hz)
    both = [streamed(x, fs_hz, 97, use_ffi) for use_ffi in (True, False)]
    assert len(both[0]) > 20
    assert indices(both[0]).tolist() == indices(both[1]).tolist()


def test_a_thinned_past_keeps_the_beats(
    strip_mv: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = streamed(strip_mv, 360.0, 500, use_ffi=False)
    monkeypatch.setattr(reference_stream, "MOST_BLOCKS", 4)
    assert unlike(indices(streamed(strip_mv, 360.0, 500, False)), indices(whole)) == 0


def test_flush_begins_anew(strip_mv: np.ndarray, use_ffi: bool) -> None:
    stream = StreamingAnalyzer(360.0, use_ffi=use_ffi)
    runs = [stream.push(strip_mv[0]) + stream.flush() for _ in range(2)]
    assert runs[0][0].index == runs[1][0].index
    assert np.isnan(runs[1][0].rr_ms)
    assert np.isnan(runs[1][0].heart_rate)
    assert stream.flush() == []


def test_a_refused_chunk_leaves_the_stream_as_it_was(strip_mv: np.ndarray, use_ffi: bool) -> None:
    stream = StreamingAnalyzer(360.0, use_ffi=use_ffi)
    x = strip_mv[0]
    beats = stream.push(x[:3000])
    bad: list[Any] = [np.append(x[:99], value) for value in (np.nan, np.inf, -np.inf, 1000.1)]
    bad += [np.append(x[:99], np.nan).astype(np.float32), np.full(9, 1e5), np.full(9, -32768)]
    bad += [strip_mv, strip_mv[:, :1], "text", np.zeros((1, 2, 3)), np.full(9, 1j)]
    for chunk in bad:
        with pytest.raises(InvalidSignalError):
            stream.push(chunk)
    assert stream.push([]) == []
    assert stream.push(np.zeros((1, 0))) == []
    beats += stream.push(x[3000:]) + stream.flush()
    assert indices(beats).tolist() == indices(streamed(strip_mv[:1], 360.0, 500, use_ffi)).tolist()


@pytest.mark.parametrize("leads", [1, 2])
@pytest.mark.parametrize("size", [1, 14, 720, 7200])
def test_microvolts_are_refused_after_three_blocks(
    strip_mv: np.ndarray, size: int, leads: int, use_ffi: bool
) -> None:
    millivolts = strip_mv[:leads]
    # Microvolts, as far as no sample is beyond what an electrode shows.
    wrong = np.clip(400.0 * millivolts, -999.0, 999.0)
    stream = StreamingAnalyzer(360.0, leads, use_ffi=use_ffi)
    taken = taken_until_refused(stream, wrong, size)
    assert taken == (0 if size == 7200 else 2159 // size * size)
    with pytest.raises(InvalidSignalError, match="microvolts"):
        stream.push(wrong)
    for start in range(0, 3600, 40):
        stream.push(millivolts[:, start : start + 40])
    stream.flush()
    found = stream.push(millivolts) + stream.flush()
    assert indices(found).tolist() == indices(streamed(millivolts, 360.0, 500, use_ffi)).tolist()


def test_an_artefact_or_one_lead_in_microvolts_is_not_refused(
    strip_mv: np.ndarray, use_ffi: bool
) -> None:
    shaken = strip_mv.copy()
    shaken[:, 2880:4320] *= 400.0
    attached = strip_mv.copy()
    attached[1] *= 300.0
    still = np.stack([strip_mv[0], np.full_like(strip_mv[0], 300.0)])
    for x in (shaken, attached, still):
        assert len(streamed(x, 360.0, 36, use_ffi)) > 10


def test_parameters_out_of_bounds_are_refused() -> None:
    for options in ({"fs_hz": 99}, {"fs_hz": 360, "leads": 0}, {"fs_hz": "fast"}):
        with pytest.raises(ConfigError):
            StreamingAnalyzer(**options)
    with pytest.raises(ConfigError, match="sampling_rate"):
        StreamingAnalyzer(360.0, config=ECGAnalysisConfig(sampling_rate=500.0))


def test_each_field_of_the_configuration_is_honoured_or_refused() -> None:
    other = {"min_heart_rate": 50.0, "max_heart_rate": 150.0, "noise_threshold": 0.2}
    other |= {"min_signal_quality": 0.1}
    honoured = {"sampling_rate", "enable_hrv", "enable_anomaly_detection"}
    assert {field.name for field in fields(ECGAnalysisConfig)} == honoured | set(other)
    for name, value in other.items():
        with pytest.raises(ConfigError, match=name):
            StreamingAnalyzer(500.0, config=ECGAnalysisConfig(**{name: value}))
    with pytest.raises(ConfigError, match="ECGAnalysisConfig"):
        StreamingAnalyzer(500.0, config={"sampling_rate": 500.0})  # type: ignore[arg-type]


def test_without_anomalies_no_beat_is_premature(
    strip: Callable[..., np.ndarray], use_ffi: bool
) -> None:
    x = strip([*range(200, 4000, 400), 4040, 4600, 5000], 5500)
    premature = []
    for asked in (True, False):
        config = ECGAnalysisConfig(enable_anomaly_detection=asked, enable_hrv=False)
        stream = StreamingAnalyzer(500.0, config=config, use_ffi=use_ffi)
        premature.append([beat.index for beat in stream.push(x) + stream.flush() if beat.premature])
    assert premature == [[4040], []]


def test_an_hour_takes_no_more_memory_than_a_minute(strip_mv: np.ndarray) -> None:
    resource = pytest.importorskip("resource")
    stream = StreamingAnalyzer(360.0, 2)
    for minute in range(60):
        for _ in range(3):
            stream.push(strip_mv)
        if minute == 5:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2048


def test_streams_of_two_threads_are_independent(strip_mv: np.ndarray) -> None:
    rows = [strip_mv[:1], strip_mv[1:]]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda row: indices(streamed(row, 360.0, 50)), rows))
    for row, at_once in zip(rows, found, strict=True):
        assert at_once.tolist() == indices(streamed(row, 360.0, 50)).tolist()
