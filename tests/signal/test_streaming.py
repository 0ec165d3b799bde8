"""Beats of a stream: the same however it is cut, in time, and those of the whole recording."""

from concurrent.futures import ThreadPoolExecutor
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
)

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


def indices(beats: list[Beat]) -> np.ndarray:
    return np.array([beat.index for beat in beats])


def unlike(found: np.ndarray, expected: np.ndarray) -> int:
    """How many of either have none of the other within one sample."""
    near = np.abs(found[:, None] - expected[None]) <= 1
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


def test_backends_agree(strip_mv: np.ndarray) -> None:
    both = [streamed(strip_mv, 360.0, 500, use_ffi) for use_ffi in (True, False)]
    rust, python = [[list(vars(beat).values()) for beat in beats] for beats in both]
    np.testing.assert_allclose(rust, python, rtol=1e-6)


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
    for bad in (np.append(x[:99], np.nan), np.full(9, 1e5), strip_mv, "text", np.zeros((1, 2, 3))):
        with pytest.raises(InvalidSignalError):
            stream.push(bad)
    assert stream.push([]) == []
    assert stream.push(np.zeros((1, 0))) == []
    beats += stream.push(x[3000:]) + stream.flush()
    assert indices(beats).tolist() == indices(streamed(strip_mv[:1], 360.0, 500, use_ffi)).tolist()


def test_parameters_out_of_bounds_are_refused() -> None:
    for options in ({"fs_hz": 99}, {"fs_hz": 360, "leads": 0}, {"fs_hz": "fast"}):
        with pytest.raises(ConfigError):
            StreamingAnalyzer(**options)
    with pytest.raises(ConfigError, match="sampling_rate"):
        StreamingAnalyzer(360.0, config=ECGAnalysisConfig(sampling_rate=500.0))


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
