"""Beats of a stream against those of the whole recording: agreement, delay, time and memory.

The peer has no stream: sleepecg is asked again each half second about the last ten seconds, and
held against sleepecg on the whole recording. Its rows vary by a percent or two from run to run:
sleepecg 0.6.0 answers the same samples differently as memory happens to be (26 of 720 windows of
LUDB, each asked six times with other arrays made in between); ours did not.

$ python -m benchmarks.streaming [--database NAME]
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ecg_processor_py import StreamingAnalyzer

from benchmarks.databases import READERS, AnnotatedRecord, load
from benchmarks.peers import find_quietly, ours_rust
from benchmarks.peers import sleepecg as find_by_sleepecg
from benchmarks.reporting import print_header
from benchmarks.scoring import score_beats, total

CHUNK_S, LATEST_S = 0.04, 0.5
# Samples within which two peaks are the same, and time within which two are of the same beat.
SAME, NEAR_S = 1, 0.15
PEER_WINDOW_S, PEER_EACH_S, PEER_LEAST_AGE_S, REFRACTORY_S = 10.0, 0.5, 0.25, 0.2
LONG_HOURS, LONG_CHUNK_S, PAGE_BYTES = 3, 1.0, os.sysconf("SC_PAGE_SIZE")

Stream = Callable[[np.ndarray, float], "Told"]


@dataclass(frozen=True)
class Told:
    """Beats of a stream: sample indices, samples heard when each was told, and the CPU time."""

    peaks: np.ndarray
    heard: np.ndarray
    cpu_s: float


@dataclass(frozen=True)
class Compared:
    """A stream's beats of one record, those of the whole recording, and what the stream took."""

    record: AnnotatedRecord
    whole: np.ndarray
    told: Told

    @property
    def same(self) -> int:
        """Beats of the whole recording that the stream tells to a sample."""
        return int(_has(self.told.peaks, self.whole, SAME).sum())

    @property
    def moved(self) -> int:
        """Beats that the stream tells elsewhere."""
        reach = NEAR_S * self.record.fs_hz
        return int(_has(self.told.peaks, self.whole, reach).sum()) - self.same

    @property
    def extra(self) -> int:
        """Beats of the stream that the whole recording does not have."""
        reach = NEAR_S * self.record.fs_hz
        return int((~_has(self.whole, self.told.peaks, reach)).sum())

    @property
    def delays_s(self) -> np.ndarray:
        return (self.told.heard - self.told.peaks) / self.record.fs_hz

    @property
    def us_per_s(self) -> float:
        return 1e6 * self.told.cpu_s / self.record.duration_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", action="append", choices=list(READERS))
    options = parser.parse_args()
    print_header("Beats of a stream against those of the whole recording", ("sleepecg",))
    print(
        f"chunks of {1000 * CHUNK_S:g} ms; same: to {SAME} sample; F1 against the annotations, "
        "whole recording and stream; CPU time: median and p5..p95 over records"
    )
    print(
        f"\n{'':<28} {'beats':>6} {'same %':>7} {'moved %':>7} {'lost %':>7} {'extra %':>7} "
        f"{'F1 whole':>8} {'stream':>7} {'delay s p50':>11} {'p95':>6} {'max':>6} "
        f"{'CPU us/s':>9} {'p5..p95':>14}"
    )
    for database in options.database or READERS:
        records = load(database)
        if records:
            print_database(database, records)
    print_endless()


def print_database(database: str, records: Sequence[AnnotatedRecord]) -> None:
    one = compare(records, ours_rust, stream_ours, all_leads=False)
    require_in_time(one)
    print(row_of(f"{database}, one lead", one), flush=True)
    if max(len(record.signal_mv) for record in records) > 1:
        every = compare(records, ours_rust, stream_ours, all_leads=True)
        require_in_time(every)
        print(row_of(f"{database}, all leads", every), flush=True)
    peer = compare(records, find_by_sleepecg, stream_peer, all_leads=False)
    print(row_of(f"{database}, sleepecg again", peer), flush=True)


def compare(
    records: Sequence[AnnotatedRecord],
    find: Callable[[np.ndarray, float], np.ndarray],
    stream: Stream,
    *,
    all_leads: bool,
) -> list[Compared]:
    """Let a detector see each record whole, and as a stream."""
    compared = []
    for record in records:
        x = record.signal_mv if all_leads else record.signal_mv[record.reference_lead]
        compared.append(Compared(record, find(x, record.fs_hz), stream(x, record.fs_hz)))
    return compared


def stream_ours(signal_mv: np.ndarray, fs_hz: float) -> Told:
    rows = np.atleast_2d(signal_mv)
    analyzer = StreamingAnalyzer(fs_hz, len(rows), use_ffi=True)
    peaks: list[int] = []
    heard: list[int] = []
    size = round(CHUNK_S * fs_hz)
    chunks = [np.ascontiguousarray(rows[:, at : at + size]) for at in range(0, rows.shape[1], size)]
    taken, started = 0, time.process_time()
    for chunk in chunks:
        beats = analyzer.push(chunk)
        taken += chunk.shape[1]
        peaks += [beat.index for beat in beats]
        heard += [taken] * len(beats)
    last = analyzer.flush()
    cpu_s = time.process_time() - started
    peaks += [beat.index for beat in last]
    return Told(np.array(peaks, np.int64), np.array(heard + [taken] * len(last), np.int64), cpu_s)


def stream_peer(signal_mv: np.ndarray, fs_hz: float) -> Told:
    """Ask sleepecg each half second; what is too young is left to the next time."""
    peaks: list[int] = []
    heard: list[int] = []
    window, least_age = int(PEER_WINDOW_S * fs_hz), PEER_LEAST_AGE_S * fs_hz
    ends = [*range(int(fs_hz), len(signal_mv), int(PEER_EACH_S * fs_hz)), len(signal_mv)]
    started = time.process_time()
    for end in ends:
        start = max(0, end - window)
        oldest = peaks[-1] + REFRACTORY_S * fs_hz if peaks else -1
        youngest = end if end == len(signal_mv) else end - least_age
        found = start + find_quietly("sleepecg", signal_mv[start:end], fs_hz)
        new = [int(peak) for peak in found if oldest < peak <= youngest]
        # What an earlier look passed over is too old to be told now.
        new = [peak for peak in new if end - peak < (PEER_LEAST_AGE_S + PEER_EACH_S) * fs_hz + 1]
        peaks += new
        heard += [end] * len(new)
    cpu_s = time.process_time() - started
    return Told(np.array(peaks, np.int64), np.array(heard, np.int64), cpu_s)


def require_in_time(compared: Sequence[Compared]) -> None:
    """End the benchmark if a beat was told too late."""
    for one in compared:
        if one.delays_s.size and one.delays_s.max() > LATEST_S:
            raise SystemExit(f"{one.record.name}: a beat after {one.delays_s.max():.3f} s")


def row_of(name: str, compared: Sequence[Compared]) -> str:
    beats = sum(len(one.whole) for one in compared)
    same, moved, extra = (
        100.0 * sum(getattr(one, part) for one in compared) / beats
        for part in ("same", "moved", "extra")
    )
    whole = total(score_beats(one.record, one.whole) for one in compared).f1
    stream = total(score_beats(one.record, np.unique(one.told.peaks)) for one in compared).f1
    delays_s = np.concatenate([one.delays_s for one in compared])
    low, median, high = np.percentile([one.us_per_s for one in compared], [5, 50, 95])
    return (
        f"{name:<28} {beats:6d} {same:7.2f} {moved:7.2f} {100.0 - same - moved:7.2f} "
        f"{extra:7.2f} {whole:8.2f} {stream:7.2f} {np.median(delays_s):11.3f} "
        f"{np.percentile(delays_s, 95):6.3f} {delays_s.max():6.3f} {median:9.0f} "
        f"{f'{low:.0f}..{high:.0f}':>14}"
    )


def print_endless() -> None:
    """Tell memory and time hour by hour of a stream that does not end: a record, repeated."""
    record = load("mitdb")[0]
    size = round(LONG_CHUNK_S * record.fs_hz)
    count = record.signal_mv.shape[1] // size
    chunks = [np.ascontiguousarray(record.signal_mv[:, i * size :][:, :size]) for i in range(count)]
    analyzer = StreamingAnalyzer(record.fs_hz, len(record.signal_mv), use_ffi=True)
    print(f"\nA stream without end, {len(record.signal_mv)} leads at {record.fs_hz:g} Hz:")
    for hour in range(1, LONG_HOURS + 1):
        started = time.process_time()
        for i in range(int(3600 / LONG_CHUNK_S)):
            analyzer.push(chunks[i % count])
        us_per_s = 1e6 * (time.process_time() - started) / 3600
        print(f"hour {hour}: CPU {us_per_s:.0f} us a second, resident {_resident_mb():.1f} MB")


def _has(peaks: np.ndarray, wanted: np.ndarray, reach: float) -> np.ndarray:
    """Tell for each wanted peak whether one of `peaks`, ascending, is near."""
    if len(peaks) == 0:
        return np.zeros(len(wanted), np.bool_)
    right = np.searchsorted(peaks, wanted)
    neighbours = peaks[np.clip([right - 1, right], 0, len(peaks) - 1)]
    return np.abs(neighbours - wanted).min(axis=0) <= reach


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


if __name__ == "__main__":
    main()
